"""What Orthanc does not hold comes from the archives behind it, straight to the Move Destination."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset

from proxy.demo.orthanc import Orthanc
from tests.support.destinations import Archive, Arrival, Recorder, StoreScp, dcmqrscp
from tests.support.instances import part10, series
from tests.support.proxy_process import Proxy
from tests.support.rest import upload
from tests.support.scu import PATIENT_MOVE, STUDY_MOVE, associated, keys


def _files(folder: Path, images: list[Dataset]) -> list[Path]:
    folder.mkdir()
    paths = []
    for number, image in enumerate(images):
        paths.append(folder / f"{number}.dcm")
        paths[-1].write_bytes(part10(image))
    return paths


@pytest.fixture
def receiver(start_storescp: Callable[..., StoreScp]) -> StoreScp:
    return start_storescp("WS1")


@pytest.fixture
def archived() -> list[Dataset]:
    """A study that only the archive holds."""
    return list(series(3, PatientID="OLD", PatientName="Old^Archived"))


@pytest.fixture
def archive(tmp_path: Path, receiver: StoreScp, archived: list[Dataset], fresh_orthanc: Orthanc):  # type: ignore[no-untyped-def]
    """DCMTK's dcmqrscp with `archived`, which `fresh_orthanc` knows as "old"."""
    knows = {"WS1": ("127.0.0.1", receiver.port)}
    with dcmqrscp(tmp_path, "ARCHIVE", knows=knows, files=_files(tmp_path / "archived", archived)) as running:
        fresh_orthanc.put("/modalities/old", ["ARCHIVE", "127.0.0.1", running.port])
        yield running


def settings(receiver: StoreScp, *archives: str, strategy: str = "direct") -> dict[str, object]:
    return {
        "pipelines": {"under_test": {"archives": list(archives), "move_strategy": strategy}},
        "destinations": {"WS": {"aet": "WS1", "host": "127.0.0.1", "port": receiver.port}},
    }


def test_a_study_that_orthanc_does_not_hold_comes_from_the_archive(
    fresh_orthanc: Orthanc,
    archive: Archive,
    archived: list[Dataset],
    receiver: StoreScp,
    start_proxy: Callable[..., Proxy],
) -> None:
    proxy = start_proxy(fresh_orthanc, settings(receiver, "old"))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        final = scu.move(keys("STUDY", StudyInstanceUID=archived[0].StudyInstanceUID), "WS1")[-1]
        assert (final.status, final.comment) == (0x0000, "")
        assert len(receiver.files) == 3
        nothing = scu.move(keys("STUDY", StudyInstanceUID="2.25.404"), "WS1")[-1]
        assert (nothing.status, nothing.counts()) == (0x0000, (None, 0, 0, 0))
    assert fresh_orthanc.get("/instances") == []


def test_of_a_list_orthanc_sends_its_part_and_the_archive_the_other(
    fresh_orthanc: Orthanc,
    archive: Archive,
    archived: list[Dataset],
    receiver: StoreScp,
    start_proxy: Callable[..., Proxy],
) -> None:
    held = list(series(2))
    upload(fresh_orthanc, *held)
    proxy = start_proxy(fresh_orthanc, settings(receiver, "old"))
    wanted = [held[0].StudyInstanceUID, archived[0].StudyInstanceUID]
    with associated(proxy.dicom_port, proxy.aet) as scu:
        final = scu.move(keys("STUDY", StudyInstanceUID=wanted), "WS1")[-1]
        assert (final.status, final.counts()) == (0x0000, (None, 2, 0, 0))
    assert len(receiver.files) == 5


