"""How received instances are named on disk: <Study>/<Series>/<SOP>.dcm, and <SOP>_2.dcm for another of that UID.

A UID comes from the network: it becomes a name only when it holds nothing but digits and dots, begins with a digit
and has at most 64 characters (PS3.5 9.1), so no name leaves its folder or hides in it. Everything of our own below
the spool's folder begins with a dot. An underscore is in no UID: `1.2_3.dcm` cannot be taken for UID 1.2.3.

Among instances of one SOP Instance UID the number is the order of arrival, and as long as there is any, there is
one without a number: so a single look tells whether a UID waits already.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_UID = re.compile(r"[0-9][0-9.]{0,63}", re.ASCII)
_FILE = re.compile(r"([0-9][0-9.]{0,63})(?:_([0-9]{1,9}))?\.dcm", re.ASCII)


class Name(NamedTuple):
    """Where a received instance lies, relative to the spool's folder. `number` 1 is the one without a number."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    number: int = 1

    @property
    def folder(self) -> str:
        """Its folder, relative to the spool's."""
        return f"{self.study_instance_uid}/{self.series_instance_uid}"

    @property
    def file(self) -> str:
        """Its file name."""
        suffix = f"_{self.number}" if self.number > 1 else ""
        return f"{self.sop_instance_uid}{suffix}.dcm"

    @property
    def path(self) -> str:
        """Folder and file name."""
        return f"{self.folder}/{self.file}"

    @property
    def key(self) -> tuple[str, str, str]:
        """What is common to all that share the SOP Instance UID: these are forwarded in order."""
        return self[:3]


def is_safe_uid(text: str) -> bool:
    """May this UID become the name of a file or folder?"""
    return _UID.fullmatch(text) is not None


def parse_file(name: str) -> tuple[str, int] | None:
    """SOP Instance UID and number of a file name; None where it is not one of ours."""
    found = _FILE.fullmatch(name)
    if found is None:
        return None
    number = int(found[2] or 1)
    return (found[1], number) if found[2] is None or number > 1 else None


def parse_path(path: str) -> Name | None:
    """The Name behind a relative path with slashes; None where it is not one of ours."""
    parts = path.split("/")
    if len(parts) != 3 or not is_safe_uid(parts[0]) or not is_safe_uid(parts[1]):
        return None
    parsed = parse_file(parts[2])
    return Name(parts[0], parts[1], *parsed) if parsed else None


def numbers_of(sop_instance_uid: str, files: Iterable[str]) -> Iterator[int]:
    """The numbers that instances of that UID have among the names of a folder."""
    for file in files:
        parsed = parse_file(file)
        if parsed is not None and parsed[0] == sop_instance_uid:
            yield parsed[1]
