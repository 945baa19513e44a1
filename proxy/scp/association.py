"""Our side of one association, and the border where every error becomes a response.

Whatever a service raises, the peer gets exactly one final response (invariant 2): an error of ours that is known
has its status and comment, anything else is a bug, which is logged under a random id that the comment names.
"""

import logging
import secrets
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from proxy.access import Grant
from proxy.dicom.messages import Request, Requestor, Response, Sink, StoreRequest, Tally
from proxy.dicom.negotiation import SERVICE_OF
from proxy.dicom.status import PENDING, Status, status_for
from proxy.errors import InvalidIdentifier, ProxyError, ReceiverLost
from proxy.events import AssociationEnded
from proxy.journal import Journal
from proxy.scp.operation import Operation

_log = logging.getLogger(__name__)

Answer = Callable[[Request], Iterator[Response]]
Receive = Callable[[StoreRequest], Sink]

_SERVICE = {"C-ECHO": "echo", "C-FIND": "find", "C-GET": "get", "C-MOVE": "move"}


@dataclass(frozen=True, slots=True)
class Services:
    """What answers the requests of one pipeline: by name (as "find"), and for C-STORE."""

    answers: Mapping[str, Answer]
    receive: Receive | None = None


class Association:
    """Implements `proxy.dicom.messages.ServedAssociation`. `receivable`: SOP classes we agreed to be SCP of."""

    def __init__(
        self,
        requestor: Requestor,
        pipeline: str,
        grant: Grant,
        services: Services,
        receivable: Collection[str],
        journal: Journal,
        release: Callable[[], None],
    ) -> None:
        self.requestor = requestor
        self._pipeline = pipeline
        self._grant = grant
        self._services = services
        self._receivable = receivable
        self._journal = journal
        self._release = release
        self._opened = time.monotonic()
        self._operations = 0
        self._over = False

    def __repr__(self) -> str:
        return f"<Association {self.requestor.label} {self._operations} operations>"

    def answer(self, request: Request) -> Iterator[Response]:
        """All responses to a request, the final one last. Never raises, but for ReceiverLost."""
        operation = self._operation(request.command, request, request.tally, request.move_destination)
        responses: Iterator[Response] = iter(())
        final: Response | None = None
        try:
            operation.tell()
            responses = self._answer_of(request)(request)
            for response in responses:
                if final is not None:
                    raise RuntimeError(f"{request.command} has a response after its final one")
                if response.status in PENDING:
                    operation.pending(response)
                else:
                    final = response
                    operation.ended(final)
                yield response  # a service may have something to do after its final response
            if final is None:
                raise RuntimeError(f"{request.command} has no final response")
        except Exception as error:
            if isinstance(error, ReceiverLost):
                operation.gone()
                raise
            failure = self._failure(error, request.command)
            if final is None:
                operation.ended(failure)
                yield failure
        finally:
            operation.gone()  # unless its end was told
            _close(responses)

    def receive(self, request: StoreRequest) -> Sink:
        """Where the data set of this C-STORE goes. Never raises."""
        tally = Tally()
        operation = self._operation("C-STORE", request, tally)
        sink: Sink
        try:
            refusal = self._store_refusal(request)
            if refusal is None and self._services.receive is not None:
                sink = self._services.receive(request)
            else:
                sink = _Refused(refusal or Response(Status.SOP_CLASS_NOT_SUPPORTED))
        except Exception as error:
            sink = _Refused(self._failure(error, "C-STORE"))
        return _Observed(sink, operation, tally, self._failure)

    def ended(self, how: Literal["released", "aborted", "lost", "timeout", "protocol error"], why: str) -> None:
        """The association is over: give its slot back and tell it, once."""
        if self._over:
            return
        self._over = True
        self._release()
        self._journal.emit(
            AssociationEnded(
                association_id=self.requestor.association_id,
                label=self.requestor.label,
                calling_aet=self.requestor.calling_aet,
                called_aet=self.requestor.called_aet,
                pipeline=self._pipeline,
                how=how,
                why=why,
                duration=time.monotonic() - self._opened,
                operations=self._operations,
            )
        )

    def _operation(
        self, command: str, request: Request | StoreRequest, tally: Tally, destination: str = ""
    ) -> Operation:
        self._operations += 1
        return Operation(
            self._journal, self.requestor, self._pipeline, command, request.message_id, tally, destination,
            request.sop_class_uid,
        )  # fmt: skip

    def _answer_of(self, request: Request) -> Answer:
        """The service that answers this request, once access rules are satisfied."""
        service = _SERVICE.get(request.command, "commitment")
        answer = self._services.answers.get(service)
        if answer is None or SERVICE_OF.get(request.sop_class_uid) != service:
            return _unsupported
        self._grant.check_service(service)
        if request.command == "C-MOVE":
            self._grant.check_destination(request.move_destination)
        return answer

    def _store_refusal(self, request: StoreRequest) -> Response | None:
        if self._services.receive is None or request.abstract_syntax not in self._receivable:
            return Response(Status.SOP_CLASS_NOT_SUPPORTED, comment="no C-STORE on this presentation context")
        self._grant.check_service("store")
        if request.sop_class_uid != request.abstract_syntax:
            return Response(Status.MISMATCH, comment="SOP class differs from its presentation context")
        return None

    def _failure(self, error: Exception, command: str) -> Response:
        """The final response for what went wrong."""
        status = status_for(error, command)
        if isinstance(error, ProxyError):
            tags = error.offending_tags if isinstance(error, InvalidIdentifier) else ()
            return Response(status, comment=error.comment, offending_tags=tags)
        reference = secrets.token_hex(4)
        where = "".join(traceback.format_tb(error.__traceback__))
        # The message of an unforeseen exception may quote patient data: DEBUG only (invariant 6).
        _log.error(
            "internal error %s, %s of %s: %s\n%s", reference, command, self.requestor.label, type(error).__name__, where
        )
        _log.debug("internal error %s says: %s", reference, error)
        return Response(status, comment=f"internal error {reference}, see the log")


