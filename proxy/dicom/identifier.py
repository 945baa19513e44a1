"""From the bytes of a request identifier to its keys, or to the error that says which element is wrong.

An identifier is first walked strictly (`proxy.dicom.structure`): one that is cut or lies about lengths would be
read as a smaller, legal one and match more than was asked. A level that is missing or a unique key that is empty
never means "everything" on a retrieve. Sources: PS3.4 C.2.2.1 (keys), C.4.1.1.3 and C.4.2.1.4 (identifiers).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from types import MappingProxyType
from typing import Any, Protocol

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from proxy.dicom.charset import Charset, charset_of
from proxy.dicom.elements import EXPLICIT_BIG, IMPLICIT_LITTLE
from proxy.dicom.level import LEVELS, QUERY_RETRIEVE_LEVEL, UNIQUE_KEYS, Level, level_of
from proxy.dicom.structure import check
from proxy.errors import InvalidIdentifier, UnreadableIdentifier

_SPECIFIC_CHARACTER_SET = 0x00080005
_CONTROL = frozenset({_SPECIFIC_CHARACTER_SET, QUERY_RETRIEVE_LEVEL})
_UID = re.compile(r"[0-9.]{1,64}")
WILDCARD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
"""VRs in whose values * and ? are wildcards (PS3.4 C.2.2.2.4)."""
_RANGE_VRS = frozenset({"DA", "TM", "DT"})
_ASK_VRS = WILDCARD_VRS | {"UI", "DA", "TM", "DT", "AS", "IS", "DS"}
_ACCESSION_NUMBER = 0x00080050


class Bounds(Protocol):
    """What of the settings bounds an identifier."""

    @property
    def identifier(self) -> int:
        """Bytes."""

    @property
    def nesting(self) -> int:
        """Levels of sequences."""

    @property
    def uids_per_list(self) -> int:
        """UIDs, or other values, that one key may list."""


@dataclass(frozen=True, slots=True)
class Key:
    """One element of a C-FIND identifier. No `values` and no `items` = universal: it is only to be returned.

    `values` holds more than one where the identifier gave a list. `items` are the keys inside a sequence.
    """

    tag: int
    vr: str
    values: tuple[str, ...] = ()
    items: tuple["Key", ...] = ()


@dataclass(frozen=True, slots=True)
class FindKeys:
    """A legal C-FIND identifier: `keys` in ascending order of their tags, `spelled_level` as the requestor wrote it."""

    level: Level
    spelled_level: str
    keys: tuple[Key, ...]
    charset: Charset


@dataclass(frozen=True, slots=True)
class RetrieveKeys:
    """A legal C-GET or C-MOVE identifier.

    `values` maps tags to lists of exact values, all of which must fit: the unique key of `level`, and those of
    higher levels that the identifier also gave. E.g. level "SERIES", {0x0020000D: ("1.2",), 0x0020000E: ("1.2.3",)}.
    """

    level: Level
    values: Mapping[int, tuple[str, ...]]

    def __hash__(self) -> int:
        return hash((self.level, tuple(sorted(self.values.items()))))


def find_keys(data: bytes, transfer_syntax: str, limits: Bounds, default: Charset) -> FindKeys:
    """The keys of a C-FIND identifier; `default` is the repertoire of one that names none.

    Where the level is missing, which plain `findscu` makes easy, the lowest unique key that is there tells it.
    Raises UnreadableIdentifier or InvalidIdentifier.
    """
    dataset, charset = _decoded(data, transfer_syntax, limits, default)
    spelled = _text_of(_item(dataset, QUERY_RETRIEVE_LEVEL), "CS", charset).strip()
    level = _level(spelled, [level for level in LEVELS if UNIQUE_KEYS[level] in dataset])
    keys = tuple(_keys(dataset, charset, limits))
    return FindKeys(level, spelled or level, keys, charset)


def retrieve_keys(data: bytes, transfer_syntax: str, limits: Bounds) -> RetrieveKeys:
    """The keys of a C-GET or C-MOVE identifier. Raises UnreadableIdentifier or InvalidIdentifier.

    Where the level is missing the most specific unique key tells it, as Orthanc does for C-MOVE. At STUDY level an
    Accession Number may stand for the Study Instance UID, as Orthanc allows, too.
    """
    dataset, charset = _decoded(data, transfer_syntax, limits, charset_of([""]))
    given = {tag: _values(_item(dataset, tag), "UI" if tag != UNIQUE_KEYS["PATIENT"] else "LO", charset) for tag in
             UNIQUE_KEYS.values() if tag in dataset}  # fmt: skip
    accession = _values(_item(dataset, _ACCESSION_NUMBER), "SH", charset) if _ACCESSION_NUMBER in dataset else ()
    spelled = _text_of(_item(dataset, QUERY_RETRIEVE_LEVEL), "CS", charset).strip()
    level = _level(spelled, [level for level in LEVELS if given.get(UNIQUE_KEYS[level])])
    own = UNIQUE_KEYS[level]
    values: dict[int, tuple[str, ...]] = {}
    for upper in LEVELS[: LEVELS.index(level) + 1]:
        tag = UNIQUE_KEYS[upper]
        if given.get(tag):
            values[tag] = _exact(tag, given[tag], limits)
    if own not in values and level == "STUDY" and accession:
        values[_ACCESSION_NUMBER] = _exact(_ACCESSION_NUMBER, accession, limits)
    elif own not in values:
        raise InvalidIdentifier(f"the unique key of level {level} is {'empty' if own in given else 'missing'}", (own,))
    return RetrieveKeys(level, MappingProxyType(values))


def _level(spelled: str, named: Sequence[Level]) -> Level:
    """The level as spelled; the lowest of those `named` by a unique key where the identifier spells none."""
    level = level_of(spelled)
    if level is not None:
        return level
    if spelled:
        raise InvalidIdentifier("Query/Retrieve Level is unknown", (QUERY_RETRIEVE_LEVEL,))
    if not named:
        raise InvalidIdentifier("Query/Retrieve Level is missing", (QUERY_RETRIEVE_LEVEL,))
    return named[-1]


def _exact(tag: int, values: tuple[str, ...], limits: Bounds) -> tuple[str, ...]:
    """The values of a unique key, which must be exact ones. Raises InvalidIdentifier."""
    _bounded(tag, values, limits)
    if not all(values):
        raise InvalidIdentifier("an empty value in a list of unique keys", (tag,))
    if any("*" in value or "?" in value for value in values):
        raise InvalidIdentifier("no wildcards in the unique keys of a retrieve", (tag,))
    is_uid = tag not in (UNIQUE_KEYS["PATIENT"], _ACCESSION_NUMBER)
    if is_uid and not all(_UID.fullmatch(value) for value in values):
        raise InvalidIdentifier("not a UID", (tag,))
    return values


def _decoded(data: bytes, transfer_syntax: str, limits: Bounds, default: Charset) -> tuple[Dataset, Charset]:
    if len(data) > limits.identifier:
        raise UnreadableIdentifier("the identifier is too long")
    check(data, transfer_syntax, max_depth=limits.nesting)
    try:
        dataset = read_dataset(
            BytesIO(data), transfer_syntax == IMPLICIT_LITTLE, transfer_syntax != EXPLICIT_BIG, len(data)
        )
        item = _item(dataset, _SPECIFIC_CHARACTER_SET)
        if item is None:
            return dataset, default
        terms = _raw(item).decode("ascii", "replace").rstrip("\0 ").split("\\")
        return dataset, charset_of(terms) if any(terms) else default
    except UnreadableIdentifier:
        raise
    except Exception as error:  # pydicom raises whatever its readers meet
        raise UnreadableIdentifier("the identifier cannot be decoded") from error


def _keys(dataset: Dataset, charset: Charset, limits: Bounds) -> Iterable[Key]:
    """All keys but those that steer the query. Raises InvalidIdentifier."""
    for tag in sorted(int(tag) for tag in dataset.keys()):  # noqa: SIM118 - iterating a Dataset would decode it
        if tag in _CONTROL or tag >> 16 < 0x0008 or tag & 0xFFFF == 0:
            continue
        item = _item(dataset, tag)
        vr = vr_of(tag, str(item.VR) if item.VR else "")
        if vr == "SQ":
            yield Key(tag, vr, items=_nested(dataset, tag, charset, limits))
            continue
        values = _values(item, vr, charset) if vr in _ASK_VRS or _is_text_number(vr) else ()
        yield Key(tag, vr, _checked(tag, vr, values, limits))


def _nested(dataset: Dataset, tag: int, charset: Charset, limits: Bounds) -> tuple[Key, ...]:
    """The keys inside a sequence: those of its one item (PS3.4 C.2.2.2.6)."""
    try:
        items = list(dataset[tag].value or ())
    except Exception as error:
        raise UnreadableIdentifier("a sequence cannot be decoded") from error
    if len(items) > 1:
        raise InvalidIdentifier("a sequence key has one item", (tag,))
    return tuple(_keys(items[0], charset, limits)) if items else ()


def _checked(tag: int, vr: str, values: tuple[str, ...], limits: Bounds) -> tuple[str, ...]:
    """`values` without what only means "any value": nothing, asterisks, a range open at both ends.

    Raises InvalidIdentifier.
    """
    if not any(values) or (len(values) == 1 and set(values[0]) == {"*"}):
        return ()
    if vr in _RANGE_VRS and values == ("-",):
        return ()
    _bounded(tag, values, limits)
    if vr not in WILDCARD_VRS and any("*" in value or "?" in value for value in values):
        raise InvalidIdentifier(f"no wildcards in a value of type {vr}", (tag,))
    return values


def _bounded(tag: int, values: Sequence[str], limits: Bounds) -> None:
    if len(values) > limits.uids_per_list:
        raise InvalidIdentifier(f"a list of more than {limits.uids_per_list} values", (tag,))


def _values(item: "RawDataElement | DataElement | None", vr: str, charset: Charset) -> tuple[str, ...]:
    """The values of an element as text, without padding; () where it is empty."""
    text = _text_of(item, vr, charset)
    if not text:
        return ()
    if vr in ("LT", "ST", "UT", "UR"):  # these never hold more than one value
        return (text.rstrip(" \0"),)
    return tuple(part.strip(" \0") if vr != "PN" else part.rstrip(" \0") for part in text.split("\\"))


def _item(dataset: Dataset, tag: int) -> Any:
    """An element as it came. Raises UnreadableIdentifier: what has undefined length pydicom decodes all the same."""
    try:
        return dataset.get_item(tag)
    except Exception as error:
        raise UnreadableIdentifier("an element cannot be decoded") from error


def _text_of(item: "RawDataElement | DataElement | None", vr: str, charset: Charset) -> str:
    return charset.decode(_raw(item), person_name=vr == "PN").rstrip(" \0") if item is not None else ""


def _raw(item: "RawDataElement | DataElement") -> bytes:
    value = item.value
    return value if isinstance(value, bytes) else b""


def _is_text_number(vr: str) -> bool:
    return vr in ("IS", "DS")


def vr_of(tag: int, given: str = "") -> str:
    """The VR of a tag: the dictionary's, else the one given, else UN."""
    try:
        vr = str(dictionary_VR(tag))
    except KeyError:
        return given if given and given != "UN" else "UN"
    return vr[:2] if " or " in vr else vr
