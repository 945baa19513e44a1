"""One thread that holds every connection until its A-ASSOCIATE-RQ is whole and sound, and again at its end.

Only a complete, plausible request that the application admits gets a thread. Connections that stay silent, drip or
talk nonsense cost a descriptor for a bounded time; past the bound on their number the oldest goes.
"""

import contextlib
import errno
import logging
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from proxy.config import LimitsSettings
from proxy.dicom.messages import Admission, Application, Offer, Refusal
from proxy.wire import pdu
from proxy.wire.arrival import Arrival, TurnedAway, Wait
from proxy.wire.departures import Departures
from proxy.wire.transport import Transport, transport_for

_LOG = logging.getLogger(__name__)

_ACCEPTS = 64  # connections taken in per turn
_PAUSE = 0.1  # seconds without accepting when descriptors have run out
_YIELD = 0.0005  # seconds that a process waits, per association at work, for an idler one to accept
_LONGEST_YIELD = 0.003
_FAREWELL = 0.5  # seconds for peers to close when everything stops
_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_SHUTTING_DOWN = pdu.reject(2, 3, 1)  # temporary congestion
_NO_THREAD = pdu.reject(2, 3, 2)  # local limit exceeded
_OUR_ERROR = pdu.abort(pdu.AbortSource.PROVIDER)
_EVENTS = {Wait.READABLE: selectors.EVENT_READ, Wait.WRITABLE: selectors.EVENT_WRITE}


