"""A TCP relay inside the test process that stands before a DICOM node and breaks the connection as it is told."""

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass, field


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
    _open: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> "TcpFaults":
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                if not self.accept:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self.target))
                self._open += [near, far]
                for end in (near, far):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                frozen = threading.Event()
                for source, sink, counts in ((near, far, True), (far, near, False)):
                    arguments = (source, sink, frozen, counts)
                    threading.Thread(target=self._pass_on, args=arguments, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, frozen: threading.Event, counts: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                passed += len(data) if counts else 0
                if self.reset_after is not None and passed > self.reset_after:
                    self.accept = self.comes_back
                    for end in (source, sink):
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        end.close()
                    return
                if self.freeze_after is not None and passed > self.freeze_after:
                    frozen.set()
                    self.accept = self.comes_back
                if frozen.is_set():
                    time.sleep(60)
                    return
                if self.rate:
                    time.sleep(len(data) / self.rate)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
