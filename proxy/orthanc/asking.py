"""Files that are asked for before they are needed: the request goes out, and the answer is read when its turn comes.

Meanwhile Orthanc looks the file up and the kernel takes it in, so a small one costs its receiver hardly more than a
copy. libcurl does not part a request from its answer without a loop of its own around it. Nothing is handled here but
a plain success: whatever else comes, the connection is given up, and the file is fetched by `bulk`, which tells why.
"""

import contextlib
import re
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from proxy.config import Backend
from proxy.errors import OrthancUnavailable

_KEEPALIVE = 0.8  # seconds; Orthanc closes idle connections after 1 s
_HEADERS_MOST = 1024  # bytes
_CONNECT_MOST = 0.5  # seconds: whoever asks is in the middle of something
_IDLE_MOST = 4  # connections that are kept for the next one who asks
_PAUSE = 5.0  # seconds after a failure to connect
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)


class Asking:
    """A pool of connections to ask on. Thread-safe. `tls` as for all other calls.

    `told` is told of each answer that was read: the HTTP status, 0 where it was not as hoped, and the seconds it took.
    """

    def __init__(
        self,
        backend: Backend,
        headers: Mapping[str, str],
        tls: ssl.SSLContext | None,
        told: Callable[[int, float], None],
    ) -> None:
        self.told = told
        url = urlsplit(backend.url)
        self._host = url.hostname or ""
        self._port = url.port or (443 if tls is not None else 80)
        self._tls = tls
        self._prefix = f"GET {url.path.rstrip('/')}".encode()
        fields = {"Host": url.netloc.rpartition("@")[2], **headers}
        self._suffix = "".join(
            [" HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in fields.items()), "\r\n"]
        ).encode()
        self._connect_timeout = min(backend.connect_timeout, _CONNECT_MOST)
        self._most = max(1, backend.connections // 2)
        self._lock = threading.Lock()
        self._idle: deque[tuple[float, socket.socket]] = deque()
        self._open = 0
        self._pause_until = 0.0

    def ask(self, path: str, length: int) -> "Asked | None":
        """Send the request for a file of `length` bytes. None where that does not work at once."""
        connection = self._connection()
        if connection is None:
            return None
        try:
            connection.sendall(self._prefix + path.encode() + self._suffix)
        except OSError:
            self.give_up(connection)
            return None
        return Asked(self, connection, length)

    def close(self) -> None:
        """Close all idle connections."""
        with self._lock:
            idle, self._idle = self._idle, deque()
        for _, connection in idle:
            self.give_up(connection)

    def take_back(self, connection: socket.socket) -> None:
        """The connection can be used again."""
        with self._lock:
            is_wanted = len(self._idle) < _IDLE_MOST
            if is_wanted:
                self._idle.append((time.monotonic(), connection))
        if not is_wanted:
            self.give_up(connection)

    def give_up(self, connection: socket.socket) -> None:
        """The connection cannot be used again."""
        with self._lock:
            self._open -= 1
        with contextlib.suppress(OSError):
            connection.close()

    def _connection(self) -> socket.socket | None:
        """One that nobody else uses; the one that was used last, else a new one."""
        now = time.monotonic()
        with self._lock:
            fresh = self._idle.pop()[1] if self._idle and now - self._idle[-1][0] < _KEEPALIVE else None
            stale = [connection for _, connection in self._idle] if fresh is None else []
            if stale:
                self._idle.clear()
            may_open = fresh is None and self._open - len(stale) < self._most and now >= self._pause_until
            self._open += may_open
        for connection in stale:
            self.give_up(connection)
        return self._opened() if may_open else fresh

    def _opened(self) -> socket.socket | None:
        try:
            connection = socket.create_connection((self._host, self._port), self._connect_timeout)
            try:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls is not None:
                    return self._tls.wrap_socket(connection, server_hostname=self._host)
            except OSError:
                connection.close()
                raise
        except OSError:
            with self._lock:
                self._open -= 1
                self._pause_until = time.monotonic() + _PAUSE
            return None
        return connection


class Asked:
    """A request whose answer is still to be read: by `read`, or by `close` without a look at it."""

    def __init__(self, pool: Asking, connection: socket.socket, length: int) -> None:
        self._pool = pool
        self._connection: socket.socket | None = connection
        self._length = length

    def read(self, patience: float) -> memoryview:
        """The file, within `patience` seconds. Raises OrthancUnavailable for everything that is not as hoped."""
        connection, self._connection = self._connection, None
        if connection is None:
            raise OrthancUnavailable("an answer can be read only once")
        began = time.monotonic()
        try:
            file, is_reusable = _answer(connection, self._length, began + patience)
        except (OSError, ValueError) as error:
            self._pool.give_up(connection)
            self._pool.told(0, time.monotonic() - began)
            raise OrthancUnavailable("Orthanc does not answer as hoped") from error
        (self._pool.take_back if is_reusable else self._pool.give_up)(connection)
        self._pool.told(200, time.monotonic() - began)
        return file

    def close(self) -> None:
        """The file is not wanted any more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.give_up(connection)


def _answer(connection: socket.socket, length: int, until: float) -> tuple[memoryview, bool]:
    """The body of an answer that must be `length` bytes long, and whether more can follow on the connection.

    Headers and body are received into one buffer, so that the body need not be copied. Raises OSError, ValueError.
    """
    buffer = memoryview(bytearray(_HEADERS_MOST + length))
    filled, start = 0, 0
    while not start or filled < start + length:
        connection.settimeout(max(0.001, until - time.monotonic()))
        count = connection.recv_into(buffer[filled : start + length if start else len(buffer)])
        if not count:
            raise ValueError("closed")
        filled += count
        if not start:
            start = _end_of_headers(buffer[: min(filled, _HEADERS_MOST)].tobytes(), length)
            if not start and filled >= _HEADERS_MOST:
                raise ValueError("long headers")
            if start and filled > start + length:
                raise ValueError("more than was asked for")
    return buffer[start : start + length], not _CLOSES.search(buffer[:start])


def _end_of_headers(received: bytes, length: int) -> int:
    """Where the body begins; 0 where that has not come yet. Raises ValueError unless it is a body of that length."""
    end = received.find(b"\r\n\r\n") + 4
    if end < 4:
        return 0
    told = _LENGTH.search(received, 0, end)
    if not received.startswith(b"HTTP/1.1 200 ") or told is None or int(told[1]) != length:
        raise ValueError("another answer")
    return end
