"""A-ASSOCIATE-RQ: read strictly where structure counts, tolerantly where PS3.8 says so; and written."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom import AE, build_role
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, MaximumLengthNotification, UserIdentityNegotiation
from pynetdicom.presentation import build_context

from proxy.dicom.messages import Offer, OfferedContext, Peer, UserIdentity
from proxy.wire.pdu import InvalidPdu
from proxy.wire.request import Refused, encode_request, parse_request
from tests.support import raw

PEER = Peer("192.0.2.7", 104)


def parse(whole: bytes) -> Offer:
    return parse_request(memoryview(whole)[6:], PEER)


def test_what_pynetdicom_sends_is_understood() -> None:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = "WS1", "ARCHIVE"
    context = build_context(raw.CT, [raw.EXPLICIT, raw.IMPLICIT])
    context.context_id = 7
    primitive.presentation_context_definition_list = [context]
    length = MaximumLengthNotification()
    length.maximum_length_received = 32768
    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.positive_response_requested = 2, True
    identity.primary_field, identity.secondary_field = b"me", b"secret"
    role = build_role(raw.CT, scu_role=False, scp_role=True)
    implementation = AE().implementation_class_uid
    from pynetdicom.pdu_primitives import ImplementationClassUIDNotification, ImplementationVersionNameNotification

    class_item = ImplementationClassUIDNotification()
    class_item.implementation_class_uid = implementation
    version_item = ImplementationVersionNameNotification()
    version_item.implementation_version_name = "SOME_1"
    primitive.user_information = [length, class_item, version_item, role, identity]
    request = A_ASSOCIATE_RQ()
    request.from_primitive(primitive)
    assert parse(request.encode()) == Offer(
        calling_aet="WS1",
        called_aet="ARCHIVE",
        peer=PEER,
        contexts=(OfferedContext(7, raw.CT, (raw.EXPLICIT, raw.IMPLICIT)),),
        max_pdu=32768,
        implementation_class_uid=str(implementation),
        implementation_version="SOME_1",
        roles={raw.CT: (False, True)},
        user_identity=UserIdentity(2, b"me", b"secret", True),
    )


def test_what_we_send_is_understood_by_pynetdicom() -> None:
    contexts = [OfferedContext(2 * n + 1, raw.CT, (raw.EXPLICIT, raw.IMPLICIT)) for n in range(128)]
    request = A_ASSOCIATE_RQ()
    request.decode(encode_request(calling_aet="PROXY", called_aet="DEST", contexts=contexts, max_pdu=16384))
    primitive = request.to_primitive()
    assert (primitive.calling_ae_title, primitive.called_ae_title) == ("PROXY", "DEST")
    found = primitive.presentation_context_definition_list
    assert [(cx.context_id, cx.abstract_syntax, tuple(cx.transfer_syntax)) for cx in found] == [
        (cx.context_id, cx.abstract_syntax, cx.transfer_syntaxes) for cx in contexts
    ]
    assert primitive.maximum_length_received == 16384


def test_what_we_send_is_understood_by_us() -> None:
    contexts = [OfferedContext(1, raw.CT, (raw.EXPLICIT,)), OfferedContext(3, raw.VERIFICATION, (raw.IMPLICIT,))]
    offer = parse(encode_request(calling_aet="A", called_aet="B C", contexts=contexts, max_pdu=0))
    assert (offer.calling_aet, offer.called_aet, offer.contexts) == ("A", "B C", tuple(contexts))


@pytest.mark.parametrize("count", [0, 129])
def test_a_request_with_too_many_or_no_contexts_is_not_written(count: int) -> None:
    contexts = [OfferedContext(1, raw.CT, (raw.EXPLICIT,))] * count
    with pytest.raises(ValueError, match="128"):
        encode_request(calling_aet="A", called_aet="B", contexts=contexts, max_pdu=0)


@pytest.mark.parametrize(
    "whole",
    [
        raw.request("X", extra=raw.item(0x99, b"whatever")),
        raw.request("X", user=raw.user_item(extra=raw.item(0x77, b"?"))),
        raw.request("X", user=raw.user_item(extra=raw.item(0x53, struct.pack(">HH", 1, 1)))),
        raw.request("X", user=raw.user_item(extra=raw.item(0x57, b"\0\1\2"))),
        raw.request(b"X" + b"\0" * 15, calling=b"Y\0\0 " + b"\0" * 12),
        raw.request("X", version=3),
        raw.request("X", version=0xFFFF),
        raw.request("X", application=raw.item(0x10, raw.APPLICATION_CONTEXT.encode() + b"\0")),
        raw.request("X", [(1, raw.VERIFICATION + "\0", (raw.IMPLICIT + " ",))]),
        raw.request("X", max_pdu=0),
        raw.request("X", max_pdu=0xFFFFFFFF),
    ],
)
def test_legal_or_harmless_oddities_are_tolerated(whole: bytes) -> None:
    assert parse(whole).called_aet == "X"


@pytest.mark.parametrize(
    ("whole", "answer"),
    [
        (raw.request("X", version=2), (1, 2, 2)),
        (raw.request("X", version=0), (1, 2, 2)),
        (raw.request(""), (1, 1, 7)),
        (raw.request(b"\0" * 16), (1, 1, 7)),
        (raw.request("ÄÖÜ"), (1, 1, 7)),
        (raw.request("A\\B"), (1, 1, 7)),
        (raw.request("X", calling=""), (1, 1, 3)),
        (raw.request("X", calling="\x1b[2J"), (1, 1, 3)),
        (raw.request("X", application=raw.item(0x10, b"1.2.3")), (1, 1, 2)),
    ],
)
def test_legal_requests_that_cannot_be_served_are_rejected(whole: bytes, answer: tuple[int, int, int]) -> None:
    with pytest.raises(Refused) as refused:
        parse(whole)
    refusal = refused.value.refusal
    assert (refusal.result, refusal.source, refusal.reason) == answer
    assert refusal.why


def _user(extra: bytes) -> bytes:
    return raw.request("X", user=raw.user_item(extra=extra))


MALFORMED = {
    "no body": raw.pdu(raw.RQ, b""),
    "67 bytes": raw.pdu(raw.RQ, b"\0\1" + b"X" * 65),
    "no items": raw.pdu(raw.RQ, raw.request("X")[6:74]),
    "an item that runs over": raw.request("X", extra=raw.item(0x99, b"abc", 60000)),
    "stray bytes": raw.request("X", extra=b"") + b"\0\0",
    "no application context": raw.request("X", application=b""),
    "two application contexts": raw.request("X", extra=raw.item(0x10, raw.APPLICATION_CONTEXT.encode())),
    "no user information": raw.request("X", user=b""),
    "two user informations": raw.request("X", extra=raw.user_item()),
    "no contexts": raw.request("X", presentation=b""),
    "an even context ID": raw.request("X", [(2, raw.VERIFICATION, (raw.IMPLICIT,))]),
    "context ID 0": raw.request("X", [(0, raw.VERIFICATION, (raw.IMPLICIT,))]),
    "a context ID twice": raw.request("X", [(1, raw.VERIFICATION, (raw.IMPLICIT,))] * 2),
    "an empty context": raw.request("X", presentation=raw.item(0x20, b"")),
    "a context without transfer syntax": raw.request("X", [(1, raw.VERIFICATION, ())]),
    "a context without abstract syntax": raw.request(
        "X", presentation=raw.item(0x20, b"\1\0\0\0" + raw.item(0x40, raw.IMPLICIT.encode()))
    ),
    "a context with two abstract syntaxes": raw.request(
        "X", presentation=raw.item(0x20, b"\1\0\0\0" + raw.item(0x30, b"1.2") * 2 + raw.item(0x40, b"1.2"))
    ),
    "a path for a UID": raw.request("X", [(1, "../../etc/passwd", (raw.IMPLICIT,))]),
    "a maximum length of 3 bytes": raw.request("X", user=raw.item(0x50, raw.item(0x51, b"\0\0\0"))),
    "an empty role item": _user(raw.item(0x54, b"")),
    "a role item that lies": _user(raw.item(0x54, struct.pack(">H", 900) + b"1.2\1\1")),
    "a role of 2": _user(raw.item(0x54, struct.pack(">H", 3) + b"1.2\2\1")),
    "an extended negotiation that lies": _user(raw.item(0x56, struct.pack(">H", 900) + b"1.2\1")),
    "an empty user identity": _user(raw.item(0x58, b"")),
    "a user identity of kind 9": _user(raw.item(0x58, b"\x09\0\0\1a\0\0")),
    "a user identity that lies": _user(raw.item(0x58, b"\x01\0\xff\xffa\0\0")),
    "a second field that lies": _user(raw.item(0x58, b"\x02\0\0\1a\xff\xff")),
}


@pytest.mark.parametrize("whole", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_requests_are_invalid(whole: bytes) -> None:
    with pytest.raises(InvalidPdu):
        parse(whole)


def test_extended_negotiation_is_read_for_each_sop_class() -> None:
    asked = b"".join(
        raw.item(0x56, struct.pack(">H", len(name)) + name.encode() + information)
        for name, information in ((raw.STUDY_FIND, b"\1\1\1"), (raw.STUDY_MOVE, b""))
    )
    assert parse(_user(asked)).extended == {raw.STUDY_FIND: b"\1\1\1", raw.STUDY_MOVE: b""}


def test_no_request_has_more_contexts_than_there_are_ids() -> None:
    contexts = [(2 * n + 1, raw.VERIFICATION, (raw.IMPLICIT,)) for n in range(128)]
    assert len(parse(raw.request("X", contexts)).contexts) == 128
    with pytest.raises(InvalidPdu):
        parse(raw.request("X", [*contexts, (1, raw.VERIFICATION, (raw.IMPLICIT,))]))


def test_a_version_name_is_fit_for_a_log_line() -> None:
    user = raw.item(0x50, raw.item(0x51, bytes(4)) + raw.item(0x55, b"EVIL\n\x1b[2J\xff 1.0"))
    assert parse(raw.request("X", user=user)).implementation_version.isprintable()


@given(st.binary(max_size=400))
def test_noise_is_refused_and_nothing_else_happens(noise: bytes) -> None:
    with pytest.raises((InvalidPdu, Refused)):
        parse_request(memoryview(noise), PEER)


WHOLE = raw.request(
    "X",
    [(1, raw.CT, (raw.EXPLICIT, raw.IMPLICIT)), (3, raw.VERIFICATION, (raw.IMPLICIT,))],
    user=raw.user_item(extra=raw.role_item(raw.CT) + raw.item(0x58, b"\x02\1\0\2me\0\1x")),
)


@given(st.lists(st.tuples(st.integers(6, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=6), st.data())
def test_a_mutated_request_gives_an_offer_or_is_refused(changes: list[tuple[int, int]], data: st.DataObject) -> None:
    mutated = bytearray(WHOLE)
    for at, byte in changes:
        mutated[at] = byte
    cut = data.draw(st.integers(6, len(mutated)))
    try:
        offer = parse(bytes(mutated[:cut]))
    except (InvalidPdu, Refused):
        return
    assert offer.calling_aet.isascii()
    assert offer.contexts
