"""From C-FIND keys to the body of POST /tools/find, in the three dialects that Orthanc's versions speak.

Orthanc is asked so that it finds at least what fits; `proxy.dicom.match` decides. Hence: tags in hexadecimal
(an unknown name is HTTP 500), `CaseSensitive: false` (there is no way to say it for each tag), every key also in
RequestedTags (otherwise keys of a lower level find nothing from 1.12.5 on), and never `Limit` (it is applied before
Orthanc's own second check).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.dicom.identifier import WILDCARD_VRS, FindKeys, Key, RetrieveKeys
from proxy.dicom.level import Level
from proxy.dicom.match import has_many_values, name_of
from proxy.dicom.times import is_range, key_span
from proxy.orthanc.version import Mode

ORTHANC_LEVEL: dict[Level, str] = {"PATIENT": "Patient", "STUDY": "Study", "SERIES": "Series", "IMAGE": "Instance"}

_MODALITIES_IN_STUDY = 0x00080061
_SOP_CLASSES_IN_STUDY = 0x00080062
COUNTS: dict[int, tuple[Level, Level]] = {
    0x00201200: ("PATIENT", "STUDY"),
    0x00201202: ("PATIENT", "SERIES"),
    0x00201204: ("PATIENT", "IMAGE"),
    0x00201206: ("STUDY", "SERIES"),
    0x00201208: ("STUDY", "IMAGE"),
    0x00201209: ("SERIES", "IMAGE"),
}
"""NumberOf...Related...: the level that has it, and the level that is counted (PS3.4 C.3.4)."""
COMPUTED = frozenset({_MODALITIES_IN_STUDY, _SOP_CLASSES_IN_STUDY, *COUNTS})
_OURS = frozenset({0x00080005, 0x00080052, 0x00080054, 0x00080056})  # never Orthanc's to tell
_TIMEZONE = 0x00080201


def is_private(tag: int) -> bool:
    """Private elements are answered, but never asked for: Orthanc would take a private creator for a filter."""
    return bool((tag >> 16) & 1)


def find_body(keys: FindKeys, mode: Mode) -> dict[str, Any]:
    """The one call that finds what `keys` describe."""
    body: dict[str, Any] = {
        "Level": ORTHANC_LEVEL[keys.level],
        "Query": {name_of(key.tag): value for key in keys.keys if (value := asked(key, keys.level)) is not None},
        "CaseSensitive": False,
        "Short": True,
        "Expand": True,
    }
    if mode != "legacy":
        body["RequestedTags"] = [name_of(tag) for tag in requested(keys.keys)]
    if mode == "extended":
        body["ResponseContent"] = ["RequestedTags"]
    return body


def requested(keys: Iterable[Key]) -> list[int]:
    """The tags that Orthanc has to tell."""
    return [key.tag for key in keys if key.tag not in _OURS]


def asked(key: Key, level: Level) -> str | None:
    """What Orthanc is told about a key; None where it had better find everything and we choose."""
    if not key.values or is_private(key.tag) or key.tag in _OURS or key.tag == _TIMEZONE:
        return None
    if key.tag in COMPUTED and not (key.tag == _MODALITIES_IN_STUDY and level == "STUDY" and not _has_wildcard(key)):
        return None
    if key.vr in ("DT", "IS", "DS") or (len(key.values) > 1 and _has_wildcard(key)):
        return None
    if key.tag not in COMPUTED and has_many_values(key.tag):
        return f"*{key.values[0]}*" if len(key.values) == 1 and key.vr in WILDCARD_VRS else None
    if key.vr in ("DA", "TM"):
        return _times(key)
    if key.vr == "PN" and len(key.values) == 1:
        return _name(key.values[0])
    return "\\".join(key.values)


def _has_wildcard(key: Key) -> bool:
    return key.vr in WILDCARD_VRS and any("*" in value or "?" in value for value in key.values)


def _name(value: str) -> str | None:
    """A name with open ends: trailing empty components and other groups do not matter to us but do to Orthanc.

    What is not ASCII may be the second or third group of the name, so its beginning is open, too.
    """
    groups = [group.rstrip("^ *") for group in value.rstrip("^ *=").split("=")]
    if not any(groups):
        return None
    anywhere = "" if value.isascii() or len(groups) > 1 else "*"
    return anywhere + "=".join(f"{group}*" for group in groups)


def _times(key: Key) -> str | None:
    """A date or time that Orthanc, which compares text, finds all of: a time as a range over all its fractions."""
    if len(key.values) > 1:
        return None
    value = key.values[0]
    covered = key_span(value, key.vr)
    if covered is None:
        return value
    if key.vr == "DA":
        return f"{covered[0]}-{covered[1]}" if is_range(value, "DA") else covered[0]
    lower = covered[0].partition(".")[0].rstrip("0")
    return f"{lower if len(lower) >= 2 else lower.ljust(2, '0')}-{covered[1]}"


@dataclass(frozen=True, slots=True)
class LegacyPlan:
    """What Orthanc 1.10 has to be asked beside the find, which tells the main tags of its own level only.

    `parents`: levels whose main tags are wanted, upward. `children`: series (and, for SOP classes, instances) have to
    be listed. `sample`: tags that only a stored file tells.
    """

    parents: tuple[Level, ...]
    children: bool
    sop_classes: bool
    sample: tuple[int, ...]


def legacy_plan(keys: FindKeys) -> LegacyPlan:
    """The cheapest set of further calls for `keys`."""
    tags = [tag for tag in requested(keys.keys) if tag != _TIMEZONE]
    upper: list[Level] = [level for level in _ABOVE[keys.level] if any(tag in MAIN_TAGS[level] for tag in tags)]
    known = set().union(MAIN_TAGS[keys.level], *(MAIN_TAGS[level] for level in upper), COMPUTED)
    computed = [tag for tag in tags if tag in COMPUTED]
    own_counts = [tag for tag in computed if COUNTS.get(tag, ("STUDY",))[0] == keys.level]
    return LegacyPlan(
        parents=tuple(level for level in upper if not (keys.level == "STUDY" and level == "PATIENT")),
        children=keys.level in ("PATIENT", "STUDY") and bool(own_counts),
        sop_classes=keys.level == "STUDY" and _SOP_CLASSES_IN_STUDY in computed,
        sample=tuple(tag for tag in tags if tag not in known),
    )


def locate_query(keys: RetrieveKeys) -> dict[str, str]:
    """The `Query` of a find at Instance level for a retrieve; exactness is checked on what comes back."""
    return {name_of(tag): "\\".join(values) for tag, values in keys.values.items()}


def _tags(text: str) -> frozenset[int]:
    return frozenset(int(tag, 16) for tag in text.split())


_ABOVE: dict[Level, Sequence[Level]] = {
    "PATIENT": (),
    "STUDY": ("PATIENT",),
    "SERIES": ("STUDY", "PATIENT"),
    "IMAGE": ("SERIES", "STUDY", "PATIENT"),
}
MAIN_TAGS: dict[Level, frozenset[int]] = {
    "PATIENT": _tags("00100010 00100020 00100030 00100040 00101000"),
    "STUDY": _tags("00080020 00080030 00080050 00080080 00080090 00081030 0020000D 00200010 00321032 00321060"),
    "SERIES": _tags(
        "00080021 00080031 00080060 00080070 00081010 0008103E 00081070 00180010 00180015 00180024 00181030 00181090"
        " 00181400 0020000E 00200011 00200037 00200105 00201002 00400254 00540081 00540101 00541000"
    ),
    "IMAGE": _tags(
        "00080012 00080013 00080018 00200012 00200013 00200032 00200037 00200100 00204000 00280008 00541330"
    ),
}
"""What Orthanc up to 1.10 keeps in its database for each level."""
