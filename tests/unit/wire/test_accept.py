"""A-ASSOCIATE-AC, written and read."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_AC

from proxy.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from proxy.dicom.messages import Admission, ContextAnswer, Offer, OfferedContext, Peer
from proxy.wire.accept import encode_accept, parse_accept
from proxy.wire.pdu import InvalidPdu
from tests.support import raw

OFFER = Offer(
    "WS1",
    "ARCHIVE",
    Peer("192.0.2.7", 104),
    (
        OfferedContext(1, raw.CT, (raw.EXPLICIT,)),
        OfferedContext(3, raw.VERIFICATION, (raw.IMPLICIT,)),
        OfferedContext(5, "1.2.3", (raw.IMPLICIT,)),
    ),
    roles={raw.CT: (False, True), "1.2.3": (True, True)},
)
ANSWERS = (
    ContextAnswer(1, raw.CT, raw.EXPLICIT, 0, as_scu=True, as_scp=False),
    ContextAnswer(3, raw.VERIFICATION, raw.IMPLICIT),
    ContextAnswer(5, "1.2.3", raw.IMPLICIT, 3),
)


def _accept(**options: Any) -> bytes:
    return encode_accept(OFFER, Admission(None, ANSWERS, 32768, **options))  # type: ignore[arg-type]


def test_pynetdicom_reads_what_we_accept() -> None:
    accepted = A_ASSOCIATE_AC()
    accepted.decode(_accept(user_identity_response=b"ticket"))
    primitive = accepted.to_primitive()
    results = primitive.presentation_context_definition_results_list
    assert [(cx.context_id, cx.result) for cx in results] == [(1, 0), (3, 0), (5, 3)]
    assert results[0].transfer_syntax == [raw.EXPLICIT]
    assert primitive.maximum_length_received == 32768
    items = {type(item).__name__: item for item in primitive.user_information}
    role = items["SCP_SCU_RoleSelectionNegotiation"]
    assert (role.sop_class_uid, role.scu_role, role.scp_role) == (raw.CT, False, True)
    assert items["ImplementationClassUIDNotification"].implementation_class_uid == IMPLEMENTATION_CLASS_UID
    assert items["ImplementationVersionNameNotification"].implementation_version_name == IMPLEMENTATION_VERSION_NAME
    assert items["UserIdentityNegotiation"].server_response == b"ticket"


def test_titles_are_returned_as_they_came() -> None:
    whole = _accept()
    assert whole[10:26] == b"ARCHIVE".ljust(16)
    assert whole[26:42] == b"WS1".ljust(16)


def test_no_user_identity_response_where_none_is_given() -> None:
    assert raw.item(0x59, b"")[:1] not in (_accept()[-30:-29],)
    accepted = A_ASSOCIATE_AC()
    accepted.decode(_accept())
    names = [type(item).__name__ for item in accepted.to_primitive().user_information]
    assert "UserIdentityNegotiation" not in names


def test_a_role_is_answered_only_where_it_was_offered_and_accepted() -> None:
    acceptance = parse_accept(memoryview(_accept())[6:])
    assert acceptance.roles == {raw.CT: (False, True)}


def test_we_read_what_we_write() -> None:
    acceptance = parse_accept(memoryview(_accept())[6:])
    assert acceptance.contexts == {1: raw.EXPLICIT, 3: raw.IMPLICIT}
    assert acceptance.max_pdu == 32768


def _fixed(items: bytes) -> memoryview:
    return memoryview(struct.pack(">H2x16s16s32x", 1, b"A" * 16, b"B" * 16) + items)


@pytest.mark.parametrize(
    "items",
    [
        raw.item(0x21, b"\1\0\0\0"),
        raw.item(0x21, b"\1\0\0"),
        raw.item(0x21, b"\1\0\0\0" + raw.item(0x40, b"../x")),
        raw.item(0x21, b"\1\0\0\0" + raw.item(0x40, b"1.2") * 2),
        raw.item(0x50, raw.item(0x51, b"\0")),
        raw.item(0x50, raw.item(0x54, b"\0")),
        raw.item(0x21, b"", 900),
    ],
)
def test_a_malformed_acceptance_is_invalid(items: bytes) -> None:
    with pytest.raises(InvalidPdu):
        parse_accept(_fixed(items))


def test_the_transfer_syntax_of_a_rejected_context_does_not_matter() -> None:
    assert parse_accept(_fixed(raw.item(0x21, b"\1\0\3\0"))).contexts == {}


@given(st.binary(max_size=300))
def test_noise_gives_an_acceptance_or_is_invalid(noise: bytes) -> None:
    try:
        parse_accept(_fixed(noise))
    except InvalidPdu:
        pass
    try:
        parse_accept(memoryview(noise))
    except InvalidPdu:
        pass