class FrontDoor:
    """Accepts on `listeners` (bound sockets, each with its TLS context or None) until `stop`.

    `admitted` takes over the socket of each association that the application admits. `busy` tells how many
    associations are at work here; None where no other process accepts from the same sockets.
    """

    def __init__(
        self,
        listeners: Sequence[tuple[socket.socket, ssl.SSLContext | None]],
        application: Application,
        limits: LimitsSettings,
        admitted: Callable[[socket.socket, Offer, Admission], None],
        busy: Callable[[], int] | None = None,
    ) -> None:
        self._listeners = listeners
        self._application = application
        self._limits = limits
        self._admitted = admitted
        self._busy = busy
        self._selector = selectors.DefaultSelector()
        self._arrivals: dict[Arrival, None] = {}  # the oldest first: all have the same time
        self._departures = Departures(self._selector, seconds=limits.request_timeout, bound=limits.pending_connections)
        self._handed_back: deque[Transport] = deque()
        self._wake_lock = threading.Lock()
        self._woken, self._waker = socket.socketpair()
        self._listening = False
        self._resume_at: float | None = None
        self._refusing = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="front-door", daemon=True)

    def start(self) -> None:
        """Begin to accept."""
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._take_wakes)
        for listening, _ in self._listeners:
            listening.setblocking(False)
        self._listen(True)
        self._thread.start()

    def refuse(self) -> None:
        """From now on reject every association: temporary congestion."""
        self._refusing = True

    def see_out(self, transport: Transport) -> None:
        """Take over a connection on which all is said; from any thread."""
        self._handed_back.append(transport)
        if not self._wake():
            transport.close()

    def stop(self) -> None:
        """Stop accepting, give peers a moment to take their last PDU, and close everything."""
        self._stopping = True
        self._wake()
        if self._thread.ident is not None:
            self._thread.join()

    def _wake(self) -> bool:
        """False when the thread has ended, or is about to without another look."""
        with self._wake_lock:  # or the byte could go into another connection that got the same descriptor
            if self._waker.fileno() < 0:
                return False
            with contextlib.suppress(BlockingIOError):  # full of wakes already
                self._waker.send(b"\0")
            return True

    def _take_wakes(self) -> None:
        with contextlib.suppress(OSError):
            self._woken.recv(4096)

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._turn()
            except Exception:
                _LOG.exception("error of ours at the front door")
        self._close()

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._pause()):
            key.data()
        while self._handed_back:
            self._departures.add(self._handed_back.popleft().detach())
        now = time.monotonic()
        while (oldest := self._oldest()) is not None and oldest.deadline <= now:
            self._turn_away(oldest, TurnedAway("no complete A-ASSOCIATE-RQ in time"))
        self._departures.expire(now)
        if self._resume_at is not None and self._resume_at <= now:
            self._resume_at = None
            self._listen(True)

    def _pause(self) -> float | None:
        """Seconds until something has to happen without anybody's doing; None: nothing will."""
        oldest = self._oldest()
        moments = (oldest.deadline if oldest else None, self._departures.deadline(), self._resume_at)
        next_one = min((moment for moment in moments if moment is not None), default=None)
        return None if next_one is None else max(0.0, next_one - time.monotonic())

    def _close(self) -> None:
        self._listen(False)
        for listening, _ in self._listeners:
            listening.close()
        while (arrival := self._oldest()) is not None:
            self._turn_away(arrival, TurnedAway("", _SHUTTING_DOWN))
        until = time.monotonic() + _FAREWELL
        while (self._departures or self._handed_back) and (left := until - time.monotonic()) > 0:
            for key, _ in self._selector.select(0.0 if self._handed_back else left):
                key.data()
            while self._handed_back:
                self._departures.add(self._handed_back.popleft().detach())
        with self._wake_lock:
            self._woken.close()
            self._waker.close()
        while self._handed_back:
            self._handed_back.popleft().close()
        self._departures.close()
        self._selector.close()

    # ------------------------------------------------------------------ accepting

    def _listen(self, on: bool) -> None:
        if on != self._listening:
            self._listening = on
            for listening, tls in self._listeners:
                if on:
                    self._selector.register(listening, selectors.EVENT_READ, partial(self._accept, listening, tls))
                else:
                    self._selector.unregister(listening)

    def _accept(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        if self._busy is not None and (busy := self._busy()):
            time.sleep(min(busy * _YIELD, _LONGEST_YIELD))
        for _ in range(_ACCEPTS):
            try:
                connected, address = listening.accept()
            except OSError as error:  # none left, taken by another process, or gone again
                if error.errno in _EXHAUSTED:
                    self._make_do()
                return
            try:
                arrival = Arrival(connected, address, tls, self._limits)
                self._selector.register(arrival.socket, selectors.EVENT_READ, partial(self._go_on, arrival))
            except (OSError, ValueError):
                connected.close()
                continue
            self._arrivals[arrival] = None
            if len(self._arrivals) > self._limits.pending_connections:
                oldest = next(iter(self._arrivals))
                self._turn_away(oldest, TurnedAway("too many connections without a request"))

    def _make_do(self) -> None:
        """No descriptors are left: give up a connection that is no association, and accept none for a moment."""
        oldest = self._oldest()
        if not self._departures.drop_oldest() and oldest is not None:
            self._turn_away(oldest, TurnedAway("out of file descriptors"))
        self._listen(False)
        self._resume_at = time.monotonic() + _PAUSE

    def _oldest(self) -> Arrival | None:
        return next(iter(self._arrivals), None)

    # ------------------------------------------------------------------ before the association

    def _go_on(self, arrival: Arrival) -> None:
        if arrival not in self._arrivals:  # evicted in this very turn
            return
        try:
            self._advance(arrival)
        except TurnedAway as verdict:
            self._turn_away(arrival, verdict)
        except Exception:  # or the same bytes would bring it up again, turn by turn
            _LOG.exception("error of ours at the front door")
            self._turn_away(arrival, TurnedAway("internal error, see the log", _OUR_ERROR))

    def _advance(self, arrival: Arrival) -> None:
        offer = arrival.read()
        if isinstance(offer, Wait):
            self._selector.modify(arrival.socket, _EVENTS[offer], partial(self._go_on, arrival))
        elif self._refusing:
            raise TurnedAway("shutting down", _SHUTTING_DOWN)
        else:
            self._decide(arrival, offer)

    def _decide(self, arrival: Arrival, offer: Offer) -> None:
        verdict = self._application.admit(offer)
        if isinstance(verdict, Refusal):  # the application has told of it itself
            raise TurnedAway("", pdu.reject(verdict.result, verdict.source, verdict.reason))
        self._let_go(arrival)
        try:
            self._admitted(arrival.socket, offer, verdict)
        except Exception as error:  # mostly because there is no thread to be had
            verdict.association.ended("aborted", f"cannot be served: {error}")
            self._part(arrival, _NO_THREAD)

    def _turn_away(self, arrival: Arrival, verdict: TurnedAway) -> None:
        self._let_go(arrival)
        if verdict.why:
            self._application.turned_away(arrival.peer, verdict.why)
        self._part(arrival, verdict.answer)

    def _let_go(self, arrival: Arrival) -> None:
        self._arrivals.pop(arrival, None)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(arrival.socket)

    def _part(self, arrival: Arrival, answer: bytes) -> None:
        if not answer:
            arrival.close()
            return
        transport = transport_for(arrival.socket, send_timeout=0.0)
        transport.send_parting(answer)
        self._departures.add(transport.detach())
