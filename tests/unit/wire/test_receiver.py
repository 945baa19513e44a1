"""C-STORE sub-operations: sent on the right context, answered or given up in time, and never taken for another's."""

import threading
import time
from collections.abc import Iterator

import pytest

from proxy.dicom.messages import Outgoing
from proxy.errors import NoAcceptableContext, ReceiverLost
from proxy.wire.receiver import ChannelReceiver
from tests.support import raw
from tests.unit.wire.wired import CT, LIMITS, Wired, cancel, stored, wired


def _outgoing(number: int = 1, data: bytes = b"pixels", **more: str) -> Outgoing:
    names = {"sop_class_uid": raw.CT, "sop_instance_uid": f"1.2.{number}", "transfer_syntax": raw.EXPLICIT, **more}
    return Outgoing(**names, data=memoryview(data))


@pytest.fixture
def line() -> Iterator[Wired]:
    with wired() as line:
        yield line


@pytest.fixture
def receiver(line: Wired) -> ChannelReceiver:
    return ChannelReceiver(line.channel, LIMITS)


def _with_looks(receiver: ChannelReceiver) -> int:
    """The status, with a look every now and then, as a retrieve does for its heartbeats."""
    while (status := receiver.finish(timeout=0.15)) is None:
        pass
    return status


def test_it_takes_what_it_accepted_as_scp(receiver: ChannelReceiver) -> None:
    assert receiver.accepts(raw.CT) == (raw.EXPLICIT,)
    assert receiver.accepts(raw.SECONDARY_CAPTURE) == (raw.EXPLICIT,)
    assert receiver.accepts(raw.VERIFICATION) == ()
    assert receiver.accepts("1.2.3") == ()


def test_a_request_names_instance_and_originator_and_carries_its_bytes(line: Wired) -> None:
    receiver = ChannelReceiver(line.channel, LIMITS, originator=("WS1", 7))
    receiver.begin(_outgoing(5, b"pixels"))
    request = line.peer.message()
    assert (request.context_id, request.field, request.data) == (CT, raw.C_STORE, b"pixels")
    assert request.command[0x00001000] == b"1.2.5"
    assert request.command[0x00001030] == b"WS1"
    assert raw.us(request.command[0x00001031]) == 7


def test_no_originator_is_named_where_there_is_none(line: Wired, receiver: ChannelReceiver) -> None:
    receiver.begin(_outgoing())
    assert not {0x00001030, 0x00001031} & line.peer.message().command.keys()


def test_every_request_has_the_next_message_id(line: Wired, receiver: ChannelReceiver) -> None:
    receiver._message_id = 0xFFFD
    ids = []
    for number in range(4):
        receiver.begin(_outgoing(number))
        ids.append(raw.us(line.peer.message().command[0x00000110]))
        line.send(stored(ids[-1], f"1.2.{number}"))
        assert receiver.finish() == 0
    assert ids == [0xFFFE, 0xFFFF, 1, 2]


@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xA700, 0xC001])
def test_the_status_is_the_receivers(status: int, line: Wired, receiver: ChannelReceiver) -> None:
    receiver.begin(_outgoing(3))
    line.send(stored(1, "1.2.3", status))
    assert receiver.finish() == status


@pytest.mark.parametrize("wrong", [{"sop_class_uid": "1.2.3"}, {"transfer_syntax": raw.IMPLICIT}])
def test_what_it_does_not_take_is_not_begun(wrong: dict[str, str], line: Wired, receiver: ChannelReceiver) -> None:
    with pytest.raises(NoAcceptableContext):
        receiver.begin(_outgoing(**wrong))
    assert line.is_silent()


def test_a_look_ends_when_it_was_told_to(receiver: ChannelReceiver) -> None:
    receiver.begin(_outgoing())
    began = time.monotonic()
    assert receiver.finish(timeout=0.1) is None
    assert 0.08 < time.monotonic() - began < 0.3


def test_no_response_in_time_ends_the_association(line: Wired, receiver: ChannelReceiver) -> None:
    receiver.begin(_outgoing())
    line.peer.message()
    began = time.monotonic()
    with pytest.raises(ReceiverLost, match="no C-STORE response in time"):
        _with_looks(receiver)
    assert LIMITS.response_timeout * 0.9 < time.monotonic() - began < LIMITS.response_timeout * 3
    assert line.channel.ending is not None
    assert line.channel.ending.how == "timeout"
    assert line.channel.ending.parting == raw.pdu(raw.ABORT, bytes(4))


def test_messages_that_are_no_response_do_not_put_the_end_off(line: Wired, receiver: ChannelReceiver) -> None:
    receiver.begin(_outgoing())
    line.peer.message()
    line.send(cancel(1) * 50)
    with pytest.raises(ReceiverLost, match="in time"):
        receiver.finish()


def test_a_receiver_that_is_slow_to_read_gets_its_time_after_the_last_byte_it_took(line: Wired) -> None:
    """Over a slow line the request is still on its way for long after it was written."""
    receiver = ChannelReceiver(line.channel, LIMITS)
    receiver.begin(_outgoing(1, bytes(150_000)))
    stop = threading.Event()

    def read_slowly() -> None:
        taken = 0
        while not stop.wait(0.2) and taken < 150_000:
            taken += len(line.peer.connection.recv(25_000))
        line.peer.connection.sendall(stored(1, "1.2.1"))

    reading = threading.Thread(target=read_slowly)
    reading.start()
    began = time.monotonic()
    try:
        status = _with_looks(receiver)
    finally:
        stop.set()
        reading.join()
    assert status == 0
    assert time.monotonic() - began > 2 * LIMITS.response_timeout


def test_a_receiver_that_goes_away_is_lost(line: Wired, receiver: ChannelReceiver) -> None:
    receiver.begin(_outgoing())
    line.peer.close()
    with pytest.raises(ReceiverLost):
        receiver.finish()


def test_a_receiver_that_answers_for_another_is_lost(line: Wired, receiver: ChannelReceiver) -> None:
    receiver.begin(_outgoing())
    line.send(stored(99))
    with pytest.raises(ReceiverLost):
        receiver.finish()


def test_it_is_released_by_whoever_opened_it(line: Wired) -> None:
    closed: list[int] = []
    ChannelReceiver(line.channel, LIMITS, close=lambda: closed.append(1)).close()
    ChannelReceiver(line.channel, LIMITS).close()
    assert closed == [1]
    assert line.channel.ending is None
