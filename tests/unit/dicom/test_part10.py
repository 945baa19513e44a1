"""The head of a DICOM file, beside what pydicom writes and reads."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from proxy.dicom.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from proxy.dicom.part10 import FileMeta, Provenance, read_meta, write_meta
from tests.support.instances import instance, part10

UIDS = st.from_regex(r"[1-9](\.[1-9][0-9]{0,5}){1,8}", fullmatch=True)


def test_a_file_of_pydicom_is_read():
    image = instance()
    file = part10(image)
    meta = read_meta(file)
    assert meta.sop_class_uid == image.SOPClassUID
    assert meta.sop_instance_uid == image.SOPInstanceUID
    assert meta.transfer_syntax == EXPLICIT_LITTLE
    assert file[meta.dataset_offset :][:4] == b"\x08\x00\x05\x00"
    assert read_meta(memoryview(file)[132:]) == FileMeta(
        meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax, meta.dataset_offset - 132
    )


@given(UIDS, UIDS, st.sampled_from([EXPLICIT_LITTLE, IMPLICIT_LITTLE]))
def test_what_is_written_is_read_by_us_and_by_pydicom(sop_class, sop_instance, syntax):
    head = write_meta(sop_class, sop_instance, syntax)
    assert read_meta(head) == FileMeta(sop_class, sop_instance, syntax, len(head))
    meta = dcmread(BytesIO(head)).file_meta
    assert meta.MediaStorageSOPInstanceUID == sop_instance
    assert meta.FileMetaInformationGroupLength == len(head) - 144


def test_provenance_names_who_sent_what_to_whom():
    provenance = Provenance("MODALITY", "PROXY", "192.0.2.7", 104, "archive.example")
    meta = dcmread(BytesIO(write_meta("1.2", "1.2.3", EXPLICIT_LITTLE, provenance=provenance))).file_meta
    assert (meta.SourceApplicationEntityTitle, meta.SendingApplicationEntityTitle) == ("MODALITY", "MODALITY")
    assert meta.ReceivingApplicationEntityTitle == "PROXY"
    assert meta[0x00020026].value == "dicom://192.0.2.7:104"
    assert meta[0x00020028].value == "dicom://archive.example"


@pytest.mark.parametrize("cut", [140, 150, 200, 260])
def test_a_head_that_is_cut_off_is_an_error(cut):
    with pytest.raises(ValueError, match="file meta information"):
        read_meta(part10(instance())[:cut])


@given(st.binary(max_size=300))
def test_anything_else_is_an_error_and_no_crash(noise):
    for data in (noise, b"\0" * 128 + b"DICM" + noise):
        try:
            assert read_meta(data).transfer_syntax is not None
        except ValueError:
            pass
