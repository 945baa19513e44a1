"""What a request for storage commitment means, what is committed, and how that is told."""

import io

import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from proxy.dicom.commitment import Reason, Reference, Transaction, Verdict, event_information, judge, transaction_of
from proxy.errors import InvalidIdentifier, UnreadableIdentifier

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
A, B, C = Reference(CT, "1.1"), Reference(CT, "1.2"), Reference(MR, "1.3")


def encoded(transfer_syntax: str, *references: Reference, uid: str | None = "1.9") -> bytes:
    dataset = Dataset()
    if uid is not None:
        dataset.TransactionUID = uid
    dataset.ReferencedSOPSequence = []
    for reference in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference.sop_class_uid, reference.sop_instance_uid
        dataset.ReferencedSOPSequence.append(item)
    target = DicomBytesIO()
    target.is_implicit_VR, target.is_little_endian = transfer_syntax == IMPLICIT, transfer_syntax != BIG
    write_dataset(target, dataset)
    return target.getvalue()


@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, EXPLICIT, BIG])
def test_a_request_is_read_in_each_transfer_syntax_and_names_each_instance_once(transfer_syntax: str) -> None:
    data = encoded(transfer_syntax, A, B, A)
    assert transaction_of(data, transfer_syntax, 8) == Transaction("1.9", (A, B))


@pytest.mark.parametrize(
    ("data", "tag"),
    [
        (encoded(IMPLICIT), 0x00081199),
        (encoded(IMPLICIT, A, uid=None), 0x00081195),
        (encoded(IMPLICIT, Reference(CT, "")), 0x00081155),
        (encoded(IMPLICIT, Reference("", "1.1")), 0x00081150),
    ],
    ids=["no references", "no transaction", "no instance", "no class"],
)
def test_what_is_missing_is_named(data: bytes, tag: int) -> None:
    with pytest.raises(InvalidIdentifier) as caught:
        transaction_of(data, IMPLICIT, 8)
    assert caught.value.offending_tags == (tag,)


@pytest.mark.parametrize(
    ("waiting", "held", "verdict"),
    [
        (set(), {"1.1": {CT}, "1.2": {CT}, "1.3": {MR}}, Verdict((A, B, C), ())),
        (set(), {"1.1": {CT}}, Verdict((A,), ((B, Reason.NO_SUCH_INSTANCE), (C, Reason.NO_SUCH_INSTANCE)))),
        (set(), {"1.1": {MR}, "1.2": {MR, CT}, "1.3": {""}}, Verdict((B, C), ((A, Reason.CLASS_CONFLICT),))),
        ({"1.1"}, {"1.1": {CT}, "1.2": {CT}, "1.3": {MR}}, Verdict((B, C), (), (A,))),
        ({"1.1"}, None, Verdict((), (), (A, B, C))),
    ],
    ids=["all there", "some missing", "other classes", "a newer one waits", "archive away"],
)
def test_only_what_the_archive_holds_and_nothing_newer_replaces_is_committed(
    waiting: set[str], held: dict[str, set[str]] | None, verdict: Verdict
) -> None:
    assert judge((A, B, C), waiting, held) == verdict


def test_what_is_undecided_when_the_time_is_over_has_failed() -> None:
    late = Verdict((A,), (), (B,)).final()
    assert late == Verdict((A,), ((B, Reason.PROCESSING_FAILURE),))
    assert (Verdict((A,), ()).event_type, late.event_type) == (1, 2)


@pytest.mark.parametrize(
    ("committed", "failed"), [((A,), ()), ((), ((B, Reason.CLASS_CONFLICT),)), ((A,), ((B, 0x0112),))]
)
def test_a_report_says_who_is_committed_and_why_others_are_not(committed: tuple, failed: tuple) -> None:
    told = event_information(Transaction("1.9", (A, B)), Verdict(committed, failed), "PROXY")
    read = dcmread(io.BytesIO(told.encode(IMPLICIT)), force=True)
    assert (read.TransactionUID, read.RetrieveAETitle) == ("1.9", "PROXY")
    assert ("ReferencedSOPSequence" in read, "FailedSOPSequence" in read) == (bool(committed), bool(failed))
    for item, reference in zip(read.get("ReferencedSOPSequence", []), committed, strict=True):
        assert (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) == (CT, reference.sop_instance_uid)
    for item, (reference, reason) in zip(read.get("FailedSOPSequence", []), failed, strict=True):
        assert (item.ReferencedSOPInstanceUID, item.FailureReason) == (reference.sop_instance_uid, reason)


def test_what_pydicom_cannot_read_is_unreadable() -> None:
    charset = b"\x08\x00\x05\x00CS\x06\x00\0TUDY "  # a NUL is no encoding that Python would look for
    with pytest.raises(UnreadableIdentifier):
        transaction_of(charset + encoded(EXPLICIT, A), EXPLICIT, 32)
