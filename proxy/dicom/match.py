"""Does what Orthanc found fit the keys, and how is it answered?

Orthanc searches first, with `CaseSensitive: false` and therefore too widely for everything but names; here each
match is checked again as the Standard says, so that the proxy answers the same whatever Orthanc's version. Values
are as Orthanc's REST tells them: UTF-8 text, several joined by a backslash, sequences as lists of items, all under
"gggg,eeee". Sources: PS3.4 C.2.2.2 (matching), C.4.1.1.3.2 (response identifier).
"""

import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

from pydicom.datadict import dictionary_VM

from proxy.dicom.charset import UTF_8, Charset, charset_of
from proxy.dicom.elements import Elements
from proxy.dicom.identifier import WILDCARD_VRS, FindKeys, Key, vr_of
from proxy.dicom.times import within

Match = Mapping[str, object]
"""One match: "gggg,eeee" -> text, items of a sequence, or None."""

_CHARSET, _LEVEL, _RETRIEVE_AET, _AVAILABILITY, _TIMEZONE = 0x00080005, 0x00080052, 0x00080054, 0x00080056, 0x00080201
_NEVER_MATCHED = frozenset({_TIMEZONE})
_BINARY = {"US": "<H", "SS": "<h", "UL": "<I", "SL": "<i", "FL": "<f", "FD": "<d", "SV": "<q", "UV": "<Q"}
_ENCODED = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})


@lru_cache(4096)
def name_of(tag: int) -> str:
    """A tag as Orthanc's REST writes it."""
    return f"{tag >> 16:04x},{tag & 0xFFFF:04x}"


def with_own(match: Match, called_aet: str) -> dict[str, object]:
    """`match` with what is ours to say: Retrieve AE Title and Instance Availability (PS3.4 C.4.1.1.3.2)."""
    return {**match, name_of(_RETRIEVE_AET): called_aet, name_of(_AVAILABILITY): "ONLINE"}


@lru_cache(4096)
def has_many_values(tag: int) -> bool:
    """May the element have more than one value?"""
    try:
        return str(dictionary_VM(tag)) != "1"
    except KeyError:
        return False


def matches(match: Match, keys: Iterable[Key]) -> bool:
    """Do all keys fit?"""
    return all(_fits(match.get(name_of(key.tag)), key) for key in keys)


def _fits(value: object, key: Key) -> bool:
    if key.tag in _NEVER_MATCHED or _is_private_creator(key.tag):
        return True
    if key.items:
        wanted = [item for item in key.items if item.values or item.items]
        items = value if isinstance(value, (list, tuple)) else ()
        return not wanted or any(isinstance(item, Mapping) and matches(item, wanted) for item in items)
    if not key.values:
        return True
    text = value if isinstance(value, str) else ""
    test = _test(key)
    return any(test(part) for part in (text.split("\\") if text else ("",)))


def _is_private_creator(tag: int) -> bool:
    """It says whose elements are meant and is no key itself (PS3.5 7.8.1)."""
    return bool(tag >> 16 & 1) and 0x10 <= tag & 0xFFFF <= 0xFF


def _test(key: Key) -> Callable[[str], bool]:
    """One value against the key; of long keys, which take up memory, only the latest are kept ready."""
    return (_small_test if sum(map(len, key.values)) <= _SMALL else _large_test)(key)


def _made_test(key: Key) -> Callable[[str], bool]:
    """A list of values means any of them, exactly (PS3.4 C.2.2.2.2)."""
    if len(key.values) > 1:
        tests = [_single(key.vr, value, wildcards=False) for value in key.values]
        if key.vr == "UI":
            wanted = frozenset(key.values)
            return lambda text: text.strip(" \0") in wanted
        return lambda text: any(test(text) for test in tests)
    return _single(key.vr, key.values[0], wildcards=True)


_SMALL = 1024  # characters
_small_test, _large_test = lru_cache(1024)(_made_test), lru_cache(4)(_made_test)


def _single(vr: str, wanted: str, *, wildcards: bool) -> Callable[[str], bool]:
    if vr in ("DA", "TM", "DT"):
        return lambda text: within(text, wanted, vr)
    if vr in ("IS", "DS"):
        return lambda text: _same_number(text, wanted)
    if vr == "PN":
        return _name_test(wanted, wildcards=wildcards)
    if vr in WILDCARD_VRS and wildcards and ("*" in wanted or "?" in wanted):
        pattern = _pattern(wanted)
        return lambda text: pattern.fullmatch(text.strip(" \0")) is not None
    return lambda text: text.strip(" \0") == wanted


def _name_test(wanted: str, *, wildcards: bool) -> Callable[[str], bool]:
    """Names fit whatever their case, whole or in one of their three groups; trailing empty components don't count.

    A key that gives several groups fits where each of them does; one that it leaves empty is any (PS3.5 6.2.1.1).
    """
    whole = _part_test(wanted, wildcards=wildcards)
    parts = _trimmed(wanted).split("=")
    tests = [(at, _part_test(part, wildcards=wildcards)) for at, part in enumerate(parts) if part]

    def test(text: str) -> bool:
        groups = text.split("=")
        if whole(text):
            return True
        if len(parts) == 1:
            return any(map(whole, groups))
        return all(fits(groups[at] if at < len(groups) else "") for at, fits in tests)

    return test


