"""A-ASSOCIATE-RQ: a strict reader, and the writer that a requestor needs (PS3.8 9.3.2, PS3.7 D.3.3).

Strict about structure, tolerant where the Standard is: unknown items are ignored, of the protocol version only bit
0 counts, titles and UIDs may be padded with spaces or NULs.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from proxy.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from proxy.dicom.messages import Offer, OfferedContext, Peer, Refusal, UserIdentity
from proxy.wire import items as it
from proxy.wire.pdu import ASSOCIATE_RQ, HEADER, InvalidPdu

_FIXED = struct.Struct(">H2x16s16s32x")
_LENGTH = struct.Struct(">H")
_MAXIMUM = struct.Struct(">L")


class Refused(Exception):
    """Raised when a request is legal, but its answer is an A-ASSOCIATE-RJ."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.why)
        self.refusal = refusal


@dataclass(slots=True)
class _User:
    """What the user information item says."""

    max_pdu: int = 0
    implementation_class_uid: str = ""
    implementation_version: str = ""
    roles: dict[str, tuple[bool, bool]] = field(default_factory=dict)
    identity: UserIdentity | None = None
    extended: dict[str, bytes] = field(default_factory=dict)


def parse_request(body: memoryview, peer: Peer) -> Offer:
    """The offer in the variable field of an A-ASSOCIATE-RQ. Raises InvalidPdu or Refused.

    IDs are odd and unique: there are no more than 128 contexts.
    """
    if len(body) < _FIXED.size:
        raise InvalidPdu("the request is too short")
    version, called, calling = _FIXED.unpack_from(body)
    if not version & 1:
        raise Refused(Refusal(1, 2, 2, f"protocol version 0x{version:04X} is not supported"))
    called_aet = _title(called, 7, "called")
    calling_aet = _title(calling, 3, "calling")
    names, contexts, users = 0, dict[int, OfferedContext](), list[_User]()
    for item_type, value in it.items(body[_FIXED.size :]):
        if item_type == it.APPLICATION_CONTEXT_ITEM:
            names += 1
            _check_application_context(value)
        elif item_type == it.CONTEXT_RQ_ITEM:
            context = _context(value)
            if context.context_id in contexts:
                raise InvalidPdu("a presentation context ID comes twice")
            contexts[context.context_id] = context
        elif item_type == it.USER_INFORMATION_ITEM:
            users.append(_user(value))
    if names != 1 or len(users) != 1 or not contexts:
        raise InvalidPdu("items of the request are missing or doubled")
    user = users[0]
    return Offer(
        calling_aet=calling_aet,
        called_aet=called_aet,
        peer=peer,
        contexts=tuple(contexts.values()),
        max_pdu=user.max_pdu,
        implementation_class_uid=user.implementation_class_uid,
        implementation_version=user.implementation_version,
        roles=user.roles,
        user_identity=user.identity,
        extended=user.extended,
    )


def encode_request(
    *, calling_aet: str, called_aet: str, contexts: Sequence[OfferedContext], max_pdu: int, roles: bytes = b""
) -> bytes:
    """A whole A-ASSOCIATE-RQ PDU. Raises ValueError where the contexts do not fit one."""
    if not 1 <= len(contexts) <= 128:
        raise ValueError("an association has 1 to 128 presentation contexts")
    parts = [
        _FIXED.pack(1, it.title(called_aet), it.title(calling_aet)),
        it.item(it.APPLICATION_CONTEXT_ITEM, it.APPLICATION_CONTEXT.encode()),
    ]
    for context in contexts:
        syntaxes = b"".join(it.item(it.TRANSFER_SYNTAX_ITEM, ts.encode()) for ts in context.transfer_syntaxes)
        abstract = it.item(it.ABSTRACT_SYNTAX_ITEM, context.abstract_syntax.encode())
        parts.append(it.item(it.CONTEXT_RQ_ITEM, bytes((context.context_id, 0, 0, 0)) + abstract + syntaxes))
    parts.append(it.item(it.USER_INFORMATION_ITEM, user_information(max_pdu, roles)))
    body = b"".join(parts)
    return HEADER.pack(ASSOCIATE_RQ, len(body)) + body


def user_information(max_pdu: int, roles: bytes = b"") -> bytes:
    """The sub-items that both sides send; in the order of their types, as some old readers expect."""
    return (
        it.item(it.MAXIMUM_LENGTH_ITEM, _MAXIMUM.pack(max_pdu))
        + it.item(it.IMPLEMENTATION_CLASS_ITEM, IMPLEMENTATION_CLASS_UID.encode())
        + roles
        + it.item(it.IMPLEMENTATION_VERSION_ITEM, IMPLEMENTATION_VERSION_NAME.encode())
    )


