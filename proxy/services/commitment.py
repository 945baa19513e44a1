"""Storage Commitment Push Model as SCP: a promise is kept on disk before it is given (PS3.4 J).

The report goes out on the same association where the requestor leaves it open and all is decided within a few seconds;
`proxy.workers.commitment` does it otherwise.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from proxy.config import LimitsSettings, Pipeline
from proxy.dicom.commitment import (
    PUSH_MODEL_INSTANCE,
    REQUEST_COMMITMENT,
    Verdict,
    event_information,
    judge,
    transaction_of,
)
from proxy.dicom.messages import Request, Response
from proxy.dicom.status import Status
from proxy.errors import InvalidIdentifier, OrthancError, SpoolFull
from proxy.spool.transactions import Promise, Transactions

_LOOK_EVERY = 0.1  # seconds; doubled from look to look
Holdings = Callable[[Iterable[str]], Mapping[str, Collection[str]]]


@dataclass(frozen=True, slots=True)
class CommitmentService:
    """For one pipeline. `holdings` asks its Orthanc, `waiting_uids` the spool.

    `patience`: seconds for which a requestor that stays on the association may be kept waiting for the report.
    """

    name: str
    pipeline: Pipeline
    limits: LimitsSettings
    transactions: Transactions
    waiting_uids: Callable[[], Collection[str]]
    holdings: Holdings
    patience: float = 3.0

    def answer(self, request: Request) -> Iterator[Response]:
        """The response to N-ACTION, then the report where that can be done at once."""
        refusal = _refusal(request)
        if refusal is not None:
            yield refusal
            return
        try:
            transaction = transaction_of(request.identifier, request.transfer_syntax, self.limits.nesting)
        except InvalidIdentifier as error:
            yield Response(Status.INVALID_ARGUMENT, comment=error.comment, offending_tags=error.offending_tags)
            return
        requestor = request.requestor
        try:
            promise = self.transactions.add(transaction, self.name, requestor.calling_aet, self.pipeline.aet)
        except OSError as error:
            raise SpoolFull("the request cannot be kept") from error
        with self.transactions.claim(promise.id) as ours:
            yield Response(Status.SUCCESS, sop_instance_uid=request.sop_instance_uid)
            if ours and request.notify is not None:
                self._report_here(request, promise)

    def _report_here(self, request: Request, promise: Promise) -> None:
        """Raises ReceiverLost when the association ends, and then somebody else will report."""
        until, pause = time.monotonic() + self.patience, _LOOK_EVERY
        verdict = self._verdict(promise)
        while verdict is None or verdict.undecided:
            if time.monotonic() + pause > until:
                return
            time.sleep(pause)
            pause *= 2
            request.is_cancelled()  # notices that the association has ended
            verdict = self._verdict(promise)
        assert request.notify is not None  # noqa: S101
        information = event_information(promise.transaction, verdict, self.pipeline.aet)
        if request.notify(verdict.event_type, information) == Status.SUCCESS:
            self.transactions.remove(promise.id)

    def _verdict(self, promise: Promise) -> Verdict | None:
        references = promise.transaction.references
        try:
            waiting = self.waiting_uids()
            held = self.holdings(reference.sop_instance_uid for reference in references)
        except (OrthancError, OSError):
            return None
        return judge(references, waiting, held)


def _refusal(request: Request) -> Response | None:
    if request.command != "N-ACTION":
        return Response(Status.UNRECOGNIZED_OPERATION, comment=f"no {request.command} with storage commitment")
    if request.sop_instance_uid != PUSH_MODEL_INSTANCE:
        return Response(Status.NO_SUCH_SOP_INSTANCE, comment="not the Storage Commitment Push Model SOP Instance")
    if request.type_id != REQUEST_COMMITMENT:
        return Response(Status.NO_SUCH_ACTION, comment=f"no action {request.type_id}")
    return None
