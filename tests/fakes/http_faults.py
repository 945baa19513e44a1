"""An HTTP proxy inside the test process that stands before an Orthanc and breaks what it is told to."""

import contextlib
import http.client
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_CHUNK = 16384


@dataclass(frozen=True)
class Answer:
    """An HTTP answer on its way to the client."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def head(self, *, length: int | None, chunked: bool = False) -> bytes:
        """Status line and headers; without `length` and `chunked` the body ends with the connection."""
        lines = [f"HTTP/1.1 {self.status} {http.client.responses.get(self.status, 'Unknown')}"]
        dropped = {"content-length", "transfer-encoding", "connection", "keep-alive"}
        lines += [f"{name}: {value}" for name, value in self.headers if name.lower() not in dropped]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        if chunked:
            lines.append("Transfer-Encoding: chunked")
        lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


Fault = Callable[[socket.socket, Callable[[], Answer]], None]
"""Answers one request on that socket; calling the second argument asks Orthanc. The connection is closed after it."""


def passing(client: socket.socket, ask: Callable[[], Answer]) -> None:
    """No fault."""
    answer = ask()
    client.sendall(answer.head(length=len(answer.body)) + answer.body)


def status(code: int, body: bytes = b"", content_type: str = "application/json") -> Fault:
    """Orthanc is not asked; this comes instead."""

    def fault(client: socket.socket, ask: Callable[[], Answer]) -> None:
        answer = Answer(code, (("Content-Type", content_type),), body)
        client.sendall(answer.head(length=len(body)) + body)

    return fault


def redirect(to: str) -> Fault:
    """Somebody else is to be asked."""

    def fault(client: socket.socket, ask: Callable[[], Answer]) -> None:
        client.sendall(Answer(302, (("Location", to),), b"").head(length=0))

    return fault


def hang(seconds: float) -> Fault:
    """Nothing comes for so long, then the connection is closed."""

    def fault(client: socket.socket, ask: Callable[[], Answer]) -> None:
        _until_gone(client, seconds)

    return fault


def hang_within(seconds: float, after: int) -> Fault:
    """`after` bytes of the body come, then nothing for so long."""

    def fault(client: socket.socket, ask: Callable[[], Answer]) -> None:
        answer = ask()
        client.sendall(answer.head(length=len(answer.body)) + answer.body[:after])
        _until_gone(client, seconds)

    return fault


def latency(seconds: float) -> Fault:
    """The answer comes so much later."""

    def fault(client: socket.socket, ask: Callable[[], Answer]) -> None:
        time.sleep(seconds)
        passing(client, ask)

    return fault


def rate(bytes_per_second: int) -> Fault:
    """The body trickles."""

    def fault(client: socket.socket, ask: Callable[[], Answer]) -> None:
        answer = ask()
        client.sendall(answer.head(length=len(answer.body)))
        step = max(1, bytes_per_second // 20)
        for at in range(0, len(answer.body), step):
            client.sendall(answer.body[at : at + step])
            time.sleep(0.05)

    return fault


def cut(after: int, *, reset: bool) -> Fault:
    """The connection ends within the body: by RST or by FIN."""

    def fault(client: socket.socket, ask: Callable[[], Answer]) -> None:
        answer = ask()
        client.sendall(answer.head(length=len(answer.body)) + answer.body[:after])
        if reset:
            time.sleep(0.05)  # or what was sent would be lost with the connection
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return fault


def reset_at_once(client: socket.socket, ask: Callable[[], Answer]) -> None:
    """RST instead of an answer."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def announced_length(difference: int) -> Fault:
    """Content-Length is so many bytes too great, or too small, and the body as it should be."""

    def fault(client: socket.socket, ask: Callable[[], Answer]) -> None:
        answer = ask()
        client.sendall(answer.head(length=len(answer.body) + difference) + answer.body)

    return fault


def cut_chunks(client: socket.socket, ask: Callable[[], Answer]) -> None:
    """A chunked body without its last chunk."""
    answer = ask()
    half = answer.body[: len(answer.body) // 2]
    client.sendall(answer.head(length=None, chunked=True) + f"{len(half):x}\r\n".encode() + half + b"\r\n")


def shortened(by: int) -> Fault:
    """A whole, well-formed answer; only that the body's end is missing."""

    def fault(client: socket.socket, ask: Callable[[], Answer]) -> None:
        body = ask().body
        body = body[: max(0, len(body) - by)]
        client.sendall(Answer(200, (), body).head(length=len(body)) + body)

    return fault


def body(content: bytes, content_type: str = "application/octet-stream") -> Fault:
    """200 with something else."""
    return status(200, content, content_type)


HTML = b"<!DOCTYPE html><html><body>Please log in to the hospital's network</body></html>"


def _until_gone(client: socket.socket, seconds: float) -> None:
    """Wait, but not longer than the client does."""
    client.settimeout(seconds)
    with contextlib.suppress(OSError):
        client.recv(1)


@dataclass
class _Rule:
    method: str
    path: re.Pattern[str]
    fault: Fault
    left: float


@dataclass
class HttpFaults:
    """The proxy. `url` is what the program under test is given; `calls` notes (method, path) of all requests."""

    target: str
    url: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    _rules: list[_Rule] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _listener: socket.socket | None = None

    def __enter__(self) -> "HttpFaults":
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def on(self, method: str, path: str, fault: Fault, times: float = float("inf")) -> None:
        """Answer requests whose path matches the pattern with this fault, so many times; the latest rule wins."""
        with self._lock:
            self._rules.insert(0, _Rule(method, re.compile(path), fault, times))

    def clear(self) -> None:
        """No more faults."""
        with self._lock:
            self._rules.clear()

    def count(self, method: str, path: str) -> int:
        """How many requests matched."""
        with self._lock:
            return sum(1 for m, p in self.calls if m == method and re.search(path, p))

    def _fault_for(self, method: str, path: str) -> Fault:
        with self._lock:
            self.calls.append((method, path))
            for rule in self._rules:
                if rule.method in (method, "*") and rule.left > 0 and rule.path.search(path):
                    rule.left -= 1
                    return rule.fault
        return passing

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            client.settimeout(30)
            reader = client.makefile("rb")
            method, path, _ = reader.readline().decode("latin-1").split(" ", 2)
            headers = http.client.parse_headers(reader)
            content = _content(reader, headers)
            fault = self._fault_for(method, path)
            fault(client, lambda: self._ask(method, path, headers, content))

    def _ask(self, method: str, path: str, headers: http.client.HTTPMessage, content: bytes) -> Answer:
        where = urlsplit(self.target)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
        dropped = {"host", "connection", "transfer-encoding", "content-length", "expect"}
        kept = {name: value for name, value in headers.items() if name.lower() not in dropped}
        try:
            connection.request(method, path, content or None, kept)
            answer = connection.getresponse()
            return Answer(answer.status, tuple(answer.getheaders()), answer.read())
        finally:
            connection.close()


def _content(reader: object, headers: http.client.HTTPMessage) -> bytes:
    """A request's body, by length or in chunks."""
    read, readline = reader.read, reader.readline  # type: ignore[attr-defined]
    if headers.get("Transfer-Encoding", "").lower() == "chunked":
        parts = []
        while size := int(readline().split(b";")[0], 16):
            parts.append(read(size))
            readline()
        readline()
        return b"".join(parts)
    return bytes(read(int(headers.get("Content-Length") or 0)))
