"""The studies that are moved about: 500 x 0.5 MB, 1000 x 20 KB, and one of 200 MB."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.demo.orthanc import Orthanc
from proxy.demo.samples import SyntheticSeries, uid
from tests.support.instances import instance, part10

_ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
_CT = "1.2.840.10008.5.1.4.1.1.2"


@dataclass(frozen=True)
class Study:
    """A study on disk: `folder` holds its files."""

    name: str
    uid: str
    count: int
    bytes: int
    folder: Path
    sop_class: str = _CT

    @property
    def many(self) -> bool:
        """Does it have so many instances that Nagle's algorithm rules?"""
        return self.count >= 100

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())


def make_studies(folder: Path, quick: bool, tell: Callable[[str], None]) -> list[Study]:
    """Write the three studies; a tenth of everything where `quick`."""
    divisor = 10 if quick else 1
    large = SyntheticSeries(name="bench-large", patient_id="BENCH1", slices=500 // divisor)
    small = SyntheticSeries(name="bench-small", patient_id="BENCH2", slices=1000 // divisor, rows=100, columns=100)
    tell("writing the studies")
    return [
        _write(f"{large.slices} x 0.5 MB", large.study_instance_uid, large.files(), folder / "large"),
        _write(f"{small.slices} x 20 KB", small.study_instance_uid, small.files(), folder / "small"),
        multiframe(folder / "multiframe", 200 // divisor),
    ]


def multiframe(folder: Path, megabytes: int) -> Study:
    """A study of one instance of so many MB."""
    study = uid(f"bench-{megabytes}/study")
    image = instance(
        sop_class_uid=_ENHANCED_CT,
        rows=1000,
        columns=1000,
        frames=megabytes,
        PatientID="BENCH3",
        StudyInstanceUID=study,
        SeriesInstanceUID=uid(f"bench-{megabytes}/series"),
        SOPInstanceUID=uid(f"bench-{megabytes}/instance"),
        Modality="CT",
    )
    return _write(f"1 x {megabytes} MB", study, iter([part10(image)]), folder, _ENHANCED_CT)


def _write(name: str, study_uid: str, files: Iterator[bytes], folder: Path, sop_class: str = _CT) -> Study:
    folder.mkdir(parents=True)
    count = size = 0
    for count, file in enumerate(files, 1):
        (folder / f"{count:05}.dcm").write_bytes(file)
        size += len(file)
    return Study(name, study_uid, count, size, folder, sop_class)


def load(orthanc: Orthanc, study: Study) -> None:
    """Store a study in an Orthanc."""
    for file in study.files:
        orthanc.upload(file.read_bytes())


def load_small_studies(orthanc: Orthanc, count: int) -> None:
    """Store `count` studies of one tiny image each, of the patients FIND-0001 and on."""
    for number in range(1, count + 1):
        tiny = instance(
            rows=2,
            columns=2,
            PatientID=f"FIND-{number:04}",
            PatientName=f"Find^{number}",
            StudyInstanceUID=uid(f"find/{number}/study"),
            SeriesInstanceUID=uid(f"find/{number}/series"),
            SOPInstanceUID=uid(f"find/{number}/instance"),
            StudyDescription="To be found",
        )
        orthanc.upload(part10(tiny))
