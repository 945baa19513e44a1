"""What the shared Orthancs hold: the files of pydicom's wheel, a CT series, and names in many alphabets."""

from dataclasses import dataclass, field

from proxy.demo.orthanc import Orthanc
from proxy.demo.samples import SyntheticSeries, pydicom_files
from tests.support.instances import part10, series

CT = SyntheticSeries(name="shared-ct", patient_id="CT-1", patient_name="Comte^Tomas", slices=20, rows=64, columns=64)

NAMES = {
    "JP-1": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "RU-1": "Люкceмбypг^Иван",
    "FR-1": "Jérôme^Buc",
    "GR-1": "Διονυσιος",
    "DE-1": "Äneas^Rüdiger",
}
DATES = ["19991231", "20000101", "20200229", "20260105", ""]


@dataclass
class Population:
    """What was stored: `files` by Orthanc's instance id (two of them share a SOP Instance UID)."""

    files: dict[str, bytes] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


def populate(orthanc: Orthanc) -> Population:
    """Store all samples; takes a second or two."""
    stored = Population()
    for path in pydicom_files():
        _store(orthanc, path.read_bytes(), stored, path.name)
    for file in CT.files():
        _store(orthanc, file, stored, "ct")
    for (patient_id, name), date in zip(NAMES.items(), DATES, strict=True):
        images = series(
            2,
            PatientID=patient_id,
            PatientName=name,
            StudyDate=date,
            StudyDescription=f"Étude {patient_id}",
            AccessionNumber=f"ACC-{patient_id}",
        )
        for dataset in images:
            _store(orthanc, part10(dataset), stored, patient_id)
    return stored


def _store(orthanc: Orthanc, file: bytes, stored: Population, name: str) -> None:
    instance_id = orthanc.upload(file)
    if instance_id is None:
        stored.refused.append(name)
    else:
        stored.files.setdefault(instance_id, file)
