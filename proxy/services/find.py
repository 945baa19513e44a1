"""C-FIND (PS3.4 C.4.1): Orthanc searches, the proxy decides what fits and answers in the requestor's own terms."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from proxy.config import LimitsSettings
from proxy.dicom.charset import Charset, orthanc_charset
from proxy.dicom.identifier import FindKeys, find_keys
from proxy.dicom.match import matches, response_identifier, with_own
from proxy.dicom.messages import Request, Response
from proxy.dicom.status import Status
from proxy.errors import OrthancError

Search = Callable[[FindKeys], Iterable[Mapping[str, object]]]
"""All that may match, each as "gggg,eeee" -> value. Raises OrthancError."""

_LOOK_EVERY = 32  # matches between two looks for a C-CANCEL


@dataclass(frozen=True, slots=True)
class FindService:
    """Answers C-FIND. `default_encoding` is Orthanc's, for identifiers that name none; it raises OrthancError."""

    search: Search
    default_encoding: Callable[[], str]
    limits: LimitsSettings

    def answer(self, request: Request) -> Iterator[Response]:
        """One Pending for each match, then the final response. Raises ProxyError."""
        keys = find_keys(request.identifier, request.transfer_syntax, self.limits, self._default())
        request.tally.level = keys.level
        called_aet = request.requestor.called_aet
        pending = Status.PENDING
        answered = 0
        for seen, found in enumerate(self.search(keys)):
            if seen % _LOOK_EVERY == 0 and request.is_cancelled():
                yield Response(Status.CANCEL)
                return
            match = with_own(found, called_aet)
            if not matches(match, keys.keys):
                continue
            if answered == self.limits.results > 0:
                comment = f"more than {answered} matches, the rest is not told"
                yield Response(Status.OUT_OF_RESOURCES, comment=comment)
                return
            answered += 1
            yield Response(pending, response_identifier(match, keys, called_aet))
        yield Response(Status.SUCCESS)

    def _default(self) -> Charset:
        try:
            return orthanc_charset(self.default_encoding())
        except OrthancError:
            return orthanc_charset("Latin1")  # Orthanc's own default; the search will tell what is wrong
