"""The fast server: a front door, and a thread for each association that came through it."""

import socket
import ssl
import threading
import time
from collections.abc import Sequence

from proxy.config import LimitsSettings, Listener
from proxy.dicom.messages import Admission, Application, Offer
from proxy.wire.association import AcceptedAssociation
from proxy.wire.front_door import FrontDoor
from proxy.wire.transport import transport_for

_TICK = 0.05  # seconds between looks while draining
_LULL = 1.0  # seconds without a request after which a draining server ends an association
_CUT_AFTER = 2.0  # seconds for an aborted association to leave its thread before its connection is cut


class FastServer:
    """Serves `application` on bound, listening sockets, each with the TLS context it speaks or None.

    With `shared`, other processes accept from the same sockets, and one that is idle should win.
    """

    def __init__(
        self,
        listeners: Sequence[tuple[socket.socket, ssl.SSLContext | None]],
        application: Application,
        listener: Listener,
        limits: LimitsSettings,
        *,
        shared: bool = False,
    ) -> None:
        self._listener = listener
        self._limits = limits
        self._open: dict[AcceptedAssociation, threading.Thread] = {}
        self._lock = threading.Lock()
        busy = self._busy if shared else None
        self._front_door = FrontDoor(listeners, application, limits, self._begin, busy)

    def start(self) -> None:
        """Begin to accept connections."""
        self._front_door.start()

    @property
    def live(self) -> int:
        """How many associations are open."""
        return len(self._open)

    def drain(self, timeout: float) -> None:
        """Reject new associations, let running requests finish for `timeout` seconds, then stop.

        An association on which nothing has happened for a moment is aborted earlier: it would only wait.
        """
        self._front_door.refuse()
        until = time.monotonic() + timeout
        idle_since: dict[AcceptedAssociation, float] = {}
        while self.live and (now := time.monotonic()) < until:
            for association in self._associations():
                if not association.is_idle:
                    idle_since.pop(association, None)
                elif now - idle_since.setdefault(association, now) >= min(_LULL, timeout):
                    association.abort("the server is shutting down")
            time.sleep(_TICK)
        self.stop()

    def stop(self) -> None:
        """Abort what runs, close everything."""
        for association in self._associations():
            association.abort("the server is shutting down")
        until = time.monotonic() + _CUT_AFTER
        while self.live and time.monotonic() < until:
            time.sleep(_TICK / 5)
        for association in self._associations():
            association.cut()
        self._front_door.stop()

    def _begin(self, connected: socket.socket, offer: Offer, admission: Admission) -> None:
        """Give an admitted association its thread. Raises RuntimeError where there is none to be had."""
        association = AcceptedAssociation(
            transport_for(connected, send_timeout=self._limits.send_timeout),
            offer,
            admission,
            listener=self._listener,
            limits=self._limits,
            see_out=self._front_door.see_out,
        )
        name = admission.association.requestor.label
        thread = threading.Thread(target=self._run, args=(association,), name=name, daemon=True)
        with self._lock:
            self._open[association] = thread
        try:
            thread.start()
        except RuntimeError:
            self._forget(association)
            raise

    def _run(self, association: AcceptedAssociation) -> None:
        try:
            association.run()
        finally:
            self._forget(association)

    def _forget(self, association: AcceptedAssociation) -> None:
        with self._lock:
            self._open.pop(association, None)

    def _associations(self) -> list[AcceptedAssociation]:
        with self._lock:
            return list(self._open)

    def _busy(self) -> int:
        return sum(not association.is_idle for association in self._associations())
