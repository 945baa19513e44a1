"""What an Orthanc can do, told from its /system: by what it says it has, not by its version number where possible.

Debian's build of 1.12.7 reports another API version than its release notes, and extended find depends on the
database plugin, so features are looked for first.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Mode = Literal["extended", "requested", "legacy"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`mode`: how tools/find is asked ("extended" from 1.12.5, "requested" from 1.11.0, else "legacy").

    `transcodes`: /instances/{id}/file?transcode= works (from 1.12.2; older ones ignore it silently).
    `move_is_job`: /modalities/{id}/move can run as a job (from 1.11.1).
    """

    version: str
    mode: Mode
    transcodes: bool
    move_is_job: bool
    dicom_aet: str = ""
    dicom_port: int = 0


def capabilities_of(system: Mapping[str, Any]) -> Capabilities:
    """From the JSON of GET /system."""
    version = str(system.get("Version", ""))
    number = _number(version)
    if dict(system.get("Capabilities") or {}).get("HasExtendedFind") is True:
        mode: Mode = "extended"
    else:
        mode = "requested" if "MainDicomTags" in system else "legacy"
    return Capabilities(
        version,
        mode,
        transcodes=number >= (1, 12, 2),
        move_is_job=number >= (1, 11, 1),
        dicom_aet=str(system.get("DicomAet", "")),
        dicom_port=int(system.get("DicomPort", 0)),
    )


def _number(version: str) -> tuple[int, ...]:
    """A tuple to compare; a development build ("mainline") counts as newest."""
    numbers = re.findall(r"\d+", version)
    return tuple(int(part) for part in numbers[:3]) if numbers else (999,)
