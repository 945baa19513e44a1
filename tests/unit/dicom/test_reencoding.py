"""Another uncompressed transfer syntax, the same values."""

import itertools
import struct
from array import array
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from proxy.dicom.contexts import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from proxy.dicom.reencoding import reencode

SYNTAXES = (IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG)


def encoded(dataset: Dataset, syntax: str) -> memoryview:
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = syntax == IMPLICIT_LITTLE, syntax != EXPLICIT_BIG
    write_dataset(out, dataset)
    return memoryview(out.getvalue())


def decoded(data: bytes, syntax: str) -> Dataset:
    return read_dataset(BytesIO(data), syntax == IMPLICIT_LITTLE, syntax != EXPLICIT_BIG)


def through(data: memoryview, *syntaxes: str) -> bytes:
    for source, target in itertools.pairwise(syntaxes):
        data = memoryview(b"".join(reencode(data, source, target)))
    return bytes(data)


def swapped(value: bytes) -> bytes:
    words = array("H", value)
    words.byteswap()
    return words.tobytes()


@pytest.fixture
def rich() -> Dataset:
    inner = Dataset()
    inner.LUTDescriptor = [3, 0, 16]
    inner.LUTData = b"\x01\x00\x02\x00\x03\x00"
    inner["LUTData"].VR = "OW"
    inner["LUTDescriptor"].VR = "SS"
    deep = Dataset()
    deep.CodeValue = "X"
    inner.ModalityLUTType = "HU"
    inner.add_new(0x00081140, "SQ", [deep, Dataset()])
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName = "J\xe9r\xf4me^"
    dataset.add_new(0x00200013, "IS", "007 ")
    dataset.PixelRepresentation = 1
    dataset.add_new(0x00280106, "SS", -1000)
    dataset.add_new(0x00280010, "US", 2)
    dataset.add_new(0x00280009, "AT", [0x00181063, 0x00181065])
    dataset.add_new(0x00189461, "FL", [1.5, 2.5])
    dataset.add_new(0x00189151, "DT", "20200101")
    dataset.add_new(0x00182042, "UI", "1.2.3")
    dataset.add_new(0x00400275, "SQ", [])
    dataset.add_new(0x00283000, "SQ", [inner])
    dataset.add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
    dataset.add_new(0x00291008, "CS", "IMAGE NUM 4")
    dataset.add_new(0x00291099, "UN", b"\x01\x02\x03\x04")
    dataset.add_new(0x60003000, "OW", b"\x01\x02" * 10)
    dataset.add_new(0x7FE00010, "OW", bytes(range(256)) * 40)
    return dataset


@pytest.mark.parametrize("target", SYNTAXES)
@pytest.mark.parametrize("source", SYNTAXES)
def test_every_element_keeps_its_value(rich, source, target):
    if EXPLICIT_BIG in (source, target) and source != target:
        words = [rich[0x60003000], rich[0x7FE00010], rich[0x00283000].value[0]["LUTData"]]
    else:
        words = []
    if source == EXPLICIT_BIG:  # pydicom writes words as they are: hand it big-endian ones
        for element in words:
            element.value = swapped(element.value)
    before = encoded(rich, source)
    got = decoded(through(before, source, target), target)
    for element in words:
        element.value = swapped(element.value)
    assert bytes(got.get_item(0x00200013).value) == b"007 "
    assert [element.tag for element in got] == [element.tag for element in rich]
    assert got.PatientName == rich.PatientName
    assert got.SmallestImagePixelValue == -1000
    assert got[0x00280009].value == rich[0x00280009].value
    assert got[0x00189461].value == [1.5, 2.5]
    assert got[0x7FE00010].value == rich[0x7FE00010].value
    assert got[0x60003000].value == rich[0x60003000].value
    lut = got[0x00283000].value[0]
    assert lut.LUTData == rich[0x00283000].value[0].LUTData
    assert [item.get("CodeValue") for item in lut[0x00081140].value] == ["X", None]
    assert got[0x00291099].value == b"\x01\x02\x03\x04"
    assert got[0x00400275].value == []


def test_there_and_back_is_the_same_data_set(rich):
    once = through(encoded(rich, EXPLICIT_LITTLE), EXPLICIT_LITTLE, EXPLICIT_LITTLE)
    assert through(memoryview(once), EXPLICIT_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE) == once
    implicit = through(memoryview(once), EXPLICIT_LITTLE, IMPLICIT_LITTLE)
    assert through(memoryview(implicit), IMPLICIT_LITTLE, EXPLICIT_BIG, IMPLICIT_LITTLE) == implicit


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "liver_expb_1frame.dcm"])
@pytest.mark.parametrize("target", SYNTAXES)
def test_real_files_read_the_same_in_every_syntax(name, target):
    file = dcmread(get_testdata_file(name))
    source = str(file.file_meta.TransferSyntaxUID)
    got = decoded(through(encoded(file, source), source, target), target)
    assert got.SOPInstanceUID == file.SOPInstanceUID
    assert got.to_json_dict(1 << 30).keys() == {key for key in file.to_json_dict(1 << 30) if not key.endswith("0000")}


