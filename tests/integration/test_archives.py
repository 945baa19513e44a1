"""What Orthanc does not hold comes from the archives behind it, straight to the Move Destination."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset

from proxy.demo.orthanc import Orthanc
from tests.support.destinations import Archive, StoreScp, dcmqrscp
from tests.support.instances import part10, series
from tests.support.proxy_process import Proxy
from tests.support.rest import upload
from tests.support.scu import associated, keys


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
