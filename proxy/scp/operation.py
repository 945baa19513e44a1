"""What is told about one DIMSE request: that it runs, how far it is, how it ended."""

import time

from proxy.dicom.messages import Requestor, Response, Tally
from proxy.events import OperationEnded, OperationProgress
from proxy.journal import Journal

_PROGRESS_INTERVAL = 1.0  # seconds
_GONE = -1  # instead of a status: the association ended before the final response


class Operation:
    """One request from its arrival to its final response, as events; `ended` or `gone` is told once."""

    def __init__(
        self,
        journal: Journal,
        requestor: Requestor,
        pipeline: str,
        command: str,
        message_id: int,
        tally: Tally,
        destination: str = "",
        sop_class: str = "",
    ) -> None:
        self._journal = journal
        self._requestor = requestor
        self._pipeline = pipeline
        self._command = command
        self._message_id = message_id
        self._tally = tally
        self._destination = destination
        self._sop_class = sop_class
        self._started = time.time()
        self._clock = time.monotonic()
        self._told = self._clock
        self._matches = 0
        self._last: Response | None = None
        self._over = False

    def pending(self, response: Response) -> None:
        """Take note of a Pending response."""
        self._last = response
        if response.identifier is not None:
            self._matches += 1
        self.progress()

    def progress(self) -> None:
        """Tell how far it is, unless that was told within the last second."""
        now = time.monotonic()
        if now - self._told >= _PROGRESS_INTERVAL:
            self._told = now
            self.tell()

    def tell(self) -> None:
        """Tell how far it is."""
        counts = self._last.counts if self._last is not None else None
        self._journal.emit(
            OperationProgress(
                association_id=self._requestor.association_id,
                label=self._requestor.label,
                calling_aet=self._requestor.calling_aet,
                pipeline=self._pipeline,
                command=self._command,
                message_id=self._message_id,
                level=self._tally.level,
                destination=self._destination,
                remaining=(counts.remaining or 0) if counts else 0,
                completed=counts.completed if counts else 0,
                failed=counts.failed if counts else 0,
                warning=counts.warning if counts else 0,
                bytes=self._tally.bytes,
                started=self._started,
            )
        )

    def ended(self, final: Response) -> None:
        """Tell the final response, once."""
        self._end(final.status, final.comment, final)

    def gone(self) -> None:
        """Tell that the association ended first; nothing where the final response was told already."""
        self._end(_GONE, "the association ended before the final response", self._last)

    def _end(self, status: int, comment: str, last: Response | None) -> None:
        if self._over:
            return
        self._over = True
        counts = last.counts if last is not None else None
        self._journal.emit(
            OperationEnded(
                association_id=self._requestor.association_id,
                label=self._requestor.label,
                calling_aet=self._requestor.calling_aet,
                pipeline=self._pipeline,
                command=self._command,
                message_id=self._message_id,
                status=int(status),
                comment=comment,
                level=self._tally.level,
                destination=self._destination,
                duration=time.monotonic() - self._clock,
                bytes=self._tally.bytes,
                matches=self._matches,
                completed=counts.completed if counts else 0,
                failed=counts.failed if counts else 0,
                warning=counts.warning if counts else 0,
                cache_hits=self._tally.cache_hits,
                cache_misses=self._tally.cache_misses,
                sop_class=self._sop_class,
            )
        )
