"""C-GET against real Orthancs: what arrives is what Orthanc holds, and what cannot arrive is told."""

import io
import threading
from collections.abc import Callable, Iterator

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from proxy.demo.orthanc import Orthanc
from tests.support.instances import instance, part10, series
from tests.support.population import CT, Population
from tests.support.proxy_process import Proxy
from tests.support.rest import assert_same_instances, stored_files, upload
from tests.support.scu import PATIENT_GET, STUDY_GET, Scu, associated, keys

IMPLICIT, EXPLICIT, BIG = ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian
PRIVATE_CLASS = "1.3.6.1.4.1.37476.9000.777.1"


@pytest.mark.parametrize(
    ("level", "unique", "count"),
    [
        ("PATIENT", {"PatientID": "CT-1"}, CT.slices),
        ("STUDY", {"StudyInstanceUID": CT.study_instance_uid}, CT.slices),
        ("SERIES", {"StudyInstanceUID": CT.study_instance_uid, "SeriesInstanceUID": CT.series_instance_uid}, CT.slices),
        ("SERIES", {"SeriesInstanceUID": CT.series_instance_uid}, CT.slices),
        ("IMAGE", {"SOPInstanceUID": CT.sop_instance_uid(3)}, 1),
        (None, {"StudyInstanceUID": CT.study_instance_uid, "SOPInstanceUID": CT.sop_instance_uid(3)}, 1),
    ],
)
def test_each_level_brings_what_it_names(
    orthanc: Orthanc, proxy: Proxy, level: str | None, unique: dict[str, str], count: int
) -> None:
    with associated(proxy.dicom_port, proxy.aet) as scu:
        *pending, final = scu.get(keys(level, **unique), PATIENT_GET)
        assert (final.status, final.counts()) == (0x0000, (None, count, 0, 0))
        assert all(sum(answer.counts()) == count for answer in pending)  # type: ignore[arg-type]
        assert_same_instances(scu.received, stored_files(orthanc, **unique))


def test_of_a_list_the_known_ones_are_sent(orthanc: Orthanc, proxy: Proxy) -> None:
    wanted = [CT.sop_instance_uid(1), "2.25.404", CT.sop_instance_uid(5)]
    with associated(proxy.dicom_port, proxy.aet) as scu:
        final = scu.get(keys("IMAGE", SOPInstanceUID=wanted))[-1]
        assert (final.status, final.counts()[1]) == (0x0000, 2)
        assert {dataset.SOPInstanceUID for dataset in scu.received} == {wanted[0], wanted[2]}


def test_nothing_matched_is_a_success_without_sub_operations(proxy: Proxy) -> None:
    with associated(proxy.dicom_port, proxy.aet) as scu:
        (final,) = scu.get(keys("STUDY", StudyInstanceUID="2.25.404"))
        assert (final.status, final.counts()) == (0x0000, (None, 0, 0, 0))


@pytest.mark.parametrize(
    ("identifier", "offending"),
    [
        (keys("STUDY", StudyInstanceUID=""), 0x0020000D),
        (keys("SERIES", StudyInstanceUID=CT.study_instance_uid), 0x0020000E),
        (keys("STUDY", StudyInstanceUID="1.2.*"), 0x0020000D),
        (keys("HOUSE", StudyInstanceUID="1.2"), 0x00080052),
    ],
)
def test_an_illegal_identifier_is_a900_and_sends_nothing(proxy: Proxy, identifier: Dataset, offending: int) -> None:
    with associated(proxy.dicom_port, proxy.aet) as scu:
        (final,) = scu.get(identifier)
        assert (final.status, final.offending) == (0xA900, [offending])
        assert final.comment
        assert scu.received == []


def test_everything_orthanc_holds_arrives_as_it_is_stored_where_that_is_accepted(
    orthanc: Orthanc, population: Population, proxy: Proxy
) -> None:
    """Each instance in its own syntax: asked for with exactly that one proposed."""
    by_kind: dict[tuple[str, str], list[str]] = {}
    files = _all_files(orthanc)
    for uid, file in files.items():
        meta = dcmread(io.BytesIO(file), stop_before_pixels=True)
        by_kind.setdefault((str(meta.SOPClassUID), str(meta.file_meta.TransferSyntaxUID)), []).append(uid)
    assert len(by_kind) > 10
    assert len(files) >= len(population.files) - 4
    arrived = 0
    for (sop_class, syntax), uids in by_kind.items():
        with associated(proxy.dicom_port, proxy.aet, images=[sop_class], transfer_syntaxes=[syntax]) as scu:
            final = scu.get(keys("IMAGE", SOPInstanceUID=uids))[-1]
            assert final.status == 0x0000, f"{sop_class} in {syntax}: {final.comment}"
            assert set(scu.syntaxes) == {syntax}
            arrived += len(scu.received)
    assert arrived == len(files)