def _unsupported(request: Request) -> Iterator[Response]:
    yield Response(Status.SOP_CLASS_NOT_SUPPORTED, comment=f"no {request.command} with this SOP class")


def _close(responses: Iterator[Response]) -> None:
    close = getattr(responses, "close", None)
    if close is not None:
        close()


class _Refused:
    """Takes a data set that is not wanted, and says why at its end."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def write(self, fragment: memoryview) -> None:
        """Drop it."""

    def finish(self) -> Response:
        """The refusal."""
        return self._response

    def abandon(self) -> None:
        """Nothing to leave behind."""


class _Observed:
    """A sink that is counted and told about, and whose bugs end at the border."""

    def __init__(
        self, sink: Sink, operation: Operation, tally: Tally, failure: Callable[[Exception, str], Response]
    ) -> None:
        self._sink = sink
        self._operation = operation
        self._tally = tally
        self._failure = failure

    def write(self, fragment: memoryview) -> None:
        """Pass it on."""
        self._tally.bytes += len(fragment)
        try:
            self._sink.write(fragment)
        except Exception as error:
            self.abandon_sink()
            self._sink = _Refused(self._failure(error, "C-STORE"))
        self._operation.progress()

    def finish(self) -> Response:
        """The response of the sink, told."""
        try:
            response = self._sink.finish()
        except Exception as error:
            response = self._failure(error, "C-STORE")
        self._operation.ended(response)
        return response

    def abandon(self) -> None:
        """The sender is gone."""
        self._operation.gone()
        self.abandon_sink()

    def abandon_sink(self) -> None:
        """Let the sink clean up, whatever it does."""
        try:
            self._sink.abandon()
        except Exception as error:
            self._failure(error, "C-STORE")
