"""A-ASSOCIATE-AC, written by an acceptor and read by a requestor (PS3.8 9.3.3, PS3.7 D.3.3)."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import starmap

from proxy.dicom.messages import Admission, ContextAnswer, Offer
from proxy.dicom.negotiation import extended
from proxy.wire import items as it
from proxy.wire.pdu import ASSOCIATE_AC, HEADER, InvalidPdu
from proxy.wire.request import extended_item, parse_maximum, parse_role, role_item, user_information

_FIXED = struct.Struct(">H2x16s16s32x")
_LENGTH = struct.Struct(">H")


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What a requestor needs to know: context ID -> transfer syntax of the accepted ones, bound, roles."""

    contexts: Mapping[int, str]
    max_pdu: int
    roles: Mapping[str, tuple[bool, bool]]


def encode_accept(offer: Offer, admission: Admission) -> bytes:
    """A whole A-ASSOCIATE-AC PDU: the answer to `offer`."""
    user = user_information(admission.max_pdu, _roles(offer, admission.contexts))
    user += b"".join(starmap(extended_item, extended(offer, admission.contexts).items()))
    if admission.user_identity_response is not None:
        response = admission.user_identity_response
        user += it.item(it.USER_IDENTITY_AC_ITEM, _LENGTH.pack(len(response)) + response)
    body = b"".join(
        (
            _FIXED.pack(1, it.title(offer.called_aet), it.title(offer.calling_aet)),
            it.item(it.APPLICATION_CONTEXT_ITEM, it.APPLICATION_CONTEXT.encode()),
            *map(_context, admission.contexts),
            it.item(it.USER_INFORMATION_ITEM, user),
        )
    )
    return HEADER.pack(ASSOCIATE_AC, len(body)) + body


def parse_accept(body: memoryview) -> Acceptance:
    """The variable field of an A-ASSOCIATE-AC. Raises InvalidPdu."""
    if len(body) < _FIXED.size:
        raise InvalidPdu("the acceptance is too short")
    contexts: dict[int, str] = {}
    roles: dict[str, tuple[bool, bool]] = {}
    max_pdu = 0
    for item_type, value in it.items(body[_FIXED.size :]):
        if item_type == it.CONTEXT_AC_ITEM:
            if len(value) < 4:
                raise InvalidPdu("a presentation context is too short")
            if value[2] == 0:  # the transfer syntax of the others is not significant
                contexts[value[0]] = _transfer_syntax(value[4:])
        elif item_type == it.USER_INFORMATION_ITEM:
            for part_type, part in it.items(value):
                if part_type == it.MAXIMUM_LENGTH_ITEM:
                    max_pdu = parse_maximum(part)
                elif part_type == it.ROLE_ITEM:
                    sop_class_uid, both = parse_role(part)
                    roles[sop_class_uid] = both
    return Acceptance(contexts, max_pdu, roles)


def _context(answer: ContextAnswer) -> bytes:
    syntax = it.item(it.TRANSFER_SYNTAX_ITEM, answer.transfer_syntax.encode())
    return it.item(it.CONTEXT_AC_ITEM, bytes((answer.context_id, 0, answer.result, 0)) + syntax)


def _roles(offer: Offer, answers: tuple[ContextAnswer, ...]) -> bytes:
    """A role item for each accepted SOP class that was offered with one; theirs mirror ours."""
    accepted = {answer.abstract_syntax: answer for answer in answers if answer.result == 0}
    return b"".join(
        role_item(sop_class_uid, scu=answer.as_scp, scp=answer.as_scu)
        for sop_class_uid, answer in accepted.items()
        if sop_class_uid in offer.roles
    )


def _transfer_syntax(field: memoryview) -> str:
    names = [it.uid(value) for item_type, value in it.items(field) if item_type == it.TRANSFER_SYNTAX_ITEM]
    if len(names) != 1:
        raise InvalidPdu("an accepted presentation context has not exactly one transfer syntax")
    return names[0]
