"""What stands before an HTTP server to speak TLS for it, as a reverse proxy does; it asks for client certificates.

Orthanc itself will not do: Debian 12's loses its process with the first https connection (its web server is older
than its OpenSSL).
"""

import contextlib
import select
import socket
import ssl
import threading
from pathlib import Path


class TlsFront:
    """Listens on all addresses of this machine's, and passes on to a port of 127.0.0.1."""

    def __init__(self, target: int, certificate: tuple[Path, Path], client_ca: Path) -> None:
        self._target = target
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*certificate)
        self._context.load_verify_locations(client_ca)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._listening = socket.create_server(("0.0.0.0", 0), backlog=64)
        self.port: int = self._listening.getsockname()[1]
        self._ends: list[socket.socket] = []

    def __enter__(self) -> "TlsFront":
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for end in self._ends:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(end, socket.SHUT_RDWR)
            end.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                threading.Thread(target=self._pass_on, args=(near,), daemon=True).start()

    def _pass_on(self, plain: socket.socket) -> None:
        """One connection, in one thread: two must not use a TLS connection at the same time."""
        with contextlib.suppress(OSError), plain:
            plain.settimeout(10)
            near = self._context.wrap_socket(plain, server_side=True)
            far = socket.create_connection(("127.0.0.1", self._target), 10)
            self._ends += [near, far]
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with near, far:
                while True:
                    ready = [near] if near.pending() else select.select([near, far], [], [])[0]
                    for source, sink in ((near, far), (far, near)):
                        if source in ready:
                            data = source.recv(1 << 16)
                            if not data:
                                return
                            sink.sendall(data)
