"""Storage Commitment Push Model: what a request means, what is committed, and how that is told. Pure.

Source: PS3.4 J.3.2 (N-ACTION), J.3.3 (N-EVENT-REPORT), PS3.3 C.14 (failure reasons).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from proxy.dicom.elements import EXPLICIT_BIG, IMPLICIT_LITTLE, Elements
from proxy.dicom.structure import check
from proxy.errors import InvalidIdentifier, UnreadableIdentifier

PUSH_MODEL = "1.2.840.10008.1.20.1"
PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"
REQUEST_COMMITMENT = 1  # Action Type ID
_TRANSACTION_UID, _REFERENCED, _FAILED = 0x00081195, 0x00081199, 0x00081198
_CLASS, _INSTANCE, _REASON = 0x00081150, 0x00081155, 0x00081197
_RETRIEVE_AET = 0x00080054


class Reason(IntEnum):
    """Failure Reason (0008,1197)."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_INSTANCE = 0x0112
    CLASS_CONFLICT = 0x0119


@dataclass(frozen=True, slots=True)
class Reference:
    """An instance, as the requestor names it."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a requestor wants commitment for."""

    uid: str
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of each reference; `undecided` are on their way to the archive."""

    committed: tuple[Reference, ...]
    failed: tuple[tuple[Reference, Reason], ...]
    undecided: tuple[Reference, ...] = ()

    @property
    def event_type(self) -> int:
        """1 = all committed, 2 = some are not."""
        return 2 if self.failed else 1

    def final(self) -> "Verdict":
        """The same when there is no more time to wait."""
        late = tuple((reference, Reason.PROCESSING_FAILURE) for reference in self.undecided)
        return Verdict(self.committed, self.failed + late)


def transaction_of(data: bytes, transfer_syntax: str, max_depth: int) -> Transaction:
    """The Action Information of a request. Raises UnreadableIdentifier, InvalidIdentifier."""
    check(data, transfer_syntax, max_depth=max_depth)
    try:
        return _transaction(data, transfer_syntax)
    except InvalidIdentifier:
        raise
    except Exception as error:  # pydicom raises whatever its readers meet
        raise UnreadableIdentifier("Action Information cannot be decoded") from error


def _transaction(data: bytes, transfer_syntax: str) -> Transaction:
    dataset = read_dataset(
        BytesIO(data), transfer_syntax == IMPLICIT_LITTLE, transfer_syntax != EXPLICIT_BIG, bytelength=len(data)
    )
    uid = _uid(dataset, _TRANSACTION_UID)
    items = dataset[_REFERENCED].value if _REFERENCED in dataset else None
    if not items:
        raise InvalidIdentifier("Referenced SOP Sequence is missing or empty", (_REFERENCED,))
    references = (Reference(_uid(item, _CLASS), _uid(item, _INSTANCE)) for item in items)
    return Transaction(uid, tuple(dict.fromkeys(references)))


def _uid(dataset: Dataset, tag: int) -> str:
    value = str(dataset[tag].value).strip(" \0") if tag in dataset else ""
    if not value or len(value) > 64 or not set(value) <= set("0123456789."):
        raise InvalidIdentifier("a UID is missing or is none", (tag,))
    return value


def judge(
    references: Iterable[Reference], waiting: Collection[str], held: Mapping[str, Collection[str]] | None
) -> Verdict:
    """`waiting`: SOP Instance UIDs in the spool, looked up *before* `held`: those in the archive, with SOP classes.

    `held` is None while the archive cannot be asked. What waits in the spool is undecided also where the archive has
    an instance of that UID already: another version of it is on its way.
    """
    committed, failed, undecided = [], [], []
    for reference in references:
        classes = None if held is None else held.get(reference.sop_instance_uid, ())
        if classes is None or reference.sop_instance_uid in waiting:
            undecided.append(reference)
        elif not classes:
            failed.append((reference, Reason.NO_SUCH_INSTANCE))
        elif reference.sop_class_uid not in classes and "" not in classes:
            failed.append((reference, Reason.CLASS_CONFLICT))
        else:
            committed.append(reference)
    return Verdict(tuple(committed), tuple(failed), tuple(undecided))


def event_information(transaction: Transaction, verdict: Verdict, retrieve_aet: str) -> Elements:
    """What an N-EVENT-REPORT tells; empty sequences are left out (PS3.4 Table J.3-2)."""
    elements: list[tuple[int, str, bytes | tuple[Elements, ...]]] = [
        (_RETRIEVE_AET, "AE", retrieve_aet.encode("ascii", "replace")),
        (_TRANSACTION_UID, "UI", transaction.uid.encode("ascii")),
    ]
    if verdict.failed:
        elements.append((_FAILED, "SQ", tuple(_item(reference, reason) for reference, reason in verdict.failed)))
    if verdict.committed:
        elements.append((_REFERENCED, "SQ", tuple(_item(reference) for reference in verdict.committed)))
    return Elements(tuple(elements))


def _item(reference: Reference, reason: Reason | None = None) -> Elements:
    pair: list[tuple[int, str, bytes | tuple[Elements, ...]]] = [
        (_CLASS, "UI", reference.sop_class_uid.encode("ascii")),
        (_INSTANCE, "UI", reference.sop_instance_uid.encode("ascii")),
    ]
    if reason is not None:
        pair.append((_REASON, "US", int(reason).to_bytes(2, "little")))
    return Elements(tuple(pair))
