"""The one place where a worker is put together: settings in, a serving application out."""

import socket
import ssl
import threading
from typing import Protocol

from proxy.config import Settings
from proxy.errors import ConfigError
from proxy.events import Trouble
from proxy.journal import Journal
from proxy.scp.application import DicomApplication
from proxy.scp.occupancy import Occupancy
from proxy.scp.stock import StockServer
from proxy.tls import listener_context, refresh
from proxy.wire import FastServer
from proxy.worker.pipelines import Doors, Workshop


class Server(Protocol):
    """What both wires offer."""

    def start(self) -> None:
        """Begin to accept connections."""

    def drain(self, timeout: float) -> None:
        """Let open associations finish within `timeout` seconds, then abort them."""


class Assembly:
    """Everything of one worker; `reload` replaces what may change while associations are open."""

    def __init__(
        self,
        settings: Settings,
        plain: socket.socket | None,
        tls: socket.socket | None,
        occupancy: Occupancy,
        journal: Journal,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._doors = Doors.open(settings, journal)
        self._workshop = Workshop(self._doors, journal)
        self._application = DicomApplication(
            self._workshop.pipelines(settings), settings.listener, settings.limits, occupancy, journal
        )
        self._tls = listener_context(settings.listener.tls)
        listeners: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        if plain is not None:
            listeners.append((plain, None))
        if tls is not None:
            listeners.append((tls, self._tls))
        self._server = self._wire(listeners)
        self._drain_lock = threading.Lock()
        self.drained = False

    def _wire(self, listeners: list[tuple[socket.socket, ssl.SSLContext | None]]) -> Server:
        settings = self._settings
        if settings.listener.wire == "stock":
            return StockServer(listeners, self._application, settings.listener, settings.limits)
        shared = settings.proxy.worker_processes > 1
        return FastServer(listeners, self._application, settings.listener, settings.limits, shared=shared)

    def start(self) -> None:
        """Serve."""
        self._server.start()

    def reload(self, settings: Settings) -> None:
        """Take over pipelines, destinations, limits and certificates for the next associations."""
        try:
            pipelines = self._workshop.pipelines(settings)
            if self._tls is not None:
                refresh(self._tls, settings.listener.tls)
        except ConfigError as error:
            self._journal.emit(Trouble(where="reload", what=str(error), severity="error"))
            return
        self._settings = settings
        self._application.replace(pipelines, settings.listener, settings.limits)

    def drain(self, timeout: float | None = None) -> None:
        """Finish what runs, then end; a second call with a shorter time hurries the first."""
        self._application.drain()
        self._server.drain(self._settings.proxy.drain_timeout if timeout is None else timeout)
        with self._drain_lock:
            if not self.drained:
                self._doors.close()
                self.drained = True
