"""A stock server with a fake application behind it, served on loopback."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from proxy.config import LimitsSettings, Listener
from proxy.scp.stock import StockServer
from tests.unit.wire.serving import SHORT, FakeApplication


@dataclass
class Serving:
    """A running server."""

    server: StockServer
    application: FakeApplication
    port: int


@contextlib.contextmanager
def serving(
    limits: LimitsSettings = SHORT, listener: Listener | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[Serving]:
    """A server on a port of the kernel's choice."""
    application = FakeApplication()
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    port = listening.getsockname()[1]
    server = StockServer([(listening, tls)], application, listener or Listener(pending_interval=0), limits)
    server.start()
    try:
        yield Serving(server, application, port)
    finally:
        server.stop()
        for association in application.associations:
            assert len(association.endings) == 1, f"told {association.endings} of its end"