def _all_files(orthanc: Orthanc) -> dict[str, bytes]:
    """SOP Instance UID -> file, without those that share their UID with another (of another patient)."""
    found: dict[str, bytes] = {}
    twice = set()
    for instance_id in orthanc.get("/instances"):
        file = orthanc.get_bytes(f"/instances/{instance_id}/file")
        uid = str(dcmread(io.BytesIO(file), specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
        twice |= {uid} & found.keys()
        found[uid] = file
    return {uid: file for uid, file in found.items() if uid not in twice}


@pytest.mark.parametrize("accepted", [IMPLICIT, EXPLICIT, BIG, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("stored", [IMPLICIT, EXPLICIT, BIG, DeflatedExplicitVRLittleEndian])
def test_between_uncompressed_syntaxes_pixels_and_attributes_stay(
    one_fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy], stored: str, accepted: str
) -> None:
    pixels = bytes(range(256))
    image = instance(transfer_syntax=stored, pixels=pixels, PatientName="Große^Äpfel", SmallestImagePixelValue=3)
    upload(one_fresh_orthanc, image)
    proxy = start_proxy(one_fresh_orthanc)
    with associated(
        proxy.dicom_port, proxy.aet, images=[SecondaryCaptureImageStorage], transfer_syntaxes=[accepted]
    ) as scu:
        final = scu.get(keys("STUDY", StudyInstanceUID=image.StudyInstanceUID))[-1]
        assert (final.status, final.comment) == (0x0000, "")
        (got,) = scu.received
        assert scu.syntaxes == [accepted]
        assert (got.SOPInstanceUID, str(got.PatientName)) == (image.SOPInstanceUID, "Große^Äpfel")
        assert got.SmallestImagePixelValue == 3
        assert _little(got, accepted) == _little(image, stored)


def _little(dataset: Dataset, syntax: str) -> bytes:
    """Pixels of 8 bits as bytes in order; words of a big-endian data set are swapped (PS3.5 8.1.1)."""
    value = bytes(dataset.PixelData)
    words = syntax == BIG and dataset["PixelData"].VR == "OW"
    return bytes(value[at ^ 1] for at in range(len(value))) if words else value


@pytest.mark.parametrize("accepted", [EXPLICIT, IMPLICIT])
def test_what_is_compressed_is_decompressed_for_who_takes_no_other(
    fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy], accepted: str
) -> None:
    pixels = bytes(range(256))
    image = instance(pixels=pixels)
    compressed = part10(_compressed(image))
    upload(fresh_orthanc, compressed)
    proxy = start_proxy(fresh_orthanc)
    with associated(
        proxy.dicom_port, proxy.aet, images=[SecondaryCaptureImageStorage], transfer_syntaxes=[accepted]
    ) as scu:
        for _ in ("cold", "the stored one may be cached now"):
            final = scu.get(keys("STUDY", StudyInstanceUID=image.StudyInstanceUID))[-1]
            assert (final.status, final.comment) == (0x0000, "")
            got = scu.received.pop()
            assert got.SOPInstanceUID == image.SOPInstanceUID
            assert got.PixelData == pixels
    with associated(
        proxy.dicom_port, proxy.aet, images=[SecondaryCaptureImageStorage], transfer_syntaxes=[RLELossless]
    ) as scu:
        assert scu.get(keys("STUDY", StudyInstanceUID=image.StudyInstanceUID))[-1].status == 0x0000
        assert scu.syntaxes == [RLELossless]


def _compressed(image: Dataset) -> Dataset:
    """In RLE, which pydicom writes with numpy; made by hand here: one segment, no run (PS3.5 G)."""
    pixels = bytes(image.PixelData)
    runs = b"".join(
        bytes([len(part) - 1]) + part for part in (pixels[at : at + 128] for at in range(0, len(pixels), 128))
    )
    header = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + b"\0" * 56
    frame = header + runs + b"\0" * (len(runs) % 2)
    names = {
        e.keyword: e.value for e in image if e.keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    }
    return instance(transfer_syntax=RLELossless, pixels=frame, **names)


def test_what_cannot_be_converted_fails_alone_and_says_so(
    one_fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    good, bad = series(2)
    bad = instance(
        transfer_syntax=JPEG2000Lossless,
        pixels=b"no codestream",
        StudyInstanceUID=good.StudyInstanceUID,
        SeriesInstanceUID=good.SeriesInstanceUID,
        InstanceNumber=2,
    )
    upload(one_fresh_orthanc, good, bad)
    proxy = start_proxy(one_fresh_orthanc)
    with associated(proxy.dicom_port, proxy.aet, transfer_syntaxes=[EXPLICIT]) as scu:
        final = scu.get(keys("STUDY", StudyInstanceUID=good.StudyInstanceUID))[-1]
        assert (final.status, final.counts()) == (0xB000, (None, 1, 1, 0))
        assert final.comment
        assert final.identifier is not None
        assert final.identifier.FailedSOPInstanceUIDList == bad.SOPInstanceUID
        assert scu.echo() == 0x0000


def test_a_class_that_was_not_proposed_fails_alone(one_orthanc: Orthanc, one_proxy: Proxy) -> None:
    with associated(one_proxy.dicom_port, one_proxy.aet, images=[SecondaryCaptureImageStorage]) as scu:
        final = scu.get(keys("IMAGE", SOPInstanceUID=CT.sop_instance_uid(1)))[-1]
        assert (final.status, final.counts()) == (0xA702, (None, 0, 1, 0))
        assert final.comment == "the receiver does not accept this SOP class"


def test_a_class_that_no_standard_names_can_be_fetched(
    one_fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    image = instance(sop_class_uid=PRIVATE_CLASS)
    upload(one_fresh_orthanc, image)
    proxy = start_proxy(one_fresh_orthanc)
    with associated(proxy.dicom_port, proxy.aet, images=[PRIVATE_CLASS]) as scu:
        assert scu.get(keys("STUDY", StudyInstanceUID=image.StudyInstanceUID))[-1].status == 0x0000
        assert [dataset.SOPClassUID for dataset in scu.received] == [PRIVATE_CLASS]


def test_what_the_receiver_refuses_is_listed(proxy: Proxy) -> None:
    refused = CT.sop_instance_uid(2)

    def answer(event) -> int:  # type: ignore[no-untyped-def]
        return 0xA700 if event.request.AffectedSOPInstanceUID == refused else 0x0000

    with associated(proxy.dicom_port, proxy.aet, on_store=answer) as scu:
        final = scu.get(keys("STUDY", StudyInstanceUID=CT.study_instance_uid))[-1]
        assert (final.status, final.counts()) == (0xB000, (None, CT.slices - 1, 1, 0))
        assert final.identifier is not None
        assert final.identifier.FailedSOPInstanceUIDList == refused


@pytest.fixture
def slow_get(proxy: Proxy) -> Iterator[tuple[Scu, threading.Event]]:
    """An association that takes two instances and then waits for the event before it answers the next."""
    go_on = threading.Event()

    def answer(event) -> int:  # type: ignore[no-untyped-def]
        if len(received) > 2:
            go_on.wait(20)
        return 0x0000

    with associated(proxy.dicom_port, proxy.aet, on_store=answer) as scu:
        received = scu.received
        yield scu, go_on
        go_on.set()


def test_cancel_stops_before_the_next_sub_operation(slow_get: tuple[Scu, threading.Event]) -> None:
    scu, go_on = slow_get

    def cancel_then_answer() -> None:
        while len(scu.received) < 3:
            threading.Event().wait(0.01)
        scu.association.send_c_cancel(1, query_model=STUDY_GET)
        go_on.set()

    canceller = threading.Thread(target=cancel_then_answer)
    canceller.start()
    final = scu.get(keys("STUDY", StudyInstanceUID=CT.study_instance_uid))[-1]
    canceller.join()
    remaining, completed, failed, warning = final.counts()
    assert final.status == 0xFE00
    assert remaining + completed == CT.slices  # type: ignore[operator]
    assert (failed, warning) == (0, 0)
    assert len(scu.received) == completed < CT.slices  # type: ignore[operator]
    assert scu.echo() == 0x0000
