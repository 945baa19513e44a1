"""Command sets, with pynetdicom as the second opinion."""

import struct
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom import dimse_messages as messages
from pynetdicom import dimse_primitives as primitives
from pynetdicom.dsutils import decode, encode

from proxy.dicom.messages import Counts, Response
from proxy.wire import command as commands
from proxy.wire.command import Command, Field, InvalidCommand, is_uid, parse_command
from tests.support import raw

_MESSAGES: dict[type, Any] = {
    primitives.C_ECHO: messages.C_ECHO_RQ,
    primitives.C_FIND: messages.C_FIND_RQ,
    primitives.C_GET: messages.C_GET_RQ,
    primitives.C_MOVE: messages.C_MOVE_RQ,
    primitives.C_STORE: messages.C_STORE_RQ,
    primitives.C_CANCEL: messages.C_CANCEL_RQ,
    primitives.N_ACTION: messages.N_ACTION_RQ,
    primitives.N_EVENT_REPORT: messages.N_EVENT_REPORT_RQ,
}


def _encoded(primitive: Any) -> bytes:
    message = _MESSAGES[type(primitive)]()
    message.primitive_to_message(primitive)
    return bytes(encode(message.command_set, True, True))


def _as_read_by_pynetdicom(data: bytes) -> Any:
    return decode(BytesIO(data), True, True)


def _store_request() -> primitives.C_STORE:
    request = primitives.C_STORE()
    request.MessageID, request.Priority = 9, 1
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = raw.CT, "1.2.3.4"
    request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID = "WS1", 77
    request.DataSet = BytesIO(b"\0\0")
    return request


def test_a_store_request_is_understood() -> None:
    assert parse_command(_encoded(_store_request())) == Command(
        Field.C_STORE_RQ, 9, True, raw.CT, "1.2.3.4", 0, 1, "", "WS1", 77, 0
    )


def test_a_move_request_is_understood() -> None:
    request = primitives.C_MOVE()
    request.MessageID, request.AffectedSOPClassUID, request.MoveDestination = 4, raw.STUDY_MOVE, "DEST"
    request.Identifier = BytesIO(b"\0\0")
    found = parse_command(_encoded(request))
    assert (found.field, found.message_id, found.move_destination) == (Field.C_MOVE_RQ, 4, "DEST")


def test_an_echo_a_cancel_and_an_action_are_understood() -> None:
    echo = primitives.C_ECHO()
    echo.MessageID, echo.AffectedSOPClassUID = 65535, raw.VERIFICATION
    assert parse_command(_encoded(echo)) == Command(Field.C_ECHO_RQ, 65535, False, raw.VERIFICATION)
    cancel = primitives.C_CANCEL()
    cancel.MessageIDBeingRespondedTo = 5
    assert parse_command(_encoded(cancel)) == Command(Field.C_CANCEL_RQ, 5, False)
    action = primitives.N_ACTION()
    action.MessageID, action.ActionTypeID = 6, 1
    action.RequestedSOPClassUID, action.RequestedSOPInstanceUID = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
    action.ActionInformation = BytesIO(b"\0\0")
    found = parse_command(_encoded(action))
    assert (found.sop_class_uid, found.sop_instance_uid) == ("1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1")
    assert (found.field, found.type_id, found.has_data_set) == (Field.N_ACTION_RQ, 1, True)


def test_pynetdicom_reads_our_store_request() -> None:
    found = _as_read_by_pynetdicom(commands.store_request(3, raw.CT, "1.2.3", ("WS1", 7)))
    assert (found.CommandField, found.MessageID, found.Priority) == (1, 3, 0)
    assert (found.AffectedSOPClassUID, found.AffectedSOPInstanceUID) == (raw.CT, "1.2.3")
    assert found.CommandDataSetType != 0x0101
    assert found.MoveOriginatorApplicationEntityTitle == "WS1"
    assert found.MoveOriginatorMessageID == 7


def test_pynetdicom_reads_our_echo_request() -> None:
    found = _as_read_by_pynetdicom(commands.echo_request(3, raw.VERIFICATION))
    assert (found.AffectedSOPClassUID, found.CommandField, found.MessageID) == (raw.VERIFICATION, 0x0030, 3)
    assert (found.CommandDataSetType, len(found)) == (0x0101, 5)


def test_pynetdicom_reads_our_event_report() -> None:
    found = _as_read_by_pynetdicom(commands.event_report_request(8, "1.2.840.10008.1.20.1", "1.2.3", 2))
    assert (found.CommandField, found.MessageID, found.EventTypeID) == (0x0100, 8, 2)
    assert (found.AffectedSOPClassUID, found.AffectedSOPInstanceUID) == ("1.2.840.10008.1.20.1", "1.2.3")


