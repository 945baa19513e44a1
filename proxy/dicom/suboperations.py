"""Counting sub-operations of a C-GET or C-MOVE: what to report while it runs and how it ended.

Sources: PS3.4 C.4.2.1.5 and C.4.3.1.4 (statuses), C.4.2.1.4.2 (failed list), PS3.7 9.1.3 and 9.1.4 (counts).
"""

from proxy.dicom.elements import uid_list_identifier
from proxy.dicom.messages import Counts, Response
from proxy.dicom.status import PENDING, STORE_WARNINGS, Status

# A value in an explicit VR with a short header holds 65534 bytes: about a thousand UIDs.
_FAILED_LIST_BYTES = 0xFFFE
# The receiver has the instance already. Orthanc, too, takes that for success (since 1.12.4).
_DUPLICATE = 0x0111


class SubOperations:
    """The counts of one retrieve; `remaining` is how many instances it has to send."""

    __slots__ = ("_failed_bytes", "comment", "completed", "failed", "failed_uids", "remaining", "warning")

    def __init__(self, remaining: int) -> None:
        self.remaining = remaining
        self.completed = 0
        self.failed = 0
        self.warning = 0
        self.failed_uids: list[str] = []
        self._failed_bytes = 0
        self.comment = ""

    def __repr__(self) -> str:
        counts = f"{self.remaining} remaining, {self.completed} completed, {self.failed} failed"
        return f"<SubOperations {counts}, {self.warning} with warning>"

    def record(self, sop_instance_uid: str, status: int, comment: str = "") -> None:
        """One sub-operation is over, with the C-STORE `status`; the first failure's comment is kept."""
        self.remaining -= 1
        if status == Status.SUCCESS or status == _DUPLICATE:
            self.completed += 1
        elif status in STORE_WARNINGS or status >> 12 == 0xB:
            self.warning += 1
        else:
            self._fail(sop_instance_uid)
            self.comment = self.comment or comment or f"the receiver answered {status:04X}"

    def _fail(self, sop_instance_uid: str) -> None:
        self.failed += 1
        self._failed_bytes += len(sop_instance_uid) + 1
        if self._failed_bytes <= _FAILED_LIST_BYTES:
            self.failed_uids.append(sop_instance_uid)

    def advance(self, percentage: int) -> bool:
        """So much of all is done, as far as somebody else tells who does it; True where that is more than before."""
        total = self.remaining + self.completed
        completed = min(total, max(self.completed, total * percentage // 100))
        progressed = completed > self.completed
        self.completed, self.remaining = completed, total - completed
        return progressed

    def pending(self) -> Response:
        """How far it is."""
        return Response(Status.PENDING, counts=Counts(self.remaining, self.completed, self.failed, self.warning))

    def response(self, status: int) -> Response:
        """The response with `status` and the counts so far.

        A final one lists what failed and says why first; only a cancelled one tells how many remain.
        """
        if status in PENDING:
            return self.pending()
        remaining = self.remaining if status == Status.CANCEL else None
        failed_uids = self.failed_uids if status != Status.SUCCESS else []
        return Response(
            status,
            identifier=uid_list_identifier(failed_uids) if failed_uids else None,
            comment=self.comment[:64],
            counts=Counts(remaining, self.completed, self.failed, self.warning),
        )

    def final_status(self) -> Status:
        """How the retrieve ended, once nothing remains."""
        if not self.failed and not self.warning:
            return Status.SUCCESS
        if self.completed or self.warning:
            return Status.SUBOPERATIONS_WARNING
        return Status.UNABLE_TO_PERFORM
