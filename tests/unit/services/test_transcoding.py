"""Conversions keep UID and pixels, check what Orthanc sends, and leave nothing behind."""

import zlib
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from proxy.dicom.contexts import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from proxy.dicom.part10 import write_meta
from proxy.errors import InstanceGone, NoAcceptableContext, OrthancRefused, OrthancUnavailable
from proxy.services import transcoding
from proxy.services.transcoding import Transcoding
from tests.unit.services.retrieving import CT, Held, located

JPEG, RLE, JPEG_LOSSLESS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.70"


def encoded(syntax=EXPLICIT_LITTLE) -> bytes:
    dataset, out = Dataset(), DicomBytesIO()
    dataset.SOPInstanceUID = "1.2.0"
    dataset.PatientName = "A^B"
    dataset.add_new(0x7FE00010, "OW", bytes(range(256)) * 8)
    out.is_implicit_VR, out.is_little_endian = syntax == IMPLICIT_LITTLE, True
    write_dataset(out, dataset)
    return out.getvalue()


def deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


def held(syntax, data: bytes) -> Held:
    return Held(CT, "1.2.0", syntax, memoryview(data), was_hit=True)


class Orthanc:
    """Transcodes to what it is told to send."""

    def __init__(self, outcome=OrthancRefused("cannot")):
        self.outcome = outcome
        self.asked = []

    def transcoded(self, located, syntax, put):
        self.asked.append(syntax)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        uid, got_syntax, data = self.outcome
        file = write_meta(CT, uid, got_syntax) + data
        for start in range(0, len(file), 100):
            put(memoryview(file[start : start + 100]))


@pytest.fixture
def build(tmp_path):
    def build(orthanc=None, fetch=None, most=1 << 20) -> Transcoding:
        return Transcoding((orthanc or Orthanc()).transcoded, fetch or (lambda _: None), tmp_path, most)

    yield build
    assert list(tmp_path.iterdir()) == []


def whole(outgoing) -> bytes:
    return bytes(outgoing.data) if isinstance(outgoing.data, memoryview) else b"".join(outgoing.data)


def decoded(data: bytes, syntax: str) -> Dataset:
    return read_dataset(BytesIO(data), syntax == IMPLICIT_LITTLE, syntax != EXPLICIT_BIG)


@pytest.mark.parametrize("gather", [0, 1 << 20])
@pytest.mark.parametrize(
    ("stored", "accepted"),
    [
        (EXPLICIT_LITTLE, IMPLICIT_LITTLE),
        (EXPLICIT_LITTLE, EXPLICIT_BIG),
        (IMPLICIT_LITTLE, EXPLICIT_LITTLE),
        (IMPLICIT_LITTLE, DEFLATED_LITTLE),
        (DEFLATED_LITTLE, EXPLICIT_LITTLE),
        (DEFLATED_LITTLE, IMPLICIT_LITTLE),
    ],
)
def test_between_uncompressed_syntaxes_orthanc_is_not_asked(build, monkeypatch, stored, accepted, gather):
    monkeypatch.setattr(transcoding, "_GATHER", gather)
    orthanc = Orthanc()
    source = held(stored, deflated(encoded()) if stored == DEFLATED_LITTLE else encoded(stored))
    outgoing = build(orthanc).convert(located(0), source, [JPEG, accepted])
    assert (outgoing.transfer_syntax, outgoing.sop_instance_uid, orthanc.asked) == (accepted, "1.2.0", [])
    data = whole(outgoing)
    assert len(data) % 2 == 0
    dataset = decoded(zlib.decompress(data, -15) if accepted == DEFLATED_LITTLE else data, accepted)
    assert str(dataset.PatientName) == "A^B"
    assert len(dataset.PixelData) == 2048
    outgoing.close()
    assert source.closed >= 1


@pytest.mark.parametrize("source", [None, held(JPEG, b"compressed")])
def test_what_is_compressed_is_decompressed_by_orthanc(build, source):
    orthanc = Orthanc(("1.2.0", EXPLICIT_LITTLE, encoded()))
    outgoing = build(orthanc).convert(located(0, transfer_syntax=JPEG), source, [IMPLICIT_LITTLE, EXPLICIT_LITTLE])
    assert orthanc.asked == [EXPLICIT_LITTLE]
    assert (outgoing.transfer_syntax, outgoing.sop_class_uid, whole(outgoing)) == (EXPLICIT_LITTLE, CT, encoded())
    assert source is None or source.closed == 1


@pytest.mark.parametrize(
    "outcome",
    [
        ("1.2.0", JPEG, b"the original, as old versions send it"),
        ("9.9.9", EXPLICIT_LITTLE, encoded()),
        OrthancRefused("no codec"),
    ],
)
def test_what_orthanc_sends_is_checked_and_another_way_is_tried(build, outcome):
    source = held(JPEG, b"not decodable")
    fetched = []

    def fetch(located):
        fetched.append(located)
        return source

    with pytest.raises(NoAcceptableContext, match="neither Orthanc nor a codec"):
        build(Orthanc(outcome), fetch).convert(located(0, transfer_syntax=JPEG), None, [EXPLICIT_LITTLE])
    assert len(fetched) == source.closed == 1


