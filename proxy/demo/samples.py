"""Sample instances that need no download: the DICOM files inside pydicom's wheel, and a synthetic CT series."""

import io
import uuid
import warnings
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom.data
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import dcmread
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

_NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")  # OIDs, RFC 9562 6.6


def uid(name: str) -> str:
    """A UID under 2.25 that is always the same for the same name (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"


def pydicom_files() -> list[Path]:
    """The files in pydicom's wheel that hold an instance, sorted by name.

    The folder is read as such: `pydicom.data.get_testdata_file` would go and download what is missing. Files
    named 693_* belong to a data set with terms of its own. Some of the others Orthanc refuses: they are truncated
    or name no study.
    """
    folder = Path(pydicom.data.__file__).parent / "test_files"
    candidates = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("693_"))
    return [path for path in sorted(candidates) if _is_instance(path)]


def _is_instance(path: Path) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"):  # several of these files are odd on purpose
            dataset = dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"])
    except (InvalidDicomError, OSError, ValueError, AttributeError, TypeError, KeyError, EOFError):
        return False
    return bool(dataset.get("SOPInstanceUID"))


@dataclass(frozen=True)
class SyntheticSeries:
    """A CT series of `slices` images of `rows` x `columns` pixels of 16 bits; all UIDs follow from `name`.

    The pixels are a slope that moves on from slice to slice, so that an eye sees a mixed-up order and a
    comparison sees a mixed-up slice.
    """

    name: str = "demo"
    patient_id: str = "DEMO1"
    patient_name: str = "Demo^Synthetic"
    slices: int = 200
    rows: int = 512
    columns: int = 512

    @property
    def study_instance_uid(self) -> str:
        """Its study."""
        return uid(f"{self.name}/study")

    @property
    def series_instance_uid(self) -> str:
        """The series itself."""
        return uid(f"{self.name}/series")

    def sop_instance_uid(self, number: int) -> str:
        """The instance with that InstanceNumber, 1 to `slices`."""
        return uid(f"{self.name}/instance/{number}")

    def pixels(self, number: int) -> bytes:
        """Pixel data of one image: little endian, unsigned, row by row."""
        slope = array("H", (value % 4096 for value in range(self.columns + self.rows + 8 * number)))
        start = 8 * number
        return b"".join(slope[start + row : start + row + self.columns].tobytes() for row in range(self.rows))

    def files(self) -> Iterator[bytes]:
        """The DICOM files (Part 10), by InstanceNumber."""
        for number in range(1, self.slices + 1):
            target = io.BytesIO()
            self._dataset(number).save_as(target, enforce_file_format=True)
            yield target.getvalue()

    def _dataset(self, number: int) -> FileDataset:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = UID(self.sop_instance_uid(number))
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = self.sop_instance_uid(number)
        dataset.StudyDate = dataset.SeriesDate = "20260105"
        dataset.StudyTime = dataset.SeriesTime = "101500"
        dataset.AccessionNumber = uid(self.name)[-10:]
        dataset.Modality = "CT"
        dataset.Manufacturer = "orthanc-proxy"
        dataset.StudyDescription = "Synthetic demonstration study"
        dataset.SeriesDescription = f"Slope, {self.slices} slices"
        dataset.PatientName = self.patient_name
        dataset.PatientID = self.patient_id
        dataset.PatientBirthDate = "19700101"
        dataset.PatientSex = "O"
        dataset.StudyInstanceUID = self.study_instance_uid
        dataset.SeriesInstanceUID = self.series_instance_uid
        dataset.StudyID = "1"
        dataset.SeriesNumber = 1
        dataset.InstanceNumber = number
        dataset.FrameOfReferenceUID = uid(f"{self.name}/frame of reference")
        dataset.ImagePositionPatient = [0, 0, number]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.SliceThickness = 1
        dataset.PixelSpacing = [1, 1]
        self._describe_pixels(dataset, number)
        return dataset

    def _describe_pixels(self, dataset: Dataset, number: int) -> None:
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.Rows = self.rows
        dataset.Columns = self.columns
        dataset.BitsAllocated = 16
        dataset.BitsStored = 12
        dataset.HighBit = 11
        dataset.PixelRepresentation = 0
        dataset.RescaleIntercept = -1024
        dataset.RescaleSlope = 1
        dataset.WindowCenter = 1024
        dataset.WindowWidth = 2048
        dataset.add_new(0x7FE00010, "OW", self.pixels(number))
