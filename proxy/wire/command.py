"""DIMSE command sets: a dozen elements of group 0000 in Implicit VR Little Endian (PS3.7 6.3.1, 9.3, 10.3, E.1)."""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from proxy.dicom.messages import Response

_HEADER = struct.Struct("<HHL")
_SHORT = struct.Struct("<HHLH")
_GROUP_LENGTH = struct.Struct("<HHLL")
_UID = re.compile(r"[0-9.]{1,64}")

NO_DATA_SET = 0x0101
_WITH_DATA_SET = 0x0001
RESPONSE = 0x8000


class Field(IntEnum):
    """Values of Command Field (0000,0100) that this software reads or writes; a response's has bit 15 set."""

    C_STORE_RQ = 0x0001
    C_GET_RQ = 0x0010
    C_FIND_RQ = 0x0020
    C_MOVE_RQ = 0x0021
    C_ECHO_RQ = 0x0030
    N_EVENT_REPORT_RQ = 0x0100
    N_ACTION_RQ = 0x0130
    C_CANCEL_RQ = 0x0FFF
    C_STORE_RSP = 0x8001
    C_ECHO_RSP = 0x8030
    N_EVENT_REPORT_RSP = 0x8100


_SHORTS = frozenset(
    (0x0100, 0x0110, 0x0120, 0x0700, 0x0800, 0x0900, 0x1002, 0x1008, 0x1020, 0x1021, 0x1022, 0x1023, 0x1031)
)
_TEXTS = frozenset((0x0002, 0x0003, 0x0600, 0x0902, 0x1000, 0x1001, 0x1030))

_WANT_DATA_SET = frozenset((Field.C_STORE_RQ, Field.C_FIND_RQ, Field.C_GET_RQ, Field.C_MOVE_RQ))
_WANT_NONE = frozenset((Field.C_ECHO_RQ, Field.C_CANCEL_RQ, Field.C_STORE_RSP, Field.C_ECHO_RSP))


class InvalidCommand(ValueError):
    """Raised for a command set that cannot be answered, only aborted."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command set that came in. `message_id` is that of a request, or the one that a response or C-CANCEL names.

    UIDs are as sent, without padding: `is_uid` tells whether they are any. `comment` is the Error Comment.
    """

    field: Field
    message_id: int
    has_data_set: bool
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    status: int = 0
    priority: int = 0
    move_destination: str = ""
    move_originator_aet: str = ""
    move_originator_message_id: int | None = None
    type_id: int = 0
    comment: str = ""


def is_uid(text: str) -> bool:
    """Digits and dots only, 1 to 64 of them: nothing that could be taken for a path or break a log line."""
    return _UID.fullmatch(text) is not None


def parse_command(data: bytes | bytearray) -> Command:
    """Read a whole command set. Raises InvalidCommand for what is malformed, incomplete or not ours to answer."""
    shorts, texts = _elements(data)
    try:
        field = Field(shorts[0x0100])
        has_data_set = shorts[0x0800] != NO_DATA_SET
        if field & RESPONSE or field is Field.C_CANCEL_RQ:
            message_id, status = shorts[0x0120], 0 if field is Field.C_CANCEL_RQ else shorts[0x0900]
        else:
            message_id, status = shorts[0x0110], 0
            texts.setdefault(0x0002, texts.get(0x0003, ""))
            texts.setdefault(0x1000, texts.get(0x1001, ""))
    except KeyError as error:
        raise InvalidCommand(f"a command set without element (0000,{error.args[0]:04X})") from None
    except ValueError:
        raise InvalidCommand(f"command field 0x{shorts[0x0100]:04X} is not offered") from None
    if (field in _WANT_DATA_SET and not has_data_set) or (field in _WANT_NONE and has_data_set):
        raise InvalidCommand(f"the Command Data Set Type does not fit {field.name}")
    return Command(
        field,
        message_id,
        has_data_set,
        texts.get(0x0002, ""),
        texts.get(0x1000, ""),
        status,
        shorts.get(0x0700, 0),
        texts.get(0x0600, "").strip(),
        texts.get(0x1030, "").strip(),
        shorts.get(0x1031),
        shorts.get(0x1008, shorts.get(0x1002, 0)),
        texts.get(0x0902, ""),
    )


