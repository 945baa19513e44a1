"""A spool file tells by itself where it came from."""

from io import BytesIO

import pydicom
import pytest

from proxy.spool.envelope import bare_head, envelope_of, read_head, write_head
from tests.fakes.received import CT, EXPLICIT, request


def test_what_is_written_is_read_also_when_completed_in_place() -> None:
    begun = envelope_of("main", request("1.2.3"))
    head = write_head(begun)
    assert read_head(head) == (begun, len(head))
    whole = begun.complete("1." * 31 + "11", "2." * 31 + "22", "A" * 16, 1 << 62, "f" * 32)
    completed = write_head(whole, len(head))
    assert len(completed) == len(head)
    assert read_head(completed + b"data") == (whole, len(head))


def test_any_dicom_program_sees_where_it_came_from() -> None:
    meta = pydicom.dcmread(BytesIO(write_head(envelope_of("main", request("1.2.3"))))).file_meta
    assert meta.MediaStorageSOPClassUID == CT
    assert meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert meta.TransferSyntaxUID == EXPLICIT
    assert (meta.SourceApplicationEntityTitle, meta.SendingApplicationEntityTitle) == ("CT_1", "CT_1")
    assert meta.ReceivingApplicationEntityTitle == "PROXY"
    assert meta[0x00020026].value == meta[0x00020027].value == "dicom://10.1.2.3:50123"
    assert meta[0x00020028].value.startswith("dicom://")


def test_targets_get_the_same_head_whoever_sent_the_instance_and_when() -> None:
    first, second = envelope_of("a", request("1.2.3")), envelope_of("b", request("1.2.3"))
    assert first.id != second.id
    assert bare_head(first) == bare_head(second)


@pytest.mark.parametrize("cut", [0, 100, 200, 300, 400])
def test_a_damaged_head_is_told(cut: int) -> None:
    head = write_head(envelope_of("main", request("1.2.3")))
    with pytest.raises(ValueError):
        read_head(head[:cut])
    with pytest.raises(ValueError):
        read_head(bare_head(envelope_of("main", request("1.2.3"))))
    broken = head.replace(b'"pipeline"', b'"pipelinf"')
    with pytest.raises(ValueError):
        read_head(broken)
