"""A TCP relay inside the test process that stands before a DICOM node and breaks the connection as it is told."""

import contextlib
import select
import socket
import struct
import threading
from dataclasses import dataclass, field

_LOOK = 0.1  # seconds between two looks whether all is over


@dataclass
class TcpFaults:
    """The relay. Counts are of bytes towards the target, over one connection.

    `reset_after`: RST in both directions. `freeze_after`: nothing is passed on any more, in either direction, but
    the connection stays. `rate`: bytes per second. `accept`: False closes every new connection at once.
    `comes_back`: False makes it so after the first fault.
    """

    target: int
    reset_after: int | None = None
    freeze_after: int | None = None
    rate: int | None = None
    accept: bool = True
    comes_back: bool = True
    port: int = 0
    _listener: socket.socket | None = None
    _over: threading.Event = field(default_factory=threading.Event)
    _relays: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "TcpFaults":
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close all connections: whoever still waits for a byte of a frozen one would wait for ever."""
        assert self._listener is not None
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for relay in self._relays:
            relay.join(5)

    def _serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                if not self.accept:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self.target))
                for end in (near, far):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._relays.append(threading.Thread(target=self._relay, args=(near, far), daemon=True))
                self._relays[-1].start()

    def _relay(self, near: socket.socket, far: socket.socket) -> None:
        """Pass on in both directions, in one thread: a socket that another one reads from would not really close."""
        with near, far, contextlib.suppress(OSError):
            passed, to_read = 0, {near: far, far: near}
            while to_read and not self._over.is_set():
                for source in select.select(list(to_read), [], [], _LOOK)[0]:
                    data = source.recv(4096)
                    passed += len(data) if source is near else 0
                    if self.reset_after is not None and passed > self.reset_after:
                        self.accept = self.comes_back
                        for end in (near, far):
                            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return
                    if self.freeze_after is not None and passed > self.freeze_after:
                        self.accept = self.comes_back
                        self._over.wait()
                        return
                    if self.rate:
                        self._over.wait(len(data) / self.rate)
                    if data:
                        to_read[source].sendall(data)
                    else:
                        to_read.pop(source).shutdown(socket.SHUT_WR)