def test_a_large_value_is_not_copied(rich):
    data = encoded(rich, EXPLICIT_LITTLE)
    buffers = list(reencode(data, EXPLICIT_LITTLE, IMPLICIT_LITTLE))
    assert any(buffer.obj is data.obj and len(buffer) == 256 * 40 for buffer in buffers)


def test_what_does_not_fit_a_short_header_becomes_un():
    value = b"1\\" * 40000
    implicit = struct.pack("<HHI", 0x0018, 0x1063, len(value)) + value
    got = through(memoryview(implicit), IMPLICIT_LITTLE, EXPLICIT_LITTLE)
    assert got[4:6] == b"UN"
    assert got.endswith(value)


def test_a_private_sequence_of_undefined_length_stays_a_sequence():
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 10) + struct.pack("<HHI", 0x0008, 0x0100, 2) + b"A "
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    implicit = struct.pack("<HHI", 0x0029, 0x1010, 0xFFFFFFFF) + item + end
    got = decoded(through(memoryview(implicit), IMPLICIT_LITTLE, EXPLICIT_LITTLE), EXPLICIT_LITTLE)
    assert got[0x00291010].VR == "SQ"
    assert got[0x00291010].value[0].CodeValue == "A"
    explicit = struct.pack("<HH2sHI", 0x0029, 0x1010, b"UN", 0, 0xFFFFFFFF) + item + end
    same = decoded(through(memoryview(explicit), EXPLICIT_LITTLE, EXPLICIT_BIG), EXPLICIT_BIG)
    assert same[0x00291010].value[0].CodeValue == "A"


def nested(depth: int) -> bytes:
    header = struct.pack("<HHI", 0x0008, 0x1140, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    ends = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return header * depth + ends * depth


def test_absurd_nesting_is_refused_and_sane_nesting_is_not():
    assert through(memoryview(nested(20)), IMPLICIT_LITTLE, EXPLICIT_LITTLE)
    with pytest.raises(ValueError, match="deep"):
        through(memoryview(nested(50_000)), IMPLICIT_LITTLE, EXPLICIT_LITTLE)


@pytest.mark.parametrize(
    "damaged",
    [
        struct.pack("<HHI", 0x0008, 0x0018, 200) + b"1.2",
        struct.pack("<HHI", 0x0008, 0x1140, 200) + b"1.2",
        struct.pack("<HHI", 0x0008, 0x1140, 8) + struct.pack("<HHI", 0x0008, 0x0100, 0),
        struct.pack("<HHI", 0x0008, 0x1140, 8) + struct.pack("<HHI", 0xFFFE, 0xE000, 4) + b"abcd",
        struct.pack("<HHI", 0x0008, 0x1140, 0xFFFFFFFF),
        struct.pack("<HHI", 0x7FE0, 0x0010, 0xFFFFFFFF),
        b"\x08\x00",
    ],
)
def test_what_does_not_hang_together_is_refused_before_a_byte_is_given_out(damaged):
    with pytest.raises(ValueError):
        reencode(memoryview(damaged), IMPLICIT_LITTLE, EXPLICIT_LITTLE)


@settings(max_examples=300)
@given(st.binary(max_size=200), st.sampled_from(SYNTAXES), st.sampled_from(SYNTAXES))
def test_noise_never_raises_anything_but_value_error(noise, source, target):
    try:
        b"".join(reencode(memoryview(noise), source, target))
    except ValueError:
        pass


@pytest.mark.parametrize(("tag", "value", "padded"), [(0x00100020, b"ABC", b"ABC "), (0x00080018, b"1.2", b"1.2\0")])
def test_values_of_odd_length_are_padded_also_in_the_same_syntax(tag, value, padded):
    odd = struct.pack("<HHI", tag >> 16, tag & 0xFFFF, 3) + value
    assert through(memoryview(odd), IMPLICIT_LITTLE, IMPLICIT_LITTLE)[8:] == padded
    long = struct.pack("<HHI", 0x0029, 0x1010, 5001) + b"x" * 5001
    assert len(through(memoryview(long), IMPLICIT_LITTLE, EXPLICIT_LITTLE)) == 12 + 5002
