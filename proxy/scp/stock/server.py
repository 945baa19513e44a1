"""pynetdicom's threaded server on listening sockets that already exist, with our application behind it."""

import socket
import ssl
import threading
import time
from collections.abc import Sequence
from typing import Any

from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.transport import ThreadedAssociationServer

from proxy.config import LimitsSettings, Listener
from proxy.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from proxy.dicom.messages import Admission, Application, Refusal
from proxy.scp.stock.receiver import cut
from proxy.scp.stock.serving import Serving, accept, offer_of

_TICK = 0.05  # seconds between looks while draining
_LULL = 1.0  # seconds without a request after which a draining server ends an association
_CUT_AFTER = 2.0  # seconds for peers to close aborted associations before their connections are cut
_SHUTTING_DOWN = Refusal(2, 3, 1, "shutting down")  # temporary congestion
_NAMES = (IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME)
_UNUSED = [build_context("1.2.840.10008.1.1")]  # pynetdicom wants some; the application negotiates


class _AdoptingServer(ThreadedAssociationServer):
    """Takes over a bound, listening socket instead of opening one of its own."""

    daemon_threads = True
    adopted: socket.socket

    def server_bind(self) -> None:
        self.socket.close()  # type: ignore[has-type]
        self.socket = self.adopted
        self.server_address = self.adopted.getsockname()

    def server_activate(self) -> None:
        """The socket listens already."""

    def server_close(self) -> None:
        self.socket.close()


class StockServer:
    """Serves `application` by pynetdicom on every given listener; same verbs as `proxy.wire.FastServer`."""

    def __init__(
        self,
        listeners: Sequence[tuple[socket.socket, ssl.SSLContext | None]],
        application: Application,
        listener: Listener,
        limits: LimitsSettings,
    ) -> None:
        self._listeners = listeners
        self._application = application
        self._listener = listener
        self._limits = limits
        self._servers: list[_AdoptingServer] = []
        self._open: dict[Association, Admission] = {}
        self._serving: dict[Association, Serving] = {}
        self._refusing = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to accept connections."""
        _config.LOG_HANDLER_LEVEL = "none"
        _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
        for listening, tls in self._listeners:
            ae = AE()
            ae.implementation_class_uid, ae.implementation_version_name = _NAMES
            ae.maximum_associations = 1 << 20  # counted and refused by the application
            ae.maximum_pdu_size = self._listener.max_pdu
            ae.network_timeout = self._limits.idle_timeout
            ae.acse_timeout = self._limits.request_timeout
            server_class = type("AdoptingServer", (_AdoptingServer,), {"adopted": listening})
            handlers: list[Any] = [
                (evt.EVT_REQUESTED, self._requested, [tls is not None]),
                (evt.EVT_RELEASED, self._ended, ["released"]),
                (evt.EVT_ABORTED, self._ended, ["aborted"]),
                (evt.EVT_CONN_CLOSE, self._ended, ["lost"]),
            ]
            server = ae.make_server(
                listening.getsockname(),
                contexts=_UNUSED,
                ssl_context=tls,
                evt_handlers=handlers,
                server_class=server_class,
            )
            ae._servers.append(server)
            self._servers.append(server)
            threading.Thread(target=server.serve_forever, args=(0.2,), daemon=True, name="stock-listener").start()

    @property
    def live(self) -> int:
        """How many associations are open."""
        with self._lock:
            return len(self._open)

    def drain(self, timeout: float) -> None:
        """Reject new associations, let running requests finish for `timeout` seconds, then abort what is left.

        An association on which nothing has happened for a moment is aborted earlier: it would only wait.
        """
        self._refusing = True
        until = time.monotonic() + timeout
        idle_since: dict[Association, float] = {}
        while self.live and (now := time.monotonic()) < until:
            for association, serving in self._associations():
                if not serving.is_idle:
                    idle_since.pop(association, None)
                elif now - idle_since.setdefault(association, now) >= min(_LULL, timeout):
                    association.abort(block=False)
            time.sleep(_TICK)
        for association, _ in self._associations():
            association.abort(block=False)
        self._close()

    def _close(self) -> None:
        """Close the listeners, then every connection: those that never asked at once, the others when they are done.

        A thread of pynetdicom's that waits for the rest of a PDU hears of no abort, and the process would wait for it.
        """
        for server in self._servers:
            server.shutdown()
        left = [association for server in self._servers for association in server.active_associations]
        self._servers.clear()
        for association in left:
            if association.requestor.primitive is None:
                cut(association)
        until = time.monotonic() + _CUT_AFTER
        while any(association.is_alive() for association in left) and time.monotonic() < until:
            time.sleep(_TICK)
        for association in left:
            cut(association)

    def stop(self) -> None:
        """Close everything now."""
        self.drain(0.0)

    def _associations(self) -> list[tuple[Association, Serving]]:
        with self._lock:
            return [(association, self._serving[association]) for association in self._open]

    def _requested(self, event: evt.Event, tls: bool) -> None:
        association = event.assoc
        offer = offer_of(association, tls)
        verdict = _SHUTTING_DOWN if self._refusing else self._application.admit(offer)
        if isinstance(verdict, Refusal):
            association.acse.send_reject(verdict.result, verdict.source, verdict.reason)
            association.is_rejected = True
            association.kill()
            return
        serving = Serving(association, verdict, self._listener, self._limits)
        with self._lock:
            self._open[association] = verdict
            self._serving[association] = serving
        association._serve_request = serving.serve
        association.acse._negotiate_as_acceptor = lambda: accept(association, offer, verdict)

    def _ended(self, event: evt.Event, how: Any) -> None:
        if how == "lost" and event.assoc.acse.is_aborted("a-abort"):
            how = "aborted"  # the connection was closed before pynetdicom got round to telling why
        with self._lock:
            admission = self._open.pop(event.assoc, None)
            serving = self._serving.pop(event.assoc, None)
        if admission is not None and serving is not None:
            admission.association.ended(how, serving.why)
