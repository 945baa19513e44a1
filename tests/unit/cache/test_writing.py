"""Where a download goes, and how it is told whether it is the instance that was asked for."""

import dataclasses
import os
import struct
import tempfile
from pathlib import Path

import pytest

from proxy.cache.files import CacheFiles, key_of
from proxy.cache.footer import Footer
from proxy.cache.writing import FileWriter, MemoryWriter, Writer, WrongInstance, footer_of
from proxy.dicom.messages import Located
from proxy.dicom.part10 import write_meta
from proxy.errors import OrthancUnavailable
from tests.fakes.archive import Archive, dicom_file
from tests.fakes.received import CT, EXPLICIT, data_set

IMPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
MR = "1.2.840.10008.5.1.4.1.1.4"


def located(sop_instance_uid: str = "1.2.3", *, sop_class_uid: str = CT) -> Located:
    return dataclasses.replace(Archive().add(sop_instance_uid), sop_class_uid=sop_class_uid)


def encoded(form: str, *, before: bytes = b"") -> bytes:
    """A data set that begins with SOP Class and SOP Instance UID, in Implicit VR or in Big Endian."""
    elements = [(0x0008, 0x0005, b"CS", b"ISO_IR 100" + before), (0x0008, 0x0016, b"UI", CT.encode() + b"\0")]
    elements += [(0x0008, 0x0018, b"UI", b"1.2.3\0"), (0x0008, 0x0060, b"CS", b"CT")]
    if form == IMPLICIT:
        return b"".join(struct.pack("<HHI", group, at, len(value)) + value for group, at, _, value in elements)
    return b"".join(struct.pack(">HH2sH", group, at, vr, len(value)) + value for group, at, vr, value in elements)


def footer(file: bytes, wanted: Located) -> Footer:
    return footer_of(memoryview(file), len(file), wanted)


@pytest.mark.parametrize("sop_class_uid", [CT, ""])
def test_a_file_is_what_its_data_set_says(sop_class_uid: str) -> None:
    wanted = located(sop_class_uid=sop_class_uid)
    file = dicom_file("1.2.3")
    assert footer(file, wanted) == Footer(
        key_of(wanted), CT, "1.2.3", EXPLICIT, len(file) - len(data_set("1.2.3")), len(file)
    )


@pytest.mark.parametrize("form", [IMPLICIT, BIG])
@pytest.mark.parametrize("before", [b"", b"\\ISO 2022 IR 87" * 60], ids=["at once", "further on"])
@pytest.mark.parametrize("sop_class_uid", [CT, ""])
def test_it_is_recognised_in_any_encoding_and_behind_other_elements(
    form: str, before: bytes, sop_class_uid: str
) -> None:
    before += b" " * (len(before) % 2)
    told = footer(write_meta(CT, "1.2.3", form) + encoded(form, before=before), located(sop_class_uid=sop_class_uid))
    assert (told.sop_class_uid, told.sop_instance_uid, told.transfer_syntax) == (CT, "1.2.3", form)


def test_the_data_set_is_believed_and_not_the_file_meta_information() -> None:
    confused = write_meta(MR, "9.9.9", EXPLICIT) + data_set("1.2.3")
    assert footer(confused, located()).sop_instance_uid == "1.2.3"
    for wanted in (located(), located(sop_class_uid="")):
        with pytest.raises(WrongInstance):
            footer(write_meta(CT, "1.2.3", EXPLICIT) + data_set("1.2.4"), wanted)


@pytest.mark.parametrize("uid", ["1.2.3.4", "1.2.33", "1.2"])
def test_a_uid_that_begins_or_ends_like_another_is_another(uid: str) -> None:
    with pytest.raises(WrongInstance):
        footer(dicom_file(uid), located("1.2.3"))


@pytest.mark.parametrize("file", [b"", b"\0" * 300, b"<html>log in</html>" * 20, dicom_file("1.2.3")[:140]])
def test_what_is_no_dicom_file_is_told(file: bytes) -> None:
    with pytest.raises(ValueError):
        footer(file, located())


def filled(writer: Writer, content: bytes) -> bytes:
    writer.begin(len(content))
    for at in range(0, len(content), 1 << 20):
        writer.write(memoryview(content)[at : at + (1 << 20)])
    whole, _ = writer.finish()
    return bytes(whole)


@pytest.mark.parametrize("size", [0, 1000, 17 << 20])
def test_past_a_disk_that_does_not_work_it_is_kept_in_memory_or_where_nobody_sees_it(size: int) -> None:
    content = os.urandom(size)
    writer = MemoryWriter()
    assert filled(writer, content) == content
    assert filled(writer, content[::-1]) == content[::-1], "begun again"
    assert not writer.is_cached
    writer.abandon()


def test_where_there_is_no_room_for_it_either_it_is_as_if_orthanc_were_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(OrthancUnavailable, match="no room"):
        MemoryWriter().begin(17 << 20)


def test_a_download_that_is_begun_again_leaves_nothing_of_the_first_in_its_file(tmp_path: Path) -> None:
    files = CacheFiles(tmp_path)
    writer = FileWriter(str(tmp_path / "a" / "b.c"), files)
    long, short = dicom_file("1.2.3", bytes(5 << 20)), dicom_file("1.2.3", bytes(1 << 20))
    assert filled(writer, long) == long
    assert filled(writer, short) == short
    writer.publish(writer.footer(memoryview(short), located()))
    assert writer.is_cached
    assert (tmp_path / "a" / "b.c").read_bytes().startswith(short)
    assert (tmp_path / "a" / "b.c").stat().st_size < len(short) + 400


def test_what_is_abandoned_leaves_nothing(tmp_path: Path) -> None:
    writer = FileWriter(str(tmp_path / "a" / "b.c"), CacheFiles(tmp_path))
    filled(writer, bytes(5 << 20))
    writer.abandon()
    writer.abandon()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
