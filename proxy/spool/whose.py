"""Whose a spooled instance is: for those who may know, read from the file when they ask, and kept nowhere."""

from dataclasses import dataclass
from pathlib import Path

from proxy.dicom.charset import charset_of
from proxy.dicom.structure import StructureError, Walker
from proxy.spool.envelope import read_head

_HEAD_READ, _READ = 16 << 10, 1 << 20
_DEPTH = 1000  # of an instance that lies here because it nests too deep for others
_CHARACTER_SET = 0x00080005
_TAGS = {
    0x00100010: "patient_name",
    0x00100020: "patient_id",
    0x00080050: "accession_number",
    0x00080020: "study_date",
    0x00081030: "study_description",
    0x00080060: "modality",
}


@dataclass(frozen=True, slots=True)
class Whose:
    """The patient and the study of one instance, as text; "" = the instance does not tell."""

    patient_name: str = ""
    patient_id: str = ""
    accession_number: str = ""
    study_date: str = ""
    study_description: str = ""
    modality: str = ""


def whose(path: Path) -> Whose:
    """Read the first megabyte of a spool file. Raises OSError, ValueError for what is none."""
    with path.open("rb") as file:
        envelope, offset = read_head(file.read(_HEAD_READ))
        file.seek(offset)
        walker = Walker(envelope.transfer_syntax, _DEPTH, {_CHARACTER_SET, *_TAGS}, max_bytes=_READ)
        try:
            walker.feed(file.read(_READ))
        except StructureError:
            pass  # what was read before it broke is all there is
    terms = walker.found.get(_CHARACTER_SET, b"").decode("ascii", "replace").split("\\")
    charset = charset_of(terms)
    values = {
        name: charset.decode(walker.found.get(tag, b""), person_name=name == "patient_name").strip(" \0")
        for tag, name in _TAGS.items()
    }
    return Whose(**values)
