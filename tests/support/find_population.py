"""What the tests of C-FIND search in beside the shared population: whatever makes matching go wrong."""

from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, MRImageStorage

from proxy.demo.orthanc import Orthanc
from tests.support.instances import instance, part10

PREFIX = "2.25.7301"
"""All studies below have UIDs that begin so."""


def study_uid(number: int) -> str:
    """The Study Instance UID of one of them."""
    return f"{PREFIX}.{number}"


def series_uid(study: int, series: int) -> str:
    """The Series Instance UID of one of their series."""
    return f"{study_uid(study)}.{series}"


def sop_uid(study: int, series: int, number: int) -> str:
    """The SOP Instance UID of one of their instances."""
    return f"{series_uid(study, series)}.{number}"


def _one(study: int, series: int = 1, number: int = 1, **attributes: object) -> Dataset:
    uids = {
        "StudyInstanceUID": study_uid(study),
        "SeriesInstanceUID": series_uid(study, series),
        "SOPInstanceUID": sop_uid(study, series, number),
    }
    place = {"SeriesNumber": series, "InstanceNumber": number, "StudyID": f"S{study}"}
    return instance(rows=2, columns=2, **{**uids, **place, **attributes})  # type: ignore[arg-type]


def _items(**attributes: object) -> Sequence:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return Sequence([item])


def _with_private(image: Dataset) -> Dataset:
    block = image.private_block(0x0009, "ACME", create=True)
    block.add_new(0x01, "LO", "secret")
    return image


def find_population() -> list[Dataset]:
    """One study for each question; their patients are told apart by "F-" and a number."""
    john = {"PatientID": "F-1", "PatientName": "Doe^John^Q^Dr^Jr", "PatientBirthDate": "19500131", "PatientSex": "M"}
    code = _items(CodeValue="T-A0100", CodingSchemeDesignator="SRT", CodeMeaning="Brain")
    scheduled = _items(ScheduledProcedureStepID="SPS-1", RequestedProcedureID="RP-1")
    return [
        _one(1, StudyTime="101500", StudyDate="20240101", Modality="CT", sop_class_uid=CTImageStorage,
             ProcedureCodeSequence=code, RequestAttributesSequence=scheduled, BodyPartExamined="BRAIN",
             SeriesDescription="Axial", AcquisitionDateTime="20240101101500.5", PatientAge="074Y", **john),
        _one(1, 1, 2, StudyTime="101500", StudyDate="20240101", Modality="CT", sop_class_uid=CTImageStorage,
             ProcedureCodeSequence=code, RequestAttributesSequence=scheduled, BodyPartExamined="BRAIN",
             SeriesDescription="Axial", AcquisitionDateTime="20240101101501", PatientAge="074Y", **john),
        _one(1, 2, 1, StudyTime="101500", StudyDate="20240101", Modality="SR", ProcedureCodeSequence=code,
             SeriesDescription="Report", PatientAge="074Y", **john),
        _one(2, StudyTime="101559.999999", StudyDate="20240229", Modality="MR", sop_class_uid=MRImageStorage,
             AccessionNumber="acc-x", StudyDescription="Knee left", **john),
        _one(3, StudyTime="1015", StudyDate="20241231", AccessionNumber="ACC-X", StudyDescription="KNEE LEFT",
             PatientID="f-1", PatientName="DOE^JANE", PatientBirthDate="", PatientSex="F", Modality="OT"),
        _one(4, StudyTime="", StudyDate="", AccessionNumber="", StudyDescription="", PatientID="F-4",
             PatientName="Doe^Johnny", PatientBirthDate="20010911", PatientSex="", Modality="CR"),
        _one(5, StudyTime="235959", StudyDate="20250101", PatientID="F-5", PatientName="Müller^Jürgen",
             StudyDescription="Schädel", SpecificCharacterSet="ISO_IR 100", AccessionNumber="X[1]"),
        _one(6, StudyTime="000000", StudyDate="20250102", PatientID="F-6",
             PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
             SpecificCharacterSet=["", "ISO 2022 IR 87"], StudyDescription="X*Y", OtherPatientIDs=["ALT-1", "ALT-2"]),
        _with_private(_one(7, StudyTime="120000", StudyDate="20250103", PatientID="F_7", PatientName="Doe^John",
             OtherPatientIDs="ALT-3", StudyDescription="100% of_it", ReferringPhysicianName="House^Gregory")),
        _one(8, StudyTime="120001", StudyDate="20250104", PatientID="F 7", PatientName="Иванов^Иван",
             StudyDescription="Исследование", SpecificCharacterSet="ISO_IR 144"),
    ]  # fmt: skip


def store_find_population(orthanc: Orthanc) -> None:
    """Store all of it."""
    for image in find_population():
        assert orthanc.upload(part10(image)) is not None
