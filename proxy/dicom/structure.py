"""Does a data set hang together? A walk over its element headers that decodes no value and never recurses.

Lenient readers take a data set that is cut, lies about its lengths or is written in another transfer syntax
for a smaller, legal one. An identifier read that way matches more than was asked, an instance is acknowledged
that the archive must refuse, and a data set nested ten thousand deep kills whoever reads it recursively.
So every byte must belong to an element, every length must fit into what encloses it, and depth is bounded.

`check` looks at a whole data set, `Walker` at one that arrives in fragments; it also keeps the values of the few
elements its user wants. Sources: PS3.5 7.1 (headers), 7.5 (sequences), 6.2.2 (UN), A.4 (encapsulated), A.5 (deflated).
"""

import struct
import zlib
from collections.abc import Callable, Collection, Iterator
from typing import Literal, NamedTuple

from pydicom.datadict import DicomDictionary

from proxy.errors import UnreadableIdentifier

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
# JPIP Referenced Deflate, JPIP HTJ2K Referenced Deflate and the plain one
DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_ITEM_BYTES = b"\xfe\xff\x00\xe0"
_UNDEFINED = 0xFFFFFFFF
_SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SEQUENCES = frozenset(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ")
_KEPT_BYTES = 1024  # of a wanted value; what is longer was not what its user expected
_INFLATE_STEP = 1 << 16
_TRAILER_BYTES = 8 + 1  # some deflate as gzip does, with checksum and length behind; then the padding of PS3.5 A.5

Buffer = bytes | bytearray | memoryview


class StructureError(ValueError):
    """Raised when a data set does not hang together; `too_deep` when it does, but nests deeper than allowed."""

    def __init__(self, why: str, *, too_deep: bool = False) -> None:
        super().__init__(why)
        self.too_deep = too_deep


class _Header(NamedTuple):
    tag: int
    vr: bytes  # b"" where the encoding does not tell it
    length: int
    size: int  # bytes of the header itself


_Reader = Callable[[Buffer, int], _Header | None]


def _implicit(data: Buffer, at: int) -> _Header | None:
    if len(data) - at < 8:
        return None
    group, element, length = _IMPLICIT.unpack_from(data, at)
    return _Header(group << 16 | element, b"", length, 8)


_IMPLICIT = struct.Struct("<HHI")


def _explicit(order: Literal["<", ">"]) -> _Reader:
    short, long = struct.Struct(order + "HH2sH"), struct.Struct(order + "I")

    def read(data: Buffer, at: int) -> _Header | None:
        left = len(data) - at
        if left < 8:
            return None
        group, element, vr, length = short.unpack_from(data, at)
        tag = group << 16 | element
        if vr in _SHORT:
            return _Header(tag, vr, length, 8)
        if group == 0xFFFE:
            return _Header(tag, b"", long.unpack_from(data, at + 4)[0], 8)
        # A VR of a later edition has the long header (PS3.5 7.1.2)
        if vr not in _LONG and not (vr.isalpha() and vr.isupper()):
            raise StructureError(f"no VR in element ({group:04X},{element:04X})")
        if left < 12:
            return None
        return _Header(tag, vr, long.unpack_from(data, at + 8)[0], 12)

    return read


_EXPLICIT_LITTLE, _EXPLICIT_BIG = _explicit("<"), _explicit(">")
_DATA_SET, _ITEMS, _FRAGMENTS = range(3)


class _Frame(NamedTuple):
    """Something open: a data set or item, the items of a sequence, or the fragments of encapsulated pixel data."""

    kind: int
    end: int  # absolute offset behind it; _NO_END where a delimiter ends it
    read: _Reader


_NO_END = -1


class Walker:
    """Walks one data set as it arrives; `found` holds the raw values of the wanted top-level elements.

    `max_depth` counts sequences inside each other. `max_bytes` bounds what a deflated data set may inflate to;
    of a wanted value no more than `kept_bytes` are kept.
    """

    def __init__(
        self,
        transfer_syntax: str,
        max_depth: int,
        wanted: Collection[int] = (),
        max_bytes: int = 8 << 30,
        kept_bytes: int = _KEPT_BYTES,
    ) -> None:
        reader = {IMPLICIT_LITTLE: _implicit, EXPLICIT_BIG: _EXPLICIT_BIG}.get(transfer_syntax, _EXPLICIT_LITTLE)
        self.found: dict[int, bytes] = {}
        self._wanted = frozenset(wanted)
        self._kept_bytes = kept_bytes
        self._max_depth = max_depth
        self._depth = 0
        self._frames = [_Frame(_DATA_SET, _NO_END, reader)]
        self._pending = b""  # an incomplete header, or a wanted value that is not whole yet
        self._offset = 0  # absolute offset of the first byte not walked yet
        self._skip = 0  # bytes of the current value still to come
        self._probe: Walker | None = None  # looks into an opaque value that looks like a sequence
        self._nests_blindly = False
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS) if transfer_syntax in DEFLATED else None
        self._inflatable = max_bytes
        self._trailer = 0  # bytes behind the deflated data set

    def feed(self, fragment: Buffer) -> None:
        """Take the next bytes. Raises StructureError."""
        if self._inflater is None:
            self._walk(fragment)
        else:
            for inflated in self._inflate(fragment):
                self._walk(inflated)

    def finish(self) -> None:
        """All has come: raises StructureError when something is still open."""
        if self._inflater is not None and not self._inflater.eof:
            raise StructureError("deflated data set is cut")
        if self._pending or self._skip:
            raise StructureError("data set is cut inside an element")
        self._close_ended()
        if len(self._frames) > 1:
            raise StructureError("data set is cut inside a sequence")

    def _inflate(self, fragment: Buffer) -> Iterator[bytes]:
        assert self._inflater is not None  # noqa: S101  (only called with one)
        rest: Buffer = fragment
        while rest and not self._inflater.eof:
            try:
                inflated = self._inflater.decompress(rest, _INFLATE_STEP)
            except zlib.error as error:
                raise StructureError("data set cannot be inflated") from error
            self._inflatable -= len(inflated)
            if self._inflatable < 0:
                raise StructureError("deflated data set is too long")
            yield inflated
            rest = self._inflater.unconsumed_tail or self._inflater.unused_data
        self._trailer += len(rest)
        if self._trailer > _TRAILER_BYTES:
            raise StructureError("bytes after the deflated data set")

    def _walk(self, data: Buffer) -> None:
        at = 0
        if self._skip:
            at = min(self._skip, len(data))
            self._skip_over(data, 0, at)
        elif self._pending:
            data, self._pending = self._pending + data, b""
        size = len(data)
        while at < size:
            if self._frames[-1].end == self._offset:
                self._close_ended()
            header = self._frames[-1].read(data, at)
            if header is None or (header.tag in self._wanted and not self._is_here(header, size - at)):
                self._pending = bytes(data[at:])
                return
            at += header.size
            self._offset += header.size
            value = self._enter(header, data, at)
            if value:
                self._skip = value
                here = min(value, size - at)
                self._skip_over(data, at, here)
                at += here

    def _is_here(self, header: _Header, available: int) -> bool:
        """Is so much of a wanted value in the buffer as is kept?"""
        if header.length == _UNDEFINED:
            return True
        return available - header.size >= min(header.length, self._kept_bytes)

    def _skip_over(self, data: Buffer, at: int, length: int) -> None:
        """Pass over `length` bytes of a value that are here."""
        self._skip -= length
        self._offset += length
        if self._probe is None:
            return
        try:
            self._probe.feed(data[at : at + length])
        except StructureError as error:
            if error.too_deep:
                raise
            self._probe = None  # it only looked like a sequence
        if not self._skip:
            self._probe = None

    def _enter(self, header: _Header, data: Buffer, at: int) -> int:
        """Account for one header, whose value begins at `at`; how many bytes of value to pass over."""
        frame = self._frames[-1]
        if header.length != _UNDEFINED and frame.end != _NO_END and self._offset + header.length > frame.end:
            raise StructureError("an element is longer than what encloses it")
        if frame.kind == _DATA_SET:
            return self._enter_element(frame, header, data, at)
        if header.tag == _SEQUENCE_END and frame.end == _NO_END and not header.length:
            self._close()
            return 0
        if header.tag != _ITEM:
            raise StructureError("a sequence holds something that is no item")
        if frame.kind == _FRAGMENTS:
            if header.length == _UNDEFINED:
                raise StructureError("a fragment has no length")
            return header.length
        self._open(_DATA_SET, header.length, frame.read)
        return 0

    def _enter_element(self, frame: _Frame, header: _Header, data: Buffer, at: int) -> int:
        tag, vr, length, _ = header
        group = tag >> 16
        if tag == _ITEM_END and len(self._frames) > 1 and frame.end == _NO_END and not length:
            self._close()
            return 0
        if group in (0x0000, 0xFFFE, 0xFFFF):
            raise StructureError(f"an element ({group:04X},{tag & 0xFFFF:04X}) cannot be in a data set")
        if length == _UNDEFINED:
            self._open_undefined(frame, vr)
            return 0
        if vr == b"SQ" or (not vr and tag in _SEQUENCES):
            self._open(_ITEMS, length, frame.read)
            return 0
        if tag in self._wanted and len(self._frames) == 1:
            if tag in self.found:
                raise StructureError(f"element ({group:04X},{tag & 0xFFFF:04X}) comes twice")
            self.found[tag] = bytes(data[at : at + min(length, self._kept_bytes)])
        elif length > 8 and (vr == b"UN" or (not vr and group & 1)):
            return self._enter_opaque(length, data[at : at + 4])
        return length

    def _open_undefined(self, frame: _Frame, vr: bytes) -> None:
        if vr in (b"", b"SQ"):
            self._open(_ITEMS, _UNDEFINED, frame.read)
        elif vr == b"UN":
            self._open(_ITEMS, _UNDEFINED, _implicit)  # whatever surrounds it (PS3.5 6.2.2, note 2)
        elif vr in (b"OB", b"OW"):
            self._open(_FRAGMENTS, _UNDEFINED, frame.read)
        else:
            raise StructureError("an element has no length")

    def _enter_opaque(self, length: int, first: Buffer) -> int:
        """An unknown value may be a sequence to a reader with a larger dictionary: bound its depth, no more."""
        if len(first) == 4 and first != _ITEM_BYTES:
            return length
        if self._nests_blindly:
            # Nothing is lost when this is no sequence: the probe ends, and its user goes on without it
            self._open(_ITEMS, length, _implicit)
            return 0
        probe = Walker(IMPLICIT_LITTLE, self._max_depth - self._depth)
        probe._nests_blindly = True
        probe._frames = [_Frame(_ITEMS, length, _implicit)]
        probe._depth = 1
        self._probe = probe
        return length

    def _open(self, kind: int, length: int, read: _Reader) -> None:
        if kind == _ITEMS:
            self._depth += 1
            if self._depth > self._max_depth:
                raise StructureError(f"sequences nest deeper than {self._max_depth}", too_deep=True)
        self._frames.append(_Frame(kind, _NO_END if length == _UNDEFINED else self._offset + length, read))

    def _close(self) -> None:
        if self._frames.pop().kind == _ITEMS:
            self._depth -= 1

    def _close_ended(self) -> None:
        """Close all that end exactly here by their length."""
        while len(self._frames) > 1 and self._frames[-1].end == self._offset:
            self._close()


def check(data: bytes | memoryview, transfer_syntax: str, *, max_depth: int = 32, max_bytes: int = 64 << 20) -> None:
    """Check a whole data set. Raises UnreadableIdentifier; `max_bytes` bounds a deflated one."""
    walker = Walker(transfer_syntax, max_depth, max_bytes=max_bytes)
    try:
        walker.feed(data)
        walker.finish()
    except StructureError as error:
        raise UnreadableIdentifier(f"Identifier: {error}") from error
