"""Keeps the promises of storage commitment: looks until all is decided, then reports, until somebody has listened.

Reports go out on a new association to the requestor, in which we propose to be SCP (PS3.4 J.3.3, PS3.7 D.3.3.4).
"""

import logging
import random
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from proxy import wire
from proxy.config import CommitmentSettings
from proxy.dicom.commitment import PUSH_MODEL_INSTANCE, Verdict, event_information, judge
from proxy.dicom.elements import Elements
from proxy.errors import DestinationUnreachable, NoAcceptableContext, OrthancError, ProxyError, ReceiverLost
from proxy.events import Trouble
from proxy.journal import Journal
from proxy.spool.breaker import delay
from proxy.spool.transactions import Promise, Transactions

_LOGGER = logging.getLogger(__name__)
_LOOK_EVERY = 0.5  # seconds
_UNDECIDED_AGAIN = 1.0
_AT_ONCE = 4
Holdings = Callable[[str, Iterable[str]], Mapping[str, Collection[str]]]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a requestor takes reports. `tls` is None where it speaks plainly."""

    aet: str
    host: str
    port: int
    tls: ssl.SSLContext | None = None


Resolve = Callable[[str, str], Address]
"""From a pipeline's name and the requestor's AE title. Raises UnknownDestination, OrthancUnavailable."""
Report = Callable[[Address, str, int, Elements], None]
"""Sends a report to an address under our AE title. Raises DestinationUnreachable."""


@dataclass(slots=True)
class _Effort:
    """What has been done for a promise in this run; all times are monotonic."""

    since: float
    next_at: float
    attempts: int = 0
    verdict: Verdict | None = None
    running: Future[None] | None = field(default=None, compare=False)


class CommitmentReporter:
    """`holdings` asks the Orthanc behind a pipeline, `waiting_uids` the spool."""

    def __init__(
        self,
        transactions: Transactions,
        settings: CommitmentSettings,
        *,
        waiting_uids: Callable[[], Collection[str]],
        holdings: Holdings,
        resolve: Resolve,
        report: Report,
        journal: Journal,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._transactions = transactions
        self._settings = settings
        self._waiting_uids = waiting_uids
        self._holdings = holdings
        self.resolve = resolve
        self._report = report
        self._journal = journal
        self._clock = clock
        self._chance = chance
        self._efforts: dict[str, _Effort] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="commitment", daemon=True)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="commitment-report")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopped.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def join(self, timeout: float) -> None:
        """Wait for what is under way."""
        self._thread.join(timeout)

    def pending(self) -> int:
        """How many promises are not kept yet."""
        return len(self._transactions.ids())

    def _run(self) -> None:
        while not self._stopped.wait(_LOOK_EVERY):
            try:
                self.look()
            except Exception:
                _LOGGER.exception("storage commitment")

    def look(self) -> list[Future[None]]:
        """One round: take up what is due."""
        now = self._clock()
        ids = self._transactions.ids()
        for gone in self._efforts.keys() - set(ids):
            del self._efforts[gone]
        started = []
        for promise_id in ids:
            effort = self._efforts.setdefault(promise_id, _Effort(now, now))
            if now >= effort.next_at and (effort.running is None or effort.running.done()):
                effort.running = self._pool.submit(self._attend, promise_id, effort)
                started.append(effort.running)
        return started

    def _attend(self, promise_id: str, effort: _Effort) -> None:
        try:
            with self._transactions.claim(promise_id) as ours:
                if ours:
                    self._keep(promise_id, effort)
                else:
                    effort.next_at = self._clock() + _LOOK_EVERY
        except Exception as error:
            # The promise stays; most likely our own disk fails
            effort.next_at = self._clock() + self._settings.retry_initial
            self._complain(f"storage commitment is put off: {getattr(error, 'strerror', None) or type(error).__name__}")
            _LOGGER.debug("storage commitment", exc_info=True)

    def _keep(self, promise_id: str, effort: _Effort) -> None:
        """Raises OSError."""
        try:
            promise = self._transactions.read(promise_id)
        except LookupError:
            self._complain("a request for storage commitment is damaged and cannot be answered")
            self._transactions.remove(promise_id)
            return
        effort.verdict = self._decided(promise, effort)
        if effort.verdict is None:
            effort.next_at = self._clock() + _UNDECIDED_AGAIN
            return
        self._tell(promise, effort, effort.verdict)

    def _decided(self, promise: Promise, effort: _Effort) -> Verdict | None:
        """Looked up for every attempt to tell it: a requestor that was away for long is told how it is now."""
        references = promise.transaction.references
        waiting = self._waiting_uids()
        held: Mapping[str, Collection[str]] | None = None
        try:
            held = self._holdings(promise.pipeline, (reference.sop_instance_uid for reference in references))
        except OrthancError as error:
            _LOGGER.info("storage commitment: %s", error.comment)
            if effort.verdict is not None:
                return effort.verdict
        verdict = judge(references, waiting, held)
        if not verdict.undecided:
            return verdict
        return verdict.final() if self._clock() - effort.since >= self._settings.wait else None

    def _tell(self, promise: Promise, effort: _Effort, verdict: Verdict) -> None:
        information = event_information(promise.transaction, verdict, promise.our_aet)
        try:
            address = self.resolve(promise.pipeline, promise.requestor_aet)
            self._report(address, promise.our_aet, verdict.event_type, information)
        except ProxyError as error:
            self._failed(promise, effort, error.comment)
            return
        self._transactions.remove(promise.id)
        _LOGGER.info(
            "storage commitment told to %s: %d committed, %d failed",
            promise.requestor_aet,
            len(verdict.committed),
            len(verdict.failed),
        )

    def _failed(self, promise: Promise, effort: _Effort, why: str) -> None:
        now = self._clock()
        effort.attempts += 1
        if now - effort.since >= self._settings.give_up_after:
            self._complain(f"storage commitment for {promise.requestor_aet} is given up: {why}")
            self._transactions.remove(promise.id)
            return
        if effort.attempts == 1:
            self._complain(f"{promise.requestor_aet} does not take its storage commitment report: {why}")
        settings = self._settings
        effort.next_at = now + delay(effort.attempts, settings.retry_initial, settings.retry_max, self._chance)

    def _complain(self, what: str) -> None:
        self._journal.emit(Trouble(where="commitment", what=what))


def send_report(address: Address, our_aet: str, event_type: int, information: Elements, *, timeout: float) -> None:
    """N-EVENT-REPORT on an association of its own. Raises DestinationUnreachable."""
    try:
        answer = wire.event_report(
            (address.host, address.port),
            calling_aet=our_aet,
            called_aet=address.aet,
            sop_instance_uid=PUSH_MODEL_INSTANCE,
            event_type_id=event_type,
            information=information,
            timeout=timeout,
            tls=address.tls,
        )
    except (NoAcceptableContext, ReceiverLost) as error:
        raise DestinationUnreachable(f"{address.aet}: {error.comment}") from error
    if answer.status != 0:
        raise DestinationUnreachable(f"{address.aet}: N-EVENT-REPORT: {answer.status:04X}")
