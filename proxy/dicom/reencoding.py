"""A data set in another uncompressed transfer syntax, with every value as it was.

Only headers are rewritten, and bytes swapped where the byte order changes; texts and numbers are not decoded, so
what is strange in them survives. Values of odd length are padded, for no PDV may be odd (PS3.8 9.3.5.1). Large values
are not copied. Sequences and items get undefined length, group lengths are dropped. Sources: PS3.5 7.1 and 7.5
(structure), 6.2.2 (UN), A.1 to A.3 (which VR the ambiguous ones have).
"""

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from pydicom.datadict import dictionary_VR, private_dictionary_VR

from proxy.dicom.contexts import EXPLICIT_BIG, IMPLICIT_LITTLE

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXEL_REPRESENTATION = 0x00280103
_UNDEFINED = 0xFFFFFFFF
_LONG = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
_UNITS = {  # bytes that are swapped together
    **dict.fromkeys(("AT", "OW", "SS", "US"), 2),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}
_PADDED_WITH_NULL = frozenset({"UI", "UN", *_UNITS, "OB"})
_SMALL = 4096  # bytes; larger values are passed on as they lie there
_CHUNK = 1 << 20


@dataclass(slots=True)
class _Frame:
    """A data set or a sequence that is being walked. `end` is None where its length is undefined."""

    end: int | None
    is_sequence: bool
    implicit: bool
    signed: bool = False  # Pixel Representation, inherited from the enclosing data set
    creators: dict[int, str] = field(default_factory=dict)


def reencode(data: memoryview, source: str, target: str, max_depth: int = 64) -> Iterator[memoryview]:
    """The data set `data`, which is in transfer syntax `source`, in `target`, as buffers in order.

    Both are Implicit LE, Explicit LE or Explicit BE, and may be the same. Raises ValueError, before the first buffer,
    where the data set does not hang together.
    """
    parts = _Reencoder(data, source, target, max_depth).run()
    return _buffers(parts)


def _buffers(parts: list[tuple[memoryview, int]]) -> Iterator[memoryview]:
    for view, unit in parts:
        if unit == 1:
            yield view
            continue
        for start in range(0, len(view), _CHUNK):
            yield memoryview(_swapped(view[start : start + _CHUNK], unit))


def _swapped(view: memoryview, unit: int) -> bytes:
    """The same with the bytes of every unit in reverse; what is left over at the end stays as it is."""
    whole = len(view) - len(view) % unit
    words = array({2: "H", 4: "I", 8: "Q"}[unit], bytes(view[:whole]))
    words.byteswap()
    return words.tobytes() + bytes(view[whole:])


