"""Sending located instances to a receiver, one after the other: the loop that C-GET and C-MOVE share.

Before each sub-operation a C-CANCEL is looked for; after each one a Pending tells the counts, and so it does at
every heartbeat while something is slow. What goes wrong with one instance fails that sub-operation alone.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field

from proxy.dicom.messages import Counts, Located, Outgoing, Receiver, Request, Response
from proxy.dicom.status import Status
from proxy.dicom.suboperations import SubOperations
from proxy.errors import DestinationUnreachable, NoAcceptableContext, ReceiverLost
from proxy.services.readahead import Convert, Instances, Prepared, ReadAhead, discard
from proxy.services.waiting import Background, Cancelled, waited

_FAILED = int(Status.PROCESSING_FAILURE)
# A destination is opened again when it goes away, until it does so three times without a success between.
_LOSSES = 2
_LONG = 1 << 20  # bytes; more than that may take longer than a heartbeat to be written to a Move Destination


@dataclass(frozen=True, slots=True)
class Batch:
    """Instances for one association: the requestor's own (`receiver`), or one that `open` opens."""

    located: Sequence[Located]
    receiver: Receiver | None = None
    open: Callable[[], Receiver] | None = None


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How instances are retrieved in this pipeline: `heartbeat` in seconds, `downloads` threads for one request."""

    instances: Instances
    convert: Convert
    downloads: int = 2
    heartbeat: float = 3.0

    def background(self) -> Background:
        """Threads for one request; the caller closes them."""
        return Background(self.downloads)

    def run(self, request: Request, batches: Iterable[Batch], background: Background) -> Iterator[Response]:
        """Send all batches and report; the last response is the final one. Raises ReceiverLost."""
        batches = list(batches)
        run = _Run(self, request, SubOperations(sum(len(batch.located) for batch in batches)), background)
        return run.responses(batches)


def nothing_matched() -> Response:
    """The final response where there is nothing to send: a success with no sub-operation (PS3.4 C.4.3.1.4)."""
    return Response(Status.SUCCESS, counts=Counts(None))


def too_many(matches: int, most: int) -> Response:
    """The final response to a request for more than [limits] suboperations."""
    comment = f"{matches} instances match, at most {most} can be asked for"
    return Response(Status.UNABLE_TO_PERFORM, comment=comment[:64], counts=Counts(None))


def not_counted_yet() -> Response:
    """A Pending from before the matches are known: there is at least something to wait for."""
    return Response(Status.PENDING, counts=Counts(1))


@dataclass(slots=True)
class _Run:
    """The state of one retrieve."""

    how: Retrieval
    request: Request
    counts: SubOperations
    background: Background
    receiver: Receiver | None = None  # the last one, for what it accepts, also while it is opened again
    is_open: bool = False
    losses: int = 0
    writer: Background = field(default_factory=lambda: Background(1))

    def responses(self, batches: list[Batch]) -> Iterator[Response]:
        try:
            for batch in batches:
                yield from self._batch(batch)
        except Cancelled:
            yield self.counts.response(Status.CANCEL)
            return
        finally:
            self.writer.close()
        yield self.counts.response(self.counts.final_status())

    def _batch(self, batch: Batch) -> Iterator[Response]:
        ahead = ReadAhead(batch.located, self.how.instances, self.how.convert, self._accepts, self.background)
        sent = 0
        try:
            yield from self._open(batch)
            for located in batch.located:
                if self.request.is_cancelled():
                    raise Cancelled
                status, comment = yield from self._suboperation(batch, ahead)
                self.counts.record(located.sop_instance_uid, status, comment)
                sent += 1
                yield self.counts.pending()
        except DestinationUnreachable as error:
            for located in batch.located[sent:]:
                self.counts.record(located.sop_instance_uid, _FAILED, error.comment)
        finally:
            ahead.close()
            self._close()

    def _suboperation(self, batch: Batch, ahead: ReadAhead) -> Generator[Response, None, tuple[int, str]]:
        """One instance from the window to the receiver's answer: status, and a comment where it failed."""
        prepared = ahead.next()
        if isinstance(prepared, Future):
            prepared = yield from self._ready(prepared)
        self._note(prepared)
        if prepared.outgoing is None:
            return _FAILED, prepared.error.comment if prepared.error is not None else ""
        try:
            return (yield from self._deliver(batch, ahead, prepared.outgoing))
        except NoAcceptableContext as error:
            return _FAILED, error.comment
        finally:
            prepared.outgoing.close()

    def _ready(self, future: Future[Prepared]) -> Generator[Response, None, Prepared]:
        try:
            return (yield from waited(future, self.request, self.how.heartbeat, self.counts.pending))
        except BaseException:
            discard(future)
            raise

    def _deliver(
        self, batch: Batch, ahead: ReadAhead, outgoing: Outgoing
    ) -> Generator[Response, None, tuple[int, str]]:
        """Send it; a destination that is lost is opened again. Raises DestinationUnreachable when that is no use."""
        while True:
            try:
                status = yield from self._send(outgoing, ahead)
                self.losses = 0
                return status, ""
            except ReceiverLost as lost:
                if batch.open is None:
                    raise
                self.losses += 1
                if self.losses > _LOSSES:
                    raise DestinationUnreachable(lost.comment) from lost
                self._close()
                yield from self._open(batch)
                if self.losses > 1 or not isinstance(outgoing.data, memoryview):
                    return _FAILED, lost.comment

    def _send(self, outgoing: Outgoing, ahead: ReadAhead) -> Generator[Response, None, int]:
        """One C-STORE; the next instance is prepared while the receiver digests this one."""
        receiver = self.receiver
        if receiver is None:
            raise DestinationUnreachable("no association")
        if self.is_open and (not isinstance(outgoing.data, memoryview) or len(outgoing.data) > _LONG):
            yield from self._written(receiver, outgoing)
        else:
            receiver.begin(outgoing)
        ahead.fill()
        while (status := receiver.finish(self.how.heartbeat)) is None:
            yield self.counts.pending()
        return status

    def _written(self, receiver: Receiver, outgoing: Outgoing) -> Generator[Response, None, None]:
        """The request of a large instance; over a slow line the requestor hears from us meanwhile.

        Of a C-GET it hears all the time: the requestor is the one who receives.
        """
        writing = self.writer.submit(receiver.begin, outgoing)
        try:
            while not wait((writing,), timeout=self.how.heartbeat).done:
                yield self.counts.pending()
        except BaseException:
            wait((writing,))  # the data set must not be given back before
            raise
        writing.result()

    def _open(self, batch: Batch) -> Generator[Response, None, None]:
        """Have a receiver. Raises DestinationUnreachable, Cancelled."""
        if batch.open is None:
            self.receiver = batch.receiver
            return
        opening = self.background.submit(batch.open)
        try:
            self.receiver = yield from waited(opening, self.request, self.how.heartbeat, self.counts.pending)
        except BaseException:
            if not opening.cancel():
                opening.add_done_callback(_close_receiver)
            raise
        self.is_open = True

    def _close(self) -> None:
        """Release what we opened; the requestor's own association is not ours to end."""
        if self.is_open and self.receiver is not None:
            self.is_open = False
            self.receiver.close()

    def _accepts(self, sop_class_uid: str) -> Sequence[str]:
        receiver = self.receiver
        return receiver.accepts(sop_class_uid) if receiver is not None else ()

    def _note(self, prepared: Prepared) -> None:
        tally = self.request.tally
        tally.bytes += prepared.size
        if prepared.was_hit:
            tally.cache_hits += 1
        else:
            tally.cache_misses += 1


def _close_receiver(opening: Future[Receiver]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