def _elements(data: bytes | bytearray) -> tuple[dict[int, int], dict[int, str]]:
    """The elements we know, numbers and texts apart; unknown ones are checked for their length only."""
    shorts: dict[int, int] = {}
    texts: dict[int, str] = {}
    at, end = 0, len(data)
    while at < end:
        if end - at < 8:
            raise InvalidCommand("a command set is cut off")
        group, element, length = _HEADER.unpack_from(data, at)
        at += 8
        if group or length > end - at:
            raise InvalidCommand("a command set has a foreign group, or an element that runs over its end")
        if element in _SHORTS:
            if length != 2 or element in shorts:
                raise InvalidCommand(f"element (0000,{element:04X}) has a wrong length, or comes twice")
            shorts[element] = data[at] | data[at + 1] << 8
        elif element in _TEXTS:
            texts[element] = bytes(data[at : at + length]).rstrip(b"\0 ").decode("latin-1")
        at += length
    return shorts, texts


def store_request(
    message_id: int, sop_class_uid: str, sop_instance_uid: str, originator: tuple[str, int] | None = None
) -> bytes:
    """A C-STORE-RQ (PS3.7 9.3.1.1); `originator` is the requestor of a C-MOVE and its message ID."""
    body = (
        _cached_uid(0x0002, sop_class_uid)
        + _short(0x0100, Field.C_STORE_RQ)
        + _short(0x0110, message_id)
        + _MEDIUM_WITH_DATA_SET
        + _text(0x1000, sop_instance_uid, b"\0")
    )
    if originator is not None:
        body += _text(0x1030, originator[0], b" ") + _short(0x1031, originator[1])
    return _grouped(body)


def echo_request(message_id: int, sop_class_uid: str) -> bytes:
    """A C-ECHO-RQ (PS3.7 9.3.5.1)."""
    return _grouped(
        _cached_uid(0x0002, sop_class_uid)
        + _short(0x0100, Field.C_ECHO_RQ)
        + _short(0x0110, message_id)
        + _short(0x0800, NO_DATA_SET)
    )


def event_report_request(message_id: int, sop_class_uid: str, sop_instance_uid: str, event_type_id: int) -> bytes:
    """An N-EVENT-REPORT-RQ with a data set (PS3.7 10.3.1.1)."""
    return _grouped(
        _cached_uid(0x0002, sop_class_uid)
        + _short(0x0100, Field.N_EVENT_REPORT_RQ)
        + _short(0x0110, message_id)
        + _short(0x0800, _WITH_DATA_SET)
        + _text(0x1000, sop_instance_uid, b"\0")
        + _short(0x1002, event_type_id)
    )


def response(request: Command, answer: Response, *, has_data_set: bool) -> bytes:
    """The command set that answers `request` (PS3.7 9.3, 10.3); UIDs that are none are not repeated."""
    body = _cached_uid(0x0002, request.sop_class_uid) if is_uid(request.sop_class_uid) else b""
    body += _short(0x0100, request.field | RESPONSE) + _short(0x0120, request.message_id)
    body += _short(0x0800, _WITH_DATA_SET if has_data_set else NO_DATA_SET) + _short(0x0900, answer.status)
    if answer.offending_tags:
        tags = b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in answer.offending_tags)
        body += _HEADER.pack(0, 0x0901, len(tags)) + tags
    if answer.comment:
        body += _text(0x0902, answer.comment[:64], b" ")
    if is_uid(request.sop_instance_uid):
        body += _text(0x1000, request.sop_instance_uid, b"\0")
    if request.field in _TYPE_ID:
        body += _short(_TYPE_ID[request.field], request.type_id)
    if answer.counts is not None:
        counts = answer.counts
        values = (counts.remaining, counts.completed, counts.failed, counts.warning)
        numbered = zip((0x1020, 0x1021, 0x1022, 0x1023), values, strict=True)
        body += b"".join(_short(element, min(value, 0xFFFF)) for element, value in numbered if value is not None)
    return _grouped(body)


_TYPE_ID = {Field.N_EVENT_REPORT_RQ: 0x1002, Field.N_ACTION_RQ: 0x1008}


def _short(element: int, value: int) -> bytes:
    return _SHORT.pack(0, element, 2, value)


def _text(element: int, text: str, padding: bytes) -> bytes:
    value = text.encode("ascii", "replace")
    if len(value) & 1:
        value += padding
    return _HEADER.pack(0, element, len(value)) + value


_cached_uid: Callable[[int, str], bytes] = lru_cache(maxsize=1024)(lambda element, uid: _text(element, uid, b"\0"))
_MEDIUM_WITH_DATA_SET = _short(0x0700, 0) + _short(0x0800, _WITH_DATA_SET)


def _grouped(body: bytes) -> bytes:
    return _GROUP_LENGTH.pack(0, 0, 4, len(body)) + body
