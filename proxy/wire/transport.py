"""One connected socket, plain or TLS: buffered reads, vectored writes, and a deadline for every wait.

The socket never blocks; waits go through `poll`, which unlike `select` knows descriptors beyond 1023. Nagle's
algorithm is off, and before each wait TCP_QUICKACK is armed again: a peer that keeps Nagle on (DCMTK does) holds
back the rest of its message until what we have is acknowledged, and Linux would take 40 ms for that.
"""

import array
import contextlib
import fcntl
import select
import socket
import ssl
import termios
import time
from collections.abc import Sequence

from proxy.wire.ending import Ending

Buffer = bytes | memoryview

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
_SMALL_BUFFER = 16 * 1024
_LARGE_BUFFER = 256 * 1024
_SEND_BUFFER = 4 << 20  # the kernel's; one instance of 500 KiB leaves us in one call
_TLS_WRITE = 64 * 1024


class Transport:
    """A connection. Unread bytes are `view[start:end]`; a PDU is read by waiting until all of it is there.

    Only the association's own thread uses it, except for `interrupt` and `cut`. (They go past ssl.SSLSocket.shutdown,
    which would turn TLS off under the other thread's hands.)
    """

    def __init__(self, connected: socket.socket, *, send_timeout: float, received: bytes = b"") -> None:
        connected.setblocking(False)
        self._socket = connected
        self._send_timeout = send_timeout
        self._readable = select.poll()
        self._readable.register(connected, select.POLLIN)
        self._ack_due = False
        self._more_expected = False
        self._queued = 0
        self.view = memoryview(bytearray(max(_SMALL_BUFFER, len(received))))
        self.view[: len(received)] = received
        self.start, self.end = 0, len(received)

    def receive(self, until: float | None) -> bool:
        """Read what is there, waiting for the first byte until `until` (monotonic; None: do not wait).

        False when nothing came in time. Raises Ending when the connection is gone.
        """
        if not self._more_expected and not self._wait_readable(until):
            return False
        if self.start == self.end:
            self.start = self.end = 0
        if self.end == len(self.view):
            self._make_room()
        room = self.view[self.end :]
        while True:
            try:
                count = self._socket.recv_into(room)
                break
            except (BlockingIOError, InterruptedError):
                if not self._wait_readable(until):
                    self._more_expected = False
                    return False
            except OSError as error:
                raise Ending("lost", f"connection lost: {error.strerror or error}") from error
        if not count:
            raise Ending("lost", "connection closed by the peer")
        self._more_expected = count == len(room)  # then a wait before the next read would be in vain
        self._ack_due = True
        self.end += count
        return True

    def reserve(self, length: int) -> None:
        """Make the buffer long enough for a PDU of `length` bytes that begins at `start`."""
        if length > len(self.view):
            self._move_to(bytearray(length))

    def send(self, buffers: Sequence[Buffer]) -> None:
        """Write all of at most 1024 buffers. Raises Ending when the peer is gone or stops reading."""
        self._ack_due = True  # so that the first piece of the answer is acknowledged before we even look at it
        left = list(buffers)
        while left:
            try:
                sent = self._write(left)
            except (BlockingIOError, InterruptedError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                sent = 0
            except OSError as error:
                raise Ending("lost", f"connection lost: {error.strerror or error}") from error
            left = _without(left, sent)
            if left:
                self._await_space()

    def is_draining(self) -> bool:
        """True when the peer has taken something of what the kernel still holds for it since the last call."""
        before, self._queued = self._queued, self._unacknowledged_by_peer()
        return self._queued < before

    def interrupt(self) -> None:
        """Make reads end at once, from any thread: the association then looks at what it was told."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RD)

    def cut(self) -> None:
        """Make reads and writes fail at once, from any thread."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def send_parting(self, parting: bytes) -> None:
        """Write a last PDU if the connection takes it without waiting, and say that nothing follows."""
        with contextlib.suppress(OSError, ValueError):
            if parting:
                self._socket.send(parting)
        with contextlib.suppress(OSError, ValueError):
            socket.socket.shutdown(self._socket, socket.SHUT_WR)

    def detach(self) -> socket.socket:
        """The bare TCP socket, for somebody who waits until the peer has closed; this object is done with it."""
        return self._socket

    def close(self) -> None:
        """Close the socket."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _write(self, buffers: list[Buffer]) -> int:
        return self._socket.sendmsg(buffers)

    def _await_space(self) -> None:
        """Wait until something more can be written. The kernel says so late: a slow peer may take less at a time."""
        self._queued = self._unacknowledged_by_peer()
        while not self._wait_writable(self._send_timeout):
            if not self.is_draining():
                raise Ending("timeout", "the peer does not read what it is sent")

    def _unacknowledged_by_peer(self) -> int:
        """Bytes that the kernel holds for the peer."""
        count = array.array("i", [0])
        with contextlib.suppress(OSError, ValueError):
            fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, count)
        return count[0]

    def _wait_readable(self, until: float | None) -> bool:
        if until is None:
            return bool(self._readable.poll(0))
        if self._ack_due and _QUICKACK is not None:
            self._ack_due = False
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        return bool(self._readable.poll(max(0.0, until - time.monotonic()) * 1000))

    def _wait_writable(self, seconds: float) -> bool:
        writable = select.poll()
        writable.register(self._socket, select.POLLOUT)
        return bool(writable.poll(max(0.0, seconds) * 1000))

    def _make_room(self) -> None:
        """The buffer is full up to its end: move the unread bytes to its front, or grow it."""
        if self.start:
            unread = self.end - self.start
            self.view[:unread] = self.view[self.start : self.end]
            self.start, self.end = 0, unread
            if unread > len(self.view) // 2 and len(self.view) < _LARGE_BUFFER:
                self._move_to(bytearray(_LARGE_BUFFER))
        else:
            self._move_to(bytearray(max(_LARGE_BUFFER, 2 * len(self.view))))

    def _move_to(self, larger: bytearray) -> None:
        unread = self.end - self.start
        view = memoryview(larger)
        view[:unread] = self.view[self.start : self.end]
        self.view, self.start, self.end = view, 0, unread


class TlsTransport(Transport):
    """The same over TLS: no vectored writes, and bytes may wait in the TLS layer where `poll` cannot see them."""

    _socket: ssl.SSLSocket

    def receive(self, until: float | None) -> bool:
        """As Transport.receive."""
        while True:
            if self.start == self.end:
                self.start = self.end = 0
            if self.end == len(self.view):
                self._make_room()
            try:
                count = self._socket.recv_into(self.view[self.end :])
            except (ssl.SSLWantReadError, BlockingIOError, InterruptedError):
                if not self._wait_readable(until):
                    return False
            except ssl.SSLWantWriteError:
                if until is None or not self._wait_writable(until - time.monotonic()):
                    return False
            except OSError as error:
                raise Ending("lost", f"connection lost: {error.strerror or error}") from error
            else:
                if not count:
                    raise Ending("lost", "connection closed by the peer")
                self._ack_due = True
                self.end += count
                return True

    def send_parting(self, parting: bytes) -> None:
        """As Transport.send_parting, with TLS's own farewell."""
        with contextlib.suppress(OSError, ValueError):
            if parting:
                self._socket.send(parting)
        with contextlib.suppress(OSError, ValueError):
            self._socket.unwrap()
        with contextlib.suppress(OSError, ValueError):
            socket.socket.shutdown(self._socket, socket.SHUT_WR)

    def detach(self) -> socket.socket:
        """As Transport.detach."""
        return socket.socket(fileno=self._socket.detach())

    def _write(self, buffers: list[Buffer]) -> int:
        return self._socket.send(b"".join(_at_most(buffers, _TLS_WRITE)))


def tune(connected: socket.socket) -> None:
    """Set what every DICOM connection of ours wants, before its first byte."""
    with contextlib.suppress(OSError):  # a socket that is no TCP socket, or dead already
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)


def transport_for(connected: socket.socket, *, send_timeout: float, received: bytes = b"") -> Transport:
    """The transport that fits the socket."""
    if isinstance(connected, ssl.SSLSocket):
        return TlsTransport(connected, send_timeout=send_timeout, received=received)
    return Transport(connected, send_timeout=send_timeout, received=received)


def _without(buffers: list[Buffer], sent: int) -> list[Buffer]:
    """What is left to send."""
    for index, buffer in enumerate(buffers):
        if sent < len(buffer):
            rest = buffers[index:]
            if sent:
                rest[0] = memoryview(buffer)[sent:]
            return rest
        sent -= len(buffer)
    return []


def _at_most(buffers: list[Buffer], length: int) -> list[Buffer]:
    """The first buffers, up to about `length` bytes of them; the one that goes beyond is cut."""
    chosen: list[Buffer] = []
    for buffer in buffers:
        chosen.append(buffer[:length])
        length -= len(buffer)
        if length <= 0:
            break
    return chosen
