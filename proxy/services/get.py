"""C-GET (PS3.4 C.4.3): what Orthanc holds of the request, sent back on the requestor's own association."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from proxy.dicom.identifier import RetrieveKeys
from proxy.dicom.messages import Counts, Located, Request, Response
from proxy.dicom.status import Status
from proxy.services.retrieve import Batch, Retrieval, not_counted_yet, nothing_matched, too_many
from proxy.services.waiting import Background, Cancelled, waited

KeysOf = Callable[[Request], RetrieveKeys]
"""The keys of a retrieve request. Raises InvalidIdentifier."""

Locate = Callable[[RetrieveKeys], list[Located]]
"""All instances that match. Raises OrthancError."""


@dataclass(frozen=True, slots=True)
class GetService:
    """Answers C-GET."""

    keys_of: KeysOf
    locate: Locate
    retrieval: Retrieval

    def answer(self, request: Request) -> Iterator[Response]:
        """Pendings with counts, then the final response. Raises ProxyError."""
        keys = self.keys_of(request)
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
        elif len(located) > self.retrieval.most:
            yield too_many(len(located), self.retrieval.most)
        else:
            yield from self.retrieval.run(request, [Batch(located, receiver=request.receiver)], background)
