"""C-GET (PS3.4 C.4.3): what Orthanc holds of the request, sent back on the requestor's own association."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from proxy.config import LimitsSettings
from proxy.dicom.identifier import RetrieveKeys, retrieve_keys
from proxy.dicom.messages import Counts, Located, Request, Response
from proxy.dicom.status import Status
from proxy.services.retrieve import Batch, Retrieval, not_counted_yet, nothing_matched, too_many
from proxy.services.waiting import Background, Cancelled, waited

Locate = Callable[[RetrieveKeys], list[Located]]
"""All instances that match. Raises OrthancError."""


@dataclass(frozen=True, slots=True)
class GetService:
    """Answers C-GET."""

    limits: LimitsSettings
    locate: Locate
    retrieval: Retrieval

    def answer(self, request: Request) -> Iterator[Response]:
        """Pendings with counts, then the final response. Raises ProxyError."""
        keys = retrieve_keys(request.identifier, request.transfer_syntax, self.limits)
        request.tally.level = keys.level
        background = self.retrieval.background()
        try:
            yield from self._answer(request, keys, background)
        except Cancelled:
            yield Response(Status.CANCEL, counts=Counts(0))
        finally:
            background.close()

    def _answer(self, request: Request, keys: RetrieveKeys, background: Background) -> Iterator[Response]:
        locating = background.submit(self.locate, keys)
        located = yield from waited(locating, request, self.retrieval.heartbeat, not_counted_yet)
        if not located:
            yield nothing_matched()
        elif len(located) > self.limits.suboperations:
            yield too_many(len(located), self.limits.suboperations)
        else:
            yield from self.retrieval.run(request, [Batch(located, receiver=request.receiver)], background)
