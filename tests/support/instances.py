"""Small DICOM instances made to order."""

import io
from collections.abc import Iterator

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)


def instance(
    *,
    transfer_syntax: str = ExplicitVRLittleEndian,
    sop_class_uid: str = SecondaryCaptureImageStorage,
    rows: int = 16,
    columns: int = 16,
    frames: int = 1,
    pixels: bytes | None = None,
    **attributes: object,
) -> FileDataset:
    """One image of 8 bits a pixel; `attributes` are keywords that win over what is made up here.

    An encapsulated `transfer_syntax` wraps `pixels` as its only fragment, whatever they are.
    """
    syntax = UID(transfer_syntax)
    dataset = FileDataset(
        "",
        Dataset(),
        preamble=b"\0" * 128,
        is_implicit_VR=syntax.is_implicit_VR,
        is_little_endian=syntax.is_little_endian,
    )
    made_up: dict[str, object] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": sop_class_uid,
        "SOPInstanceUID": generate_uid(None),
        "StudyInstanceUID": generate_uid(None),
        "SeriesInstanceUID": generate_uid(None),
        "PatientID": "TEST-1",
        "PatientName": "Test^Patient",
        "PatientBirthDate": "19700101",
        "PatientSex": "O",
        "StudyDate": "20260105",
        "StudyTime": "101500",
        "StudyID": "1",
        "AccessionNumber": "A1",
        "ReferringPhysicianName": "",
        "Modality": "OT",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "ConversionType": "SYN",
    }
    for keyword, value in {**made_up, **attributes}.items():
        setattr(dataset, keyword, value)
    _describe_pixels(dataset, rows, columns, frames, pixels, UID(transfer_syntax))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    return dataset


def series(count: int, **attributes: object) -> Iterator[FileDataset]:
    """`count` instances of one series, InstanceNumber from 1; attributes as `instance`."""
    uids = {"StudyInstanceUID": generate_uid(None), "SeriesInstanceUID": generate_uid(None)}
    for number in range(1, count + 1):
        yield instance(**{**uids, "InstanceNumber": number, **attributes})  # type: ignore[arg-type]


def part10(dataset: Dataset) -> bytes:
    """The DICOM file of a data set that has its file meta information."""
    target = io.BytesIO()
    dataset.save_as(target, enforce_file_format=True)
    return target.getvalue()


def _describe_pixels(
    dataset: Dataset, rows: int, columns: int, frames: int, pixels: bytes | None, transfer_syntax: UID
) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = rows
    dataset.Columns = columns
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    if frames > 1:
        dataset.NumberOfFrames = frames
    length = rows * columns * frames
    pixels = pixels if pixels is not None else (bytes(range(256)) * (length // 256 + 1))[:length]
    if transfer_syntax.is_encapsulated:
        dataset.add_new(0x7FE00010, "OB", encapsulate([pixels]))
        dataset["PixelData"].is_undefined_length = True
    else:
        padded = pixels + b"\0" * (len(pixels) % 2)
        dataset.add_new(0x7FE00010, "OW" if transfer_syntax == ExplicitVRBigEndian else "OB", padded)
