"""The PDUs of the DICOM upper layer except association requests and acceptances (PS3.8 9.3), as pure functions.

A PDU is a 6 byte header (type, reserved, length) and its variable field. A P-DATA-TF PDU holds presentation data
values: length, context ID, message control header (bit 0: command, bit 1: last fragment) and the fragment.
"""

import struct
from collections.abc import Iterator, Mapping
from enum import IntEnum

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
HEADER = struct.Struct(">BxL")
_PDV = struct.Struct(">LBB")
_P_DATA_PDV = struct.Struct(">BxLLBB")  # a PDU header and the header of its only PDV

COMMAND, LAST = 1, 2
"""Bits of the message control header (PS3.8 E.2)."""

ESTABLISHED_PDUS: Mapping[int, int] = {RELEASE_RQ: 4, ABORT: 4}
"""The fixed lengths of what may come, beside P-DATA, once an association is established and nobody has released it."""

_UNLIMITED_PEER = 256 * 1024  # bytes per PDU towards a peer that names no bound, or a greater one
_VECTOR = 960  # buffers per write; IOV_MAX is 1024


class AbortSource(IntEnum):
    """Who aborts (PS3.8 Table 9-26)."""

    USER = 0
    PROVIDER = 2


class AbortReason(IntEnum):
    """Why the provider aborts (PS3.8 Table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6


class InvalidPdu(ValueError):
    """Raised for a PDU that must be answered by an A-ABORT with this reason."""

    def __init__(self, why: str, reason: AbortReason = AbortReason.INVALID_PARAMETER) -> None:
        super().__init__(why)
        self.reason = reason

    @property
    def abort(self) -> bytes:
        """The A-ABORT that answers it."""
        return abort(AbortSource.PROVIDER, self.reason)


def reject(result: int, source: int, reason: int) -> bytes:
    """An A-ASSOCIATE-RJ (PS3.8 9.3.4)."""
    return HEADER.pack(ASSOCIATE_RJ, 4) + bytes((0, result, source, reason))


def abort(source: AbortSource, reason: AbortReason = AbortReason.NOT_SPECIFIED) -> bytes:
    """An A-ABORT (PS3.8 9.3.8)."""
    return HEADER.pack(ABORT, 4) + bytes((0, 0, source, reason))


RELEASE_REQUEST = HEADER.pack(RELEASE_RQ, 4) + bytes(4)
RELEASE_RESPONSE = HEADER.pack(RELEASE_RP, 4) + bytes(4)


def check_header(pdu_type: int, length: int, allowed: Mapping[int, int]) -> None:
    """Look at a header before anything of its PDU is read.

    `allowed` maps the types that may come in this state to their longest variable field. Raises InvalidPdu.
    """
    longest = allowed.get(pdu_type)
    if longest is None:
        if ASSOCIATE_RQ <= pdu_type <= ABORT:
            raise InvalidPdu(f"PDU type {pdu_type} is not expected here", AbortReason.UNEXPECTED_PDU)
        raise InvalidPdu(f"unknown PDU type {pdu_type}", AbortReason.UNRECOGNIZED_PDU)
    if length > longest:
        raise InvalidPdu(f"a PDU of type {pdu_type} announces {length} bytes, {longest} are allowed")
    if length != longest and pdu_type in (ASSOCIATE_RJ, RELEASE_RQ, RELEASE_RP, ABORT):
        raise InvalidPdu(f"a PDU of type {pdu_type} announces {length} bytes instead of {longest}")


def fragments(field: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """The (context ID, message control header, fragment) of each PDV in a P-DATA-TF's variable field.

    Raises InvalidPdu where lengths do not add up; what came before that has been yielded by then.
    """
    end = len(field)
    if not end:
        raise InvalidPdu("a P-DATA PDU without any PDV")
    at = 0
    while at < end:
        if end - at < 6:
            raise InvalidPdu("a PDV header is cut off")
        length, context_id, control = _PDV.unpack_from(field, at)
        following = at + 4 + length
        if length < 2 or following > end:
            raise InvalidPdu(f"a PDV of {length} bytes does not fit its PDU")
        yield context_id, control, field[at + 6 : following]
        at = following


def fragment_length(peer_maximum: int) -> int:
    """Bytes of a message per PDU towards a peer with that Maximum Length Received (PS3.8 D.1); always even."""
    maximum = min(peer_maximum, _UNLIMITED_PEER) if peer_maximum else _UNLIMITED_PEER
    return max(maximum - 6, 2) & ~1


def command_pdus(context_id: int, command: bytes, size: int) -> bytes:
    """A command set as P-DATA PDUs, with at most `size` bytes of it in each."""
    if len(command) <= size:
        return _P_DATA_PDV.pack(P_DATA, len(command) + 6, len(command) + 2, context_id, COMMAND | LAST) + command
    parts = []
    for at in range(0, len(command), size):
        part = command[at : at + size]
        control = COMMAND | (LAST if at + size >= len(command) else 0)
        parts += [_P_DATA_PDV.pack(P_DATA, len(part) + 6, len(part) + 2, context_id, control), part]
    return b"".join(parts)


def data_pdus(context_id: int, data: memoryview, size: int, *, last: bool = True) -> Iterator[list[bytes | memoryview]]:
    """A data set, or with `last` false a piece of one, as P-DATA PDUs; in vectors that one `sendmsg` takes.

    Nothing is copied. Without `last` the length must be a multiple of `size`.
    """
    full = _P_DATA_PDV.pack(P_DATA, size + 6, size + 2, context_id, 0)
    whole = max(len(data) - 1, 0) // size * size if last else len(data)
    vector: list[bytes | memoryview] = []
    for start in range(0, whole, _VECTOR // 2 * size):
        if vector:
            yield vector
        pieces = [data[at : at + size] for at in range(start, min(start + _VECTOR // 2 * size, whole), size)]
        vector = [full] * (2 * len(pieces))
        vector[1::2] = pieces
    if last:
        rest = len(data) - whole
        vector += [_P_DATA_PDV.pack(P_DATA, rest + 6, rest + 2, context_id, LAST), data[whole:]]
    if vector:
        yield vector
