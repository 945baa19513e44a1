"""The samples of the demo."""

import io
import socket

import pydicom.data
import pytest
from pydicom import dcmread

from proxy.demo.pixels import digest
from proxy.demo.samples import SyntheticSeries, pydicom_files, uid

SMALL = SyntheticSeries(name="test", slices=3, rows=8, columns=16)


def test_the_files_of_pydicoms_wheel_are_found_without_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("a download was tried"))
    monkeypatch.setattr(pydicom.data, "get_testdata_file", lambda *_: pytest.fail("a download was tried"))
    files = pydicom_files()
    assert len(files) > 130
    assert len(set(files)) == len(files)
    assert not [path for path in files if path.name.startswith("693_") or path.name == "DICOMDIR"]


def test_the_synthetic_series_is_one_series_with_unique_instances() -> None:
    datasets = [dcmread(io.BytesIO(file)) for file in SMALL.files()]
    assert [dataset.InstanceNumber for dataset in datasets] == [1, 2, 3]
    assert [dataset.SOPInstanceUID for dataset in datasets] == [SMALL.sop_instance_uid(n) for n in (1, 2, 3)]
    assert {dataset.SeriesInstanceUID for dataset in datasets} == {SMALL.series_instance_uid}
    assert {dataset.StudyInstanceUID for dataset in datasets} == {SMALL.study_instance_uid}
    assert {len(dataset.PixelData) for dataset in datasets} == {8 * 16 * 2}


def test_each_slice_has_pixels_of_its_own_that_rise() -> None:
    first, second = SMALL.pixels(1), SMALL.pixels(2)
    assert first != second
    row = memoryview(first).cast("H")[:16].tolist()
    assert row == sorted(set(row))


def test_the_same_name_gives_the_same_uids_and_another_name_others() -> None:
    assert SMALL.study_instance_uid == SyntheticSeries(name="test").study_instance_uid
    assert SMALL.study_instance_uid != SyntheticSeries(name="other").study_instance_uid
    assert uid("x").startswith("2.25.")
    assert len(uid("x")) <= 64


def test_a_digest_looks_at_pixels_alone() -> None:
    files = list(SMALL.files())
    renamed = list(SyntheticSeries(name="other", slices=3, rows=8, columns=16).files())
    assert files[0] != renamed[0]
    assert digest(files[0]) == digest(renamed[0])
    assert digest(files[0]) != digest(files[1])