def role_item(sop_class_uid: str, scu: bool, scp: bool) -> bytes:
    """An SCP/SCU Role Selection sub-item (PS3.7 D.3.3.4)."""
    name = sop_class_uid.encode()
    return it.item(it.ROLE_ITEM, _LENGTH.pack(len(name)) + name + bytes((scu, scp)))


def extended_item(sop_class_uid: str, information: bytes) -> bytes:
    """A SOP Class Extended Negotiation sub-item (PS3.7 D.3.3.5)."""
    name = sop_class_uid.encode()
    return it.item(it.EXTENDED_NEGOTIATION_ITEM, _LENGTH.pack(len(name)) + name + information)


def parse_role(value: memoryview) -> tuple[str, tuple[bool, bool]]:
    """The SOP class and (SCU, SCP) roles of such a sub-item. Raises InvalidPdu."""
    (length,) = it.unpack(_LENGTH, value)
    if len(value) != length + 4 or value[length + 2] > 1 or value[length + 3] > 1:
        raise InvalidPdu("a role selection item has a wrong length or role")
    return it.uid(value[2 : 2 + length]), (bool(value[length + 2]), bool(value[length + 3]))


def parse_maximum(value: memoryview) -> int:
    """The Maximum Length Received (PS3.8 D.1). Raises InvalidPdu."""
    if len(value) != _MAXIMUM.size:
        raise InvalidPdu("the maximum length item has a wrong length")
    return int(_MAXIMUM.unpack(value)[0])


def _title(raw: bytes, reason: int, which: str) -> str:
    stripped = raw.strip(b"\0 ")
    if not stripped or any(byte < 32 or byte > 126 or byte == 92 for byte in stripped):
        raise Refused(Refusal(1, 1, reason, f"the {which} AE title is empty or not plain ASCII"))
    return stripped.decode("ascii")


def _check_application_context(value: memoryview) -> None:
    if bytes(value).rstrip(b"\0 ") != it.APPLICATION_CONTEXT.encode():
        raise Refused(Refusal(1, 1, 2, "the application context name is not DICOM's"))


def _context(value: memoryview) -> OfferedContext:
    """PS3.8 9.3.2.2: an odd ID, one abstract syntax, at least one transfer syntax."""
    if len(value) < 4 or not value[0] & 1:
        raise InvalidPdu("a presentation context has no odd ID")
    abstract: list[str] = []
    transfer: list[str] = []
    for item_type, name in it.items(value[4:]):
        if item_type == it.ABSTRACT_SYNTAX_ITEM:
            abstract.append(it.uid(name))
        elif item_type == it.TRANSFER_SYNTAX_ITEM:
            transfer.append(it.uid(name))
    if len(abstract) != 1 or not transfer:
        raise InvalidPdu("a presentation context lacks its abstract or transfer syntax")
    return OfferedContext(value[0], abstract[0], tuple(dict.fromkeys(transfer)))


def _user(value: memoryview) -> _User:
    user = _User()
    for item_type, part in it.items(value):
        if item_type == it.MAXIMUM_LENGTH_ITEM:
            user.max_pdu = parse_maximum(part)
        elif item_type == it.IMPLEMENTATION_CLASS_ITEM:
            user.implementation_class_uid = it.uid(part)
        elif item_type == it.IMPLEMENTATION_VERSION_ITEM:
            user.implementation_version = _printable(part)
        elif item_type == it.ROLE_ITEM:
            sop_class_uid, roles = parse_role(part)
            user.roles[sop_class_uid] = roles
        elif item_type == it.USER_IDENTITY_RQ_ITEM:
            user.identity = _identity(part)
        elif item_type == it.EXTENDED_NEGOTIATION_ITEM:
            sop_class_uid, information = _extended(part)
            user.extended[sop_class_uid] = information
    return user


def _extended(value: memoryview) -> tuple[str, bytes]:
    """PS3.7 D.3.3.5.1: the SOP class, and its service class application information."""
    (length,) = it.unpack(_LENGTH, value)
    if len(value) < 2 + length:
        raise InvalidPdu("an extended negotiation item is shorter than its UID")
    return it.uid(value[2 : 2 + length]), bytes(value[2 + length :])


def _printable(value: memoryview) -> str:
    """A version name fit for a log line, whatever was sent."""
    text = bytes(value[:16]).strip(b"\0 ").decode("ascii", "replace")
    return "".join(character if character.isprintable() else "?" for character in text)


def _identity(value: memoryview) -> UserIdentity:
    """PS3.7 D.3.3.7.1."""
    (length,) = it.unpack(_LENGTH, value, 2)
    (secondary_length,) = it.unpack(_LENGTH, value, 4 + length)
    kind, respond = value[0], value[1]
    if len(value) != 6 + length + secondary_length or not 1 <= kind <= 5:
        raise InvalidPdu("the user identity item has a wrong length or type")
    primary, secondary = bytes(value[4 : 4 + length]), bytes(value[6 + length :])
    return UserIdentity(kind, primary, secondary, bool(respond))
