"""The structural walk: what a lenient reader forgives is refused, and what is legal passes whole or in pieces."""

import struct
import zlib
from pathlib import Path

import pydicom
import pydicom.data
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from proxy.dicom.structure import StructureError, Walker, check
from proxy.errors import UnreadableIdentifier

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, JPEG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50"
SOP_INSTANCE, STUDY = 0x00080018, 0x0020000D


def encoded(dataset: Dataset, syntax: str) -> bytes:
    target = DicomBytesIO()
    target.is_implicit_VR = syntax == IMPLICIT
    target.is_little_endian = syntax != BIG
    write_dataset(target, dataset)
    return target.getvalue()


def rich_dataset(undefined: bool = False) -> Dataset:
    dataset = Dataset()
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.PatientName = "Doe^Jane"
    dataset.StudyInstanceUID = "1.2.3"
    inner = Dataset()
    inner.ReferencedSOPInstanceUID = "1.2.3.4.5"
    inner.PurposeOfReferenceCodeSequence = Sequence([Dataset(), Dataset()])
    dataset.ReferencedImageSequence = Sequence([inner, Dataset()])
    if undefined:
        dataset["ReferencedImageSequence"].is_undefined_length = True
        inner.is_undefined_length_sequence_item = True
    dataset.add_new(0x00091001, "UN", b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a")
    dataset.Rows = 2
    dataset.add_new(0x7FE00010, "OW", bytes(4096))
    return dataset


def walk(data: bytes, syntax: str, step: int, depth: int = 32) -> Walker:
    walker = Walker(syntax, depth, {SOP_INSTANCE, STUDY})
    for start in range(0, len(data), step):
        walker.feed(memoryview(data)[start : start + step])
    walker.finish()
    return walker


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("step", [1, 3, 7, 100, 100000])
def test_a_legal_data_set_passes_however_it_is_cut_into_fragments(syntax: str, undefined: bool, step: int) -> None:
    walker = walk(encoded(rich_dataset(undefined), syntax), syntax, step)
    assert walker.found == {SOP_INSTANCE: b"1.2.3.4\0", STUDY: b"1.2.3\0"}


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
@pytest.mark.parametrize("undefined", [False, True])
def test_a_cut_inside_any_element_is_told(syntax: str, undefined: bool) -> None:
    dataset = rich_dataset(undefined)
    del dataset.PixelData
    data = encoded(dataset, syntax)
    boundaries = {0}
    for element in dataset:
        part = Dataset()
        part.add(element)
        boundaries.add(max(boundaries) + len(encoded(part, syntax)))
    assert max(boundaries) == len(data)
    for length in range(len(data)):
        if length in boundaries:
            check(data[:length], syntax)
        else:
            with pytest.raises(UnreadableIdentifier):
                check(data[:length], syntax)


@pytest.mark.parametrize(("written", "read"), [(IMPLICIT, EXPLICIT), (EXPLICIT, IMPLICIT), (BIG, EXPLICIT)])
def test_a_data_set_in_another_encoding_than_announced_is_refused(written: str, read: str) -> None:
    with pytest.raises(UnreadableIdentifier):
        check(encoded(rich_dataset(), written), read)


def test_an_element_longer_than_its_item_is_refused() -> None:
    element = struct.pack("<HH2sH", 8, 0x1155, b"UI", 40) + b"1.2\0"
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(element)) + element
    data = struct.pack("<HH2sHI", 8, 0x1140, b"SQ", 0, len(item)) + item + bytes(100)
    with pytest.raises(UnreadableIdentifier):
        check(data, EXPLICIT)


def test_zeros_behind_a_data_set_are_no_elements() -> None:
    with pytest.raises(UnreadableIdentifier):
        check(encoded(rich_dataset(), IMPLICIT) + bytes(16), IMPLICIT)


def test_a_wanted_element_that_comes_twice_is_refused() -> None:
    element = struct.pack("<HH2sH", 8, 0x18, b"UI", 4) + b"1.2\0"
    with pytest.raises(StructureError, match="twice"):
        walk(element * 2, EXPLICIT, 1000)


def nested(levels: int, *, undefined: bool, implicit: bool, tag: int = 0x00081140, vr: bytes = b"SQ") -> bytes:
    """Sequences with one item each, `levels` deep; from the inside out."""
    data = b""
    for _ in range(levels):
        length = 0xFFFFFFFF if undefined else len(data)
        item = struct.pack("<HHI", 0xFFFE, 0xE000, length) + data
        item += struct.pack("<HHI", 0xFFFE, 0xE00D, 0) if undefined else b""
        length = 0xFFFFFFFF if undefined else len(item)
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        head += struct.pack("<I", length) if implicit else struct.pack("<2sHI", vr, 0, length)
        data = head + item + (struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if undefined else b"")
    return data


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("implicit", [False, True])
def test_nesting_is_bounded_without_recursion(undefined: bool, implicit: bool) -> None:
    syntax = IMPLICIT if implicit else EXPLICIT
    check(nested(32, undefined=undefined, implicit=implicit), syntax, max_depth=32)
    for levels in (33, 5000):
        walker = Walker(syntax, 32)
        with pytest.raises(StructureError) as caught:
            walker.feed(nested(levels, undefined=undefined, implicit=implicit))
        assert caught.value.too_deep


