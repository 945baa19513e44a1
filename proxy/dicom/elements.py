"""Data sets that we write ourselves: elements with their values already in bytes, put together without decoding.

A C-FIND response for each of a thousand studies has to cost microseconds, not the making of a `pydicom.Dataset`.
Source: PS3.5 7.1 (element headers) and 7.5 (sequences of defined length).
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"

_LONG = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
_WORD = {
    "US": 2,
    "SS": 2,
    "AT": 2,
    "OW": 2,
    "UL": 4,
    "SL": 4,
    "FL": 4,
    "OF": 4,
    "OL": 4,
    "FD": 8,
    "OD": 8,
    "SV": 8,
    "UV": 8,
}
_ITEM = 0xFFFEE000
_FAILED_UIDS = 0x00080058


@dataclass(frozen=True, slots=True)
class Elements:
    """Elements in ascending order of their tags: (tag, VR, value). Binary values are little endian.

    The value of a sequence is a tuple of `Elements`, one for each item.
    """

    elements: tuple[tuple[int, str, "bytes | tuple[Elements, ...]"], ...]

    def encode(self, transfer_syntax: str) -> bytes:
        """The data set in one of the three uncompressed transfer syntaxes; values are padded to even length."""
        if transfer_syntax == IMPLICIT_LITTLE:
            return b"".join(_implicit(self))
        order = ">" if transfer_syntax == EXPLICIT_BIG else "<"
        return b"".join(_explicit(self, order))


def uid_list_identifier(uids: Iterable[str]) -> Elements:
    """The identifier with Failed SOP Instance UID List (PS3.4 C.4.2.1.4.2)."""
    return Elements(((_FAILED_UIDS, "UI", "\\".join(uids).encode("ascii")),))


def _padded(vr: str, value: bytes) -> bytes:
    if len(value) % 2 == 0:
        return value
    return value + (b"\0" if vr in ("UI", "OB", "UN") else b" ")


def _implicit(dataset: Elements) -> Iterable[bytes]:
    pack = struct.Struct("<HHI").pack
    for tag, vr, value in dataset.elements:
        if isinstance(value, bytes):
            body = _padded(vr, value)
        else:
            body = b"".join(pack(0xFFFE, 0xE000, len(b)) + b for b in (b"".join(_implicit(item)) for item in value))
        yield pack(tag >> 16, tag & 0xFFFF, len(body))
        yield body


def _explicit(dataset: Elements, order: str) -> Iterable[bytes]:
    for tag, vr, value in dataset.elements:
        if isinstance(value, bytes):
            body = _padded(vr, value) if order == "<" else _swapped(_padded(vr, value), _WORD.get(vr, 1))
        else:
            items = (b"".join(_explicit(item, order)) for item in value)
            body = b"".join(struct.pack(f"{order}HHI", _ITEM >> 16, _ITEM & 0xFFFF, len(b)) + b for b in items)
        head = f"{order}HH2sxxI" if vr in _LONG else f"{order}HH2sH"
        if vr not in _LONG and len(body) > 0xFFFE:
            body = body[:0xFFFE]
        yield struct.pack(head, tag >> 16, tag & 0xFFFF, vr.encode("ascii"), len(body))
        yield body


def _swapped(value: bytes, word: int) -> bytes:
    if word == 1:
        return value
    return b"".join(value[at : at + word][::-1] for at in range(0, len(value), word))
