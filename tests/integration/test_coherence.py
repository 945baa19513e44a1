"""A hot retrieve answers what Orthanc holds at that moment: never what it held before."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom import Dataset

from proxy.demo.orthanc import Orthanc
from proxy.orthanc.answers import time_of
from tests.support.instances import instance, series
from tests.support.orthanc_releases import Release, make_orthanc
from tests.support.proxy_process import Proxy, settings
from tests.support.rest import lookup, upload
from tests.support.scu import associated, keys
from tests.support.waiting import wait_until

_TESTS = 6
_SLICES = 3


@dataclass
class Study:
    """A study of a test's own, retrieved twice before the test: all of it is cached, and its listing remembered."""

    orthanc: Orthanc
    proxy: Proxy
    images: list[Dataset]

    @property
    def uids(self) -> list[str]:
        return [str(image.SOPInstanceUID) for image in self.images]

    def orthanc_id(self, level: str, **query: str) -> str:
        query = query or {"StudyInstanceUID": str(self.images[0].StudyInstanceUID)}
        (found,) = lookup(self.orthanc, level, **query)
        return found

    def instance(self, number: int) -> str:
        """The REST resource of one of the images."""
        return f"/instances/{self.orthanc_id('Instance', SOPInstanceUID=self.uids[number])}"

    def cached(self) -> list[Path]:
        """The cache files of its series."""
        return list((self.proxy.storage / "cache" / self.orthanc_id("Series")).iterdir())

    def retrieved(self) -> dict[str, Dataset]:
        """What a C-GET brings, by SOP Instance UID."""
        with associated(self.proxy.dicom_port, self.proxy.aet) as scu:
            final = scu.get(keys("STUDY", StudyInstanceUID=self.images[0].StudyInstanceUID))[-1]
        assert final.status == 0x0000, final.comment
        assert final.counts() == (None, len(scu.received), 0, 0)
        return {str(dataset.SOPInstanceUID): dataset for dataset in scu.received}

    def names(self) -> list[str]:
        """The patient's name in each image that a C-GET brings, in the order of `images`."""
        brought = self.retrieved()
        return [str(brought[uid].PatientName) for uid in self.uids if uid in brought]


@pytest.fixture(scope="module")
def hot_studies(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iterator[Study]]:
    """A study for each test, all of them complete for so long that their listings are remembered."""
    folder = tmp_path_factory.mktemp("coherence")
    with contextlib.ExitStack() as stack:
        orthanc = make_orthanc(release, folder / "orthanc", OverwriteInstances=True)
        stack.callback(orthanc.kill)
        orthanc.start()
        proxy = Proxy(settings(orthanc.url, folder / "storage"), folder / "proxy").start()
        stack.callback(proxy.kill)
        studies = [Study(orthanc, proxy, list(series(_SLICES, PatientID=f"P{n}"))) for n in range(_TESTS)]
        for study in studies:
            upload(orthanc, *study.images)
        last = max(time_of(one["LastUpdate"]) for one in orthanc.get("/series?expand"))
        settled = last + timedelta(seconds=3)
        wait_until(lambda: time_of(orthanc.get_bytes("/tools/now").decode()) >= settled)
        yield iter(studies)
        proxy.stop()


@pytest.fixture
def study(hot_studies: Iterator[Study]) -> Study:
    hot = next(hot_studies)
    for _ in range(2):
        assert sorted(hot.retrieved()) == sorted(hot.uids)
    wait_until(lambda: len(hot.cached()) == _SLICES)
    return hot


def test_an_overwritten_instance_is_served_with_its_new_content(study: Study) -> None:
    study.images[1].PatientName = "New^Name"
    upload(study.orthanc, study.images[1])
    assert study.names() == ["Test^Patient", "New^Name", "Test^Patient"]


def test_a_modified_instance_is_served_as_modified(study: Study) -> None:
    modification = {
        "Replace": {"PatientName": "Corrected^Name"},
        "Keep": ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"],
        "Force": True,
    }
    status, modified = study.orthanc.call("POST", f"{study.instance(0)}/modify", json.dumps(modification).encode())
    assert status == 200
    upload(study.orthanc, modified)
    assert study.names() == ["Corrected^Name", "Test^Patient", "Test^Patient"]


def test_a_deleted_instance_is_not_served_and_one_that_came_back_is(study: Study) -> None:
    study.orthanc.delete(study.instance(2))
    assert sorted(study.retrieved()) == sorted(study.uids[:2])
    study.images[2].PatientName = "Back^Again"
    upload(study.orthanc, study.images[2])
    assert study.names() == ["Test^Patient", "Test^Patient", "Back^Again"]


def test_a_deleted_study_is_gone_although_it_is_cached(study: Study) -> None:
    cached = study.cached()
    study.orthanc.delete(f"/studies/{study.orthanc_id('Study')}")
    assert study.retrieved() == {}
    assert all(path.exists() for path in cached), "nothing is cached any more: this proves nothing"


def test_a_new_instance_joins_the_cached_ones(study: Study) -> None:
    first = study.images[0]
    uids = {"StudyInstanceUID": first.StudyInstanceUID, "SeriesInstanceUID": first.SeriesInstanceUID}
    study.images.append(instance(**uids, PatientID=first.PatientID))
    upload(study.orthanc, study.images[-1])
    assert sorted(study.retrieved()) == sorted(study.uids)


def test_a_flipped_bit_in_the_cache_is_never_served(study: Study) -> None:
    for path in study.cached():
        damaged = bytearray(path.read_bytes())
        damaged[damaged.index(study.images[0].PixelData) + 100] ^= 0x10
        path.write_bytes(damaged)
    pixels = {uid: dataset.PixelData for uid, dataset in study.retrieved().items()}
    assert pixels == {str(image.SOPInstanceUID): image.PixelData for image in study.images}
