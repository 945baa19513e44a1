"""The items and sub-items of association PDUs: type, reserved byte, 2 byte length, value (PS3.8 9.3.2)."""

import re
import struct
from collections.abc import Iterator

from proxy.wire.pdu import InvalidPdu

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"

APPLICATION_CONTEXT_ITEM = 0x10
CONTEXT_RQ_ITEM = 0x20
CONTEXT_AC_ITEM = 0x21
ABSTRACT_SYNTAX_ITEM = 0x30
TRANSFER_SYNTAX_ITEM = 0x40
USER_INFORMATION_ITEM = 0x50
MAXIMUM_LENGTH_ITEM = 0x51
IMPLEMENTATION_CLASS_ITEM = 0x52
ROLE_ITEM = 0x54
IMPLEMENTATION_VERSION_ITEM = 0x55
EXTENDED_NEGOTIATION_ITEM = 0x56
USER_IDENTITY_RQ_ITEM = 0x58
USER_IDENTITY_AC_ITEM = 0x59

_HEADER = struct.Struct(">BxH")
_UID = re.compile(rb"[0-9.]{1,64}")


def items(field: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The (type, value) of each item in `field`. Raises InvalidPdu where one runs over its end."""
    at, end = 0, len(field)
    while at < end:
        if end - at < 4:
            raise InvalidPdu("stray bytes after the last item")
        item_type, length = _HEADER.unpack_from(field, at)
        following = at + 4 + length
        if following > end:
            raise InvalidPdu(f"item 0x{item_type:02X} of {length} bytes runs over the end")
        yield item_type, field[at + 4 : following]
        at = following


def item(item_type: int, value: bytes) -> bytes:
    """One item."""
    return _HEADER.pack(item_type, len(value)) + value


def uid(value: memoryview | bytes) -> str:
    """A UID, with the padding that some peers add taken off. Raises InvalidPdu where it is none."""
    raw = bytes(value).rstrip(b"\0 ")
    if _UID.fullmatch(raw) is None:
        raise InvalidPdu("a UID has other characters than digits and dots, or none, or too many")
    return raw.decode("ascii")


def title(value: str) -> bytes:
    """An AE title as the 16 bytes of its field."""
    return value.encode("ascii", "replace")[:16].ljust(16)


def unpack(layout: struct.Struct, field: memoryview, at: int = 0) -> tuple[int, ...]:
    """`layout` read at `at` of `field`. Raises InvalidPdu where `field` is too short."""
    if at < 0 or len(field) < at + layout.size:
        raise InvalidPdu("an item is shorter than its fields")
    return layout.unpack_from(field, at)