@pytest.mark.parametrize(("tag", "vr", "implicit"), [(0x00091001, b"", True), (0x00091001, b"UN", False)])
@pytest.mark.parametrize("step", [1, 5, 100000])
def test_nesting_hidden_in_unknown_elements_is_found(tag: int, vr: bytes, implicit: bool, step: int) -> None:
    syntax = IMPLICIT if implicit else EXPLICIT
    inner = nested(100, undefined=False, implicit=True, tag=tag)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    head += struct.pack("<I", len(item)) if implicit else struct.pack("<2sHI", vr, 0, len(item))
    with pytest.raises(StructureError) as caught:
        walk(head + item, syntax, step)
    assert caught.value.too_deep


def test_an_unknown_value_that_only_begins_like_a_sequence_passes() -> None:
    value = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFF) + b"this is no item, really."
    data = struct.pack("<HH2sHI", 9, 0x1001, b"UN", 0, len(value)) + value
    check(data + encoded(Dataset(), EXPLICIT), EXPLICIT)


def test_unknown_with_undefined_length_is_implicit_inside() -> None:
    inner = encoded(rich_dataset(), IMPLICIT)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    data = struct.pack("<HH2sHI", 9, 0x1001, b"UN", 0, 0xFFFFFFFF) + item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    check(data, EXPLICIT)


def encapsulated(*fragments: bytes) -> bytes:
    items = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(fragment)) + fragment for fragment in fragments)
    return struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF) + items + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def test_encapsulated_pixel_data_passes_and_its_cut_is_told() -> None:
    data = encapsulated(b"", bytes(1000), bytes(3000))
    check(data, JPEG)
    for length in (len(data) - 8, len(data) - 1, 500, 20):
        with pytest.raises(UnreadableIdentifier):
            check(data[:length], JPEG)


def deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflater.compress(data) + deflater.flush()


@pytest.mark.parametrize("step", [1, 100, 100000])
def test_a_deflated_data_set_is_walked_inflated(step: int) -> None:
    data = deflate(encoded(rich_dataset(), EXPLICIT))
    assert walk(data + b"\0", DEFLATED, step).found[STUDY] == b"1.2.3\0"
    with pytest.raises(StructureError):
        walk(data[:-3], DEFLATED, step)
    with pytest.raises(StructureError):
        walk(data + b"more than a checksum", DEFLATED, step)


def test_a_deflated_bomb_is_counted_not_trusted() -> None:
    bomb = deflate(struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, 1 << 28) + bytes(1 << 28))
    with pytest.raises(UnreadableIdentifier):
        check(bomb, DEFLATED, max_bytes=1 << 20)


def sample_files() -> list[Path]:
    folder = Path(pydicom.data.__file__).parent / "test_files"
    return sorted(path for path in folder.glob("*.dcm") if "truncated" not in path.name)


def test_files_of_many_makers_pass() -> None:
    walked, refused = 0, {}
    for path in sample_files():
        content = path.read_bytes()
        try:
            meta = pydicom.filereader.read_file_meta_info(path)
            offset = 144 + meta.FileMetaInformationGroupLength
            syntax = str(meta.TransferSyntaxUID)
        except (AttributeError, KeyError, pydicom.errors.InvalidDicomError):
            continue
        try:
            walk(content[offset:], syntax, 1000)
            walked += 1
        except StructureError as error:
            refused[path.name] = str(error)
    assert refused.keys() == KNOWN_BROKEN, refused
    assert walked > 60


# Implicit VR in a file that announces a compressed syntax; Orthanc refuses it, too
KNOWN_BROKEN = {"SC_rgb_jpeg.dcm"}


@given(st.binary(max_size=300), st.sampled_from([IMPLICIT, EXPLICIT, BIG, DEFLATED, JPEG]), st.integers(1, 20))
def test_noise_is_refused_or_passed_but_never_a_surprise(data: bytes, syntax: str, step: int) -> None:
    outcomes = set()
    for size in (step, 1000):
        try:
            walk(data, syntax, size, depth=3)
            outcomes.add("passed")
        except StructureError:
            outcomes.add("refused")
    assert len(outcomes) == 1