class _Reencoder:
    """One walk over a data set, without recursion."""

    def __init__(self, data: memoryview, source: str, target: str, max_depth: int) -> None:
        self._data = data
        self._at = 0
        self._in = ">" if source == EXPLICIT_BIG else "<"
        self._out = ">" if target == EXPLICIT_BIG else "<"
        self._to_implicit = target == IMPLICIT_LITTLE
        self._max_depth = max_depth
        self._stack = [_Frame(len(data), is_sequence=False, implicit=source == IMPLICIT_LITTLE)]
        self._written = bytearray()
        self._parts: list[tuple[memoryview, int]] = []

    def run(self) -> list[tuple[memoryview, int]]:
        """(buffer, unit to swap) in order."""
        while self._stack:
            frame = self._stack[-1]
            if frame.end is not None and self._at >= frame.end:
                self._leave(frame)
            elif frame.is_sequence:
                self._item(frame)
            else:
                self._element(frame)
        self._flush()
        return self._parts

    def _leave(self, frame: _Frame) -> None:
        """The end of a data set or sequence is reached."""
        if frame.end is not None and self._at > frame.end:
            raise ValueError("a length goes beyond what encloses it")
        self._stack.pop()
        if self._stack:
            self._delimiter(_SEQUENCE_END if frame.is_sequence else _ITEM_END)

    def _enter(self, frame: _Frame) -> None:
        if len(self._stack) >= self._max_depth:
            raise ValueError("sequences are nested too deep")
        self._stack.append(frame)

    def _item(self, frame: _Frame) -> None:
        tag, length = self._tag(), self._unsigned("I")
        if tag == _SEQUENCE_END and frame.end is None:
            self._leave(frame)
        elif tag == _ITEM:
            self._delimiter(_ITEM, _UNDEFINED)
            self._enter(_Frame(self._end(length), False, frame.implicit, frame.signed))
        else:
            raise ValueError("something else than an item in a sequence")

    def _element(self, frame: _Frame) -> None:
        tag = self._tag()
        if tag == _ITEM_END and frame.end is None:
            self._unsigned("I")
            self._leave(frame)
            return
        vr, length = self._vr_and_length(frame, tag)
        if length == _UNDEFINED or vr == "SQ":
            # UN of undefined length holds items in Implicit VR, whatever encloses it (PS3.5 6.2.2)
            if vr not in ("SQ", "UN"):
                raise ValueError("a value of undefined length in an uncompressed data set")
            self._header(tag, "SQ", _UNDEFINED)
            self._enter(_Frame(self._end(length), True, frame.implicit or vr == "UN", frame.signed))
            return
        value = self._take(length)
        self._learn(frame, tag, value)
        if tag & 0xFFFF:  # group lengths would be wrong now
            self._header(tag, vr, length + length % 2)
            self._value(value, 1 if self._in == self._out else _UNITS.get(vr, 1))
            if length % 2:
                self._written += b"\0" if vr in _PADDED_WITH_NULL else b" "

    def _vr_and_length(self, frame: _Frame, tag: int) -> tuple[str, int]:
        if frame.implicit:
            length = self._unsigned("I")
            vr = _implied_vr(frame, tag)
            return ("SQ" if length == _UNDEFINED and vr == "UN" else vr), length
        vr = bytes(self._take(2)).decode("ascii", "replace")
        if vr not in _LONG:
            return vr, self._unsigned("H")
        self._take(2)
        return vr, self._unsigned("I")

    def _learn(self, frame: _Frame, tag: int, value: memoryview) -> None:
        """Remember what tells the VR of others."""
        if tag == _PIXEL_REPRESENTATION and len(value) >= 2:
            frame.signed = struct.unpack_from(f"{self._in}H", value)[0] == 1
        elif tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
            frame.creators[tag] = bytes(value).decode("ascii", "replace").strip(" \0")

    def _header(self, tag: int, vr: str, length: int) -> None:
        written = self._written
        written += struct.pack(f"{self._out}HH", tag >> 16, tag & 0xFFFF)
        if self._to_implicit:
            written += struct.pack("<I", length)
            return
        if vr not in _LONG and length > 0xFFFF:
            vr = "UN"  # too long for the short header
        written += vr.encode("ascii", "replace")
        written += struct.pack(f"{self._out}HI", 0, length) if vr in _LONG else struct.pack(f"{self._out}H", length)

    def _delimiter(self, tag: int, length: int = 0) -> None:
        self._written += struct.pack(f"{self._out}HHI", tag >> 16, tag & 0xFFFF, length)

    def _value(self, value: memoryview, unit: int) -> None:
        if len(value) <= _SMALL:
            self._written += _swapped(value, unit) if unit > 1 else value
            return
        self._flush()
        self._parts.append((value, unit))

    def _flush(self) -> None:
        if self._written:
            self._parts.append((memoryview(bytes(self._written)), 1))
            self._written.clear()

    def _tag(self) -> int:
        group, element = struct.unpack(f"{self._in}HH", self._take(4))
        return int(group << 16 | element)

    def _unsigned(self, code: str) -> int:
        size = struct.calcsize(f"<{code}")
        return int(struct.unpack(f"{self._in}{code}", self._take(size))[0])

    def _end(self, length: int) -> int | None:
        return None if length == _UNDEFINED else self._at + length

    def _take(self, length: int) -> memoryview:
        start, self._at = self._at, self._at + length
        if self._at > len(self._data):
            raise ValueError("the data set is cut off")
        return self._data[start : self._at]


def _implied_vr(frame: _Frame, tag: int) -> str:
    """The VR of an element in Implicit VR Little Endian; UN where nobody knows."""
    try:
        vr = _private_vr(frame, tag) if tag >> 16 & 1 else str(dictionary_VR(tag))
    except KeyError:
        return "UN"
    if vr == "US or SS":
        return "SS" if frame.signed else "US"
    return "OW" if " or " in vr else vr  # PS3.5 A.1: pixels, overlays, waveforms and LUT data are OW here


def _private_vr(frame: _Frame, tag: int) -> str:
    """From pydicom's private dictionary; but UN for sequences, whose structure nobody vouches for."""
    if 0x10 <= tag & 0xFFFF <= 0xFF:
        return "LO"
    creator = frame.creators.get(tag & 0xFFFF0000 | (tag >> 8 & 0xFF), "")
    vr = str(private_dictionary_VR(tag, creator))
    return "UN" if vr == "SQ" else vr