def test_the_archives_are_asked_in_turn_and_one_that_is_down_is_no_obstacle(
    one_fresh_orthanc: Orthanc,
    archived: list[Dataset],
    receiver: StoreScp,
    start_orthanc: Callable[..., Orthanc],
    start_proxy: Callable[..., Proxy],
) -> None:
    """The second archive is another Orthanc."""
    second = start_orthanc(DicomAet="SECOND", DicomModalities={"ws": ["WS1", "127.0.0.1", receiver.port]})
    upload(second, *archived)
    one_fresh_orthanc.put("/modalities/down", ["DOWN", "127.0.0.1", 9])
    one_fresh_orthanc.put("/modalities/second", [second.get("/system")["DicomAet"], "127.0.0.1", second.dicom_port])
    proxy = start_proxy(one_fresh_orthanc, settings(receiver, "down", "second"))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        final = scu.move(keys("STUDY", StudyInstanceUID=archived[0].StudyInstanceUID), "WS1")[-1]
        assert (final.status, final.comment) == (0x0000, "")
    assert len(receiver.files) == 3


def test_an_archive_that_fails_is_told(
    fresh_orthanc: Orthanc, receiver: StoreScp, start_proxy: Callable[..., Proxy]
) -> None:
    fresh_orthanc.put("/modalities/down", ["DOWN", "127.0.0.1", 9])
    proxy = start_proxy(fresh_orthanc, settings(receiver, "down"))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        final = scu.move(keys("STUDY", StudyInstanceUID="2.25.404"), "WS1")[-1]
        assert final.status == 0xA702
        assert final.comment
        assert scu.echo() == 0x0000


@pytest.mark.parametrize("level", ["PATIENT", "SERIES", "IMAGE"])
def test_the_archive_is_asked_at_every_level(
    level: str,
    one_fresh_orthanc: Orthanc,
    tmp_path: Path,
    archived: list[Dataset],
    receiver: StoreScp,
    start_proxy: Callable[..., Proxy],
) -> None:
    knows = {"WS1": ("127.0.0.1", receiver.port)}
    unique = {"PATIENT": "PatientID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
    names = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
    above = [] if level == "PATIENT" else names[: names.index(unique[level])]
    identifier = keys(level, **{name: archived[0].get(name) for name in [*above, unique[level]]})
    with dcmqrscp(tmp_path, "ARCHIVE", knows=knows, files=_files(tmp_path / "archived", archived)) as running:
        one_fresh_orthanc.put("/modalities/old", ["ARCHIVE", "127.0.0.1", running.port])
        proxy = start_proxy(one_fresh_orthanc, settings(receiver, "old"))
        model = PATIENT_MOVE if level == "PATIENT" else STUDY_MOVE
        with associated(proxy.dicom_port, proxy.aet) as scu:
            final = scu.move(identifier, "WS1", model)[-1]
            assert (final.status, final.comment) == (0x0000, "")
    assert len(receiver.files) == (1 if level == "IMAGE" else 3)


def test_while_an_archive_sends_slowly_pendings_go_out_and_cancel_is_heard(
    fresh_orthanc: Orthanc,
    tmp_path: Path,
    archived: list[Dataset],
    start_proxy: Callable[..., Proxy],
    start_recorder: Callable[..., Recorder],
) -> None:
    def slow(arrival: Arrival) -> int:
        if canceling.is_set():
            scu.association.send_c_cancel(9, query_model=STUDY_MOVE)
        time.sleep(0.5)
        return 0

    canceling = threading.Event()
    receiver = start_recorder("WS1", answer=slow)
    knows = {"WS1": ("127.0.0.1", receiver.port)}
    study = keys("STUDY", StudyInstanceUID=archived[0].StudyInstanceUID)
    with dcmqrscp(tmp_path, "ARCHIVE", knows=knows, files=_files(tmp_path / "archived", archived)) as running:
        fresh_orthanc.put("/modalities/old", ["ARCHIVE", "127.0.0.1", running.port])
        proxy = start_proxy(fresh_orthanc, settings(receiver, "old"), {"listener": {"heartbeat_interval": 0.2}})
        with associated(proxy.dicom_port, proxy.aet) as scu:
            *pending, final = scu.move(study, "WS1")
            assert (final.status, final.comment) == (0x0000, "")
            assert len(pending) >= 3
            assert {answer.counts() for answer in pending} == {(1, 0, 0, 0)}
            assert len(receiver.arrivals) == 3
            canceling.set()
            final = scu.move(study, "WS1", message_id=9)[-1]
            assert (final.status, final.counts()) == (0xFE00, (0, 0, 0, 0))
            assert scu.echo() == 0x0000
