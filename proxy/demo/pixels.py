"""A digest of an instance's pixel data, to compare what came by DIMSE with what REST says."""

import hashlib
import io

from pydicom.filereader import dcmread


def digest(file: bytes) -> str:
    """SHA-256 of PixelData, or of nothing where there is none. Raises pydicom's errors on what is not DICOM."""
    dataset = dcmread(io.BytesIO(file))
    return hashlib.sha256(dataset.get("PixelData", b"")).hexdigest()