def _part_test(wanted: str, *, wildcards: bool) -> Callable[[str], bool]:
    folded = _trimmed(wanted.casefold())
    if wildcards and ("*" in folded or "?" in folded):
        pattern = _pattern(folded)
        return lambda text: pattern.fullmatch(_trimmed(text.casefold())) is not None
    return lambda text: _trimmed(text.casefold()) == folded


def _trimmed(name: str) -> str:
    return "=".join(group.strip(" ").rstrip("^ ") for group in name.split("=")).rstrip("=")


def _pattern(wanted: str) -> re.Pattern[str]:
    """`*` and `?` as a regular expression in which each star but the last takes as little as it can, once and for all.

    Otherwise a dozen of them would be tried in more ways than there is time for, and hold up everybody.
    """
    first, *others = (
        "".join("." if c == "?" else re.escape(c) for c in literal) for literal in re.split(r"\*+", wanted)
    )
    if not others:
        return re.compile(first, re.DOTALL)
    middle = "".join(f"(?>.*?{literal})" for literal in others[:-1])
    return re.compile(f"{first}{middle}.*{others[-1]}", re.DOTALL)


def _same_number(text: str, wanted: str) -> bool:
    try:
        return float(text) == float(wanted)
    except ValueError:
        return text.strip() == wanted


def response_identifier(match: Match, keys: FindKeys, called_aet: str) -> Elements:
    """The identifier of one Pending response: what was asked for, in the asked repertoire or else in UTF-8."""
    elements = _elements(match, keys.keys, keys.charset)
    charset = keys.charset
    if elements is None:
        charset = charset_of([UTF_8])
        elements = _elements(match, keys.keys, charset) or []
    own = [
        (_LEVEL, "CS", keys.spelled_level.encode("ascii", "replace")),
        (_RETRIEVE_AET, "AE", called_aet.encode("ascii", "replace")),
    ]
    if any(charset.terms):
        own.append((_CHARSET, "CS", charset.element_value))
    replaced = {tag for tag, _, _ in own}
    return Elements(tuple(sorted([*own, *(e for e in elements if e[0] not in replaced)], key=lambda e: e[0])))


def _elements(
    match: Match, keys: Sequence[Key], charset: Charset
) -> list[tuple[int, str, bytes | tuple[Elements, ...]]] | None:
    """One element for each key, or None where `charset` lacks a character."""
    elements: list[tuple[int, str, bytes | tuple[Elements, ...]]] = []
    for key in keys:
        value = match.get(name_of(key.tag))
        if key.vr == "SQ":
            items = _items(value, key.items, charset)
            if items is None:
                return None
            elements.append((key.tag, "SQ", items))
            continue
        encoded = _value(value, key.vr, charset)
        if encoded is None:
            return None
        elements.append((key.tag, key.vr, encoded))
    return elements


def _items(value: object, keys: Sequence[Key], charset: Charset) -> tuple[Elements, ...] | None:
    """The items of a sequence: the elements asked for inside it, or all of them where none are named."""
    items = []
    for item in value if isinstance(value, (list, tuple)) else ():
        if not isinstance(item, Mapping):
            continue
        inner = _elements(item, keys or _keys_of(item), charset)
        if inner is None:
            return None
        items.append(Elements(tuple(sorted(inner, key=lambda e: e[0]))))
    return tuple(items)


def _keys_of(item: Mapping[str, object]) -> list[Key]:
    tags = sorted(int(name.replace(",", ""), 16) for name in item if re.fullmatch(r"[0-9a-f]{4},[0-9a-f]{4}", name))
    return [Key(tag, "SQ" if isinstance(item.get(name_of(tag)), list) else vr_of(tag)) for tag in tags]


def _value(value: object, vr: str, charset: Charset) -> bytes | None:
    """The bytes of one element; None where `charset` lacks a character."""
    if not isinstance(value, str) or not value or vr == "UN":
        return b""
    if vr in _ENCODED:
        return charset.encode(value)
    if vr in _BINARY:
        return _numbers(value, _BINARY[vr])
    if vr in ("OB", "OW", "OD", "OF", "OL", "OV"):
        return b""  # no bulk data in a query
    if vr == "AT":
        return b"".join(_tag(part) for part in value.split("\\"))
    return value.encode("ascii", "replace")


def _numbers(value: str, form: str) -> bytes:
    try:
        number: Callable[[str], int | float] = float if form in ("<f", "<d") else int
        return b"".join(struct.pack(form, number(part)) for part in value.split("\\"))
    except (ValueError, struct.error):
        return b""


def _tag(text: str) -> bytes:
    digits = re.sub(r"[^0-9a-fA-F]", "", text)
    return struct.pack("<HH", int(digits[:4], 16), int(digits[4:], 16)) if len(digits) == 8 else b""