def test_a_codec_here_decompresses_what_orthanc_cannot(build):
    pytest.importorskip("numpy")
    file = dcmread(get_testdata_file("MR_small_RLE.dcm"))
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = False, True
    write_dataset(out, file)
    outgoing = build().convert(located(0), held(RLE, out.getvalue()), [IMPLICIT_LITTLE])
    plain = dcmread(get_testdata_file("MR_small.dcm"))
    assert outgoing.transfer_syntax == IMPLICIT_LITTLE
    got = decoded(whole(outgoing), IMPLICIT_LITTLE)
    assert got.PixelData == plain.PixelData
    assert got.SOPInstanceUID == file.SOPInstanceUID


def test_what_would_be_too_large_in_memory_is_not_decompressed_here(build, monkeypatch):
    monkeypatch.setattr(transcoding, "_DECODED_BYTES", 100)
    file = dcmread(get_testdata_file("MR_small_RLE.dcm"))
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = False, True
    write_dataset(out, file)
    with pytest.raises(NoAcceptableContext, match="too large"):
        build().convert(located(0), held(RLE, out.getvalue()), [EXPLICIT_LITTLE])


def test_compressing_is_left_to_orthanc_and_never_lossy(build):
    orthanc = Orthanc(("1.2.0", RLE, b"compressed"))
    outgoing = build(orthanc).convert(located(0), held(EXPLICIT_LITTLE, encoded()), [JPEG, RLE])
    assert (orthanc.asked, outgoing.transfer_syntax) == ([RLE], RLE)
    source = held(EXPLICIT_LITTLE, encoded())
    with pytest.raises(NoAcceptableContext):
        build(Orthanc()).convert(located(0), source, [JPEG_LOSSLESS])
    assert source.closed == 1


def test_no_fitting_syntax_fails_and_closes(build):
    source = held(EXPLICIT_LITTLE, encoded())
    with pytest.raises(NoAcceptableContext):
        build().convert(located(0), source, [JPEG])
    assert source.closed == 1


def test_an_instance_that_is_gone_is_told_as_that(build):
    source = held(JPEG, b"x")
    with pytest.raises(InstanceGone):
        build(Orthanc(InstanceGone("gone"))).convert(located(0), source, [EXPLICIT_LITTLE])
    assert source.closed == 1


def test_orthanc_away_is_told_as_that_where_nothing_is_held(build):
    def fetch(_):
        raise OrthancUnavailable("away")

    with pytest.raises(OrthancUnavailable):
        build(Orthanc(OrthancUnavailable("away")), fetch).convert(
            located(0, transfer_syntax=JPEG), None, [EXPLICIT_LITTLE]
        )


def test_an_internal_error_of_orthanc_is_taken_for_a_missing_codec(build):
    source = held(JPEG, b"x")
    with pytest.raises(NoAcceptableContext, match="neither Orthanc nor a codec"):
        build(Orthanc(OrthancUnavailable("HTTP 500"))).convert(located(0), source, [EXPLICIT_LITTLE])
    assert source.closed == 1


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE, DEFLATED_LITTLE, JPEG])
def test_a_data_set_of_odd_length_is_made_even(build, syntax):
    odd = {
        EXPLICIT_LITTLE: b"\x10\x00\x20\x00LO\x03\x00ABC",
        IMPLICIT_LITTLE: b"\x10\x00\x20\x00\x03\x00\x00\x00ABC",
        DEFLATED_LITTLE: b"odd",
        JPEG: b"odd",
    }[syntax]
    outgoing = build().convert(located(0), held(syntax, odd), [syntax])
    assert outgoing.transfer_syntax == syntax
    assert len(whole(outgoing)) == len(odd) + 1


@pytest.mark.parametrize(
    ("syntax", "data"),
    [
        (EXPLICIT_LITTLE, encoded()[:-10]),
        (DEFLATED_LITTLE, deflated(encoded())[:-10]),
        (DEFLATED_LITTLE, b"no deflated stream"),
        (DEFLATED_LITTLE, deflated(b"\0" * (2 << 20))),
    ],
)
def test_a_damaged_or_bloated_instance_fails_and_closes(build, syntax, data):
    source = held(syntax, data)
    with pytest.raises(NoAcceptableContext, match="damaged"):
        build().convert(located(0), source, [IMPLICIT_LITTLE])
    assert source.closed == 1


def test_a_full_disk_fails_this_instance_alone(build, tmp_path):
    source = held(DEFLATED_LITTLE, deflated(encoded()))
    nowhere = Transcoding(Orthanc().transcoded, lambda _: source, Path("/nonexistent"), 1 << 20)
    with pytest.raises(NoAcceptableContext, match="no room"):
        nowhere.convert(located(0), source, [EXPLICIT_LITTLE])
    assert source.closed == 1