def test_pynetdicom_reads_our_responses() -> None:
    request = Command(Field.C_GET_RQ, 12, True, raw.STUDY_GET)
    answer = Response(0xB000, comment="two failed", offending_tags=(0x00080052,), counts=Counts(None, 3, 2, 1))
    found = _as_read_by_pynetdicom(commands.response(request, answer, has_data_set=True))
    assert (found.CommandField, found.MessageIDBeingRespondedTo, found.Status) == (0x8010, 12, 0xB000)
    assert found.ErrorComment == "two failed"
    assert found.OffendingElement == 0x00080052
    assert "NumberOfRemainingSuboperations" not in found
    assert found.NumberOfCompletedSuboperations == 3
    assert found.NumberOfFailedSuboperations == 2
    assert found.NumberOfWarningSuboperations == 1
    assert list(found.keys()) == sorted(found.keys())


def test_an_action_response_repeats_what_was_asked() -> None:
    request = Command(Field.N_ACTION_RQ, 1, True, "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1", type_id=1)
    found = _as_read_by_pynetdicom(commands.response(request, Response(0), has_data_set=False))
    assert (found.CommandField, found.ActionTypeID, found.CommandDataSetType) == (0x8130, 1, 0x0101)
    assert found.AffectedSOPInstanceUID == "1.2.840.10008.1.20.1.1"


def test_the_group_length_counts_what_follows() -> None:
    whole = commands.store_request(1, raw.CT, "1.2")
    assert struct.unpack_from("<L", whole, 8)[0] == len(whole) - 12


def test_counts_beyond_16_bits_do_not_break_a_response() -> None:
    request = Command(Field.C_GET_RQ, 1, True, raw.STUDY_GET)
    found = _as_read_by_pynetdicom(
        commands.response(request, Response(0xFF00, counts=Counts(90000, 1)), has_data_set=False)
    )
    assert found.NumberOfRemainingSuboperations == 0xFFFF


def test_a_uid_that_is_none_is_not_repeated() -> None:
    request = Command(Field.C_STORE_RQ, 1, True, raw.CT, "../../etc/passwd")
    assert b"passwd" not in commands.response(request, Response(0x0117), has_data_set=False)


@pytest.mark.parametrize("text", ["", "1" * 65, "1.2/3", "..\\x", "1.2\n", "1.2\0", "１.2"])
def test_what_is_no_uid_is_known_as_such(text: str) -> None:
    assert not is_uid(text)


BAD = {
    "empty": b"",
    "without a command field": raw.element(0x00000110, b"\1\0") + raw.element(0x00000800, b"\1\1"),
    "cut off in a header": raw.command(raw.C_ECHO)[:-6],
    "cut off in a value": raw.command(raw.C_ECHO)[:-1],
    "of another group": raw.command(raw.C_ECHO) + raw.element(0x00080018, b"1.2"),
    "with an element of 4 GiB": raw.element(0x00000002, b"", 0xFFFFFFFF),
    "with a number of 4 bytes": raw.element(0x00000100, b"\x30\0\0\0"),
    "with a number twice": raw.command(raw.C_ECHO) + raw.element(0x00000110, b"\1\0"),
    "of an unknown command": raw.command(0x0002),
    "of a service not offered": raw.command(0x0140),
    "of a response not awaited": raw.command(0x8020, answers=1, extra=raw.element(0x00000900, b"\0\0")),
    "that stores nothing": raw.command(raw.C_STORE),
    "that finds by nothing": raw.command(raw.C_FIND),
    "that gets by nothing": raw.command(raw.C_GET),
    "that moves by nothing": raw.command(raw.C_MOVE),
    "that echoes a data set": raw.command(raw.C_ECHO, data=True),
    "of a response with a data set": raw.command(0x8001, answers=1, data=True, extra=raw.element(0x00000900, b"\0\0")),
    "of a response without status": raw.command(0x8001, answers=1),
    "without a message ID": raw.command(raw.C_ECHO, answers=1),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_a_command_set_that_cannot_be_answered_is_invalid(data: bytes) -> None:
    with pytest.raises(InvalidCommand):
        parse_command(data)


def test_a_uid_of_other_characters_is_kept_for_an_answer() -> None:
    assert parse_command(raw.store_command(raw.CT, "../../x")).sop_instance_uid == "../../x"


def test_unknown_elements_are_passed_over() -> None:
    data = raw.command(raw.C_ECHO, extra=raw.element(0x00005110, b"retired"))
    assert parse_command(data).field is Field.C_ECHO_RQ


@given(st.binary(max_size=200))
def test_noise_is_a_command_or_invalid(noise: bytes) -> None:
    try:
        parse_command(noise)
    except InvalidCommand:
        pass


WHOLE = raw.store_command(raw.CT, "1.2.3.4.5")


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=5))
def test_a_mutated_command_is_a_command_or_invalid(changes: list[tuple[int, int]]) -> None:
    mutated = bytearray(WHOLE)
    for at, byte in changes:
        mutated[at] = byte
    try:
        found = parse_command(mutated)
    except InvalidCommand:
        return
    commands.response(found, Response(0), has_data_set=False)
