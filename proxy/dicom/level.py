"""Query/Retrieve levels, their unique keys, and what each level may be asked to count (PS3.4 C.6)."""

from typing import Literal

Level = Literal["PATIENT", "STUDY", "SERIES", "IMAGE"]

LEVELS: tuple[Level, ...] = ("PATIENT", "STUDY", "SERIES", "IMAGE")

QUERY_RETRIEVE_LEVEL = 0x00080052
UNIQUE_KEYS: dict[Level, int] = {
    "PATIENT": 0x00100020,
    "STUDY": 0x0020000D,
    "SERIES": 0x0020000E,
    "IMAGE": 0x00080018,
}

NAMED_BY: dict[Level, tuple[str, ...]] = {
    "PATIENT": ("PatientID",),
    "STUDY": ("StudyInstanceUID",),
    "SERIES": ("StudyInstanceUID", "SeriesInstanceUID"),
    "IMAGE": ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
}
"""Keywords of the unique keys that name something in another node's hierarchy (PS3.4 C.4.2.2.1), from the top."""

_SPELLINGS: dict[str, Level] = {
    "PATIENT": "PATIENT",
    "PATIENTS": "PATIENT",
    "STUDY": "STUDY",
    "STUDIES": "STUDY",
    "SERIES": "SERIES",
    "IMAGE": "IMAGE",
    "IMAGES": "IMAGE",
    "INSTANCE": "IMAGE",
    "INSTANCES": "IMAGE",
}


def level_of(text: str) -> Level | None:
    """The level that `text` spells, as tolerantly as Orthanc reads it; None where it spells none."""
    return _SPELLINGS.get(text.strip().upper())
