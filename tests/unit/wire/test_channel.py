"""Messages in and out: every bound is held, every broken byte has its answer, nothing is lost or doubled."""

import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire import pdu
from proxy.wire.channel import Channel
from proxy.wire.command import Field, store_request
from proxy.wire.ending import Ending
from tests.support import raw
from tests.unit.wire.serving import MemorySink, chunks, flat, settles
from tests.unit.wire.wired import CT, ECHO, FIND, LIMITS, Wired, cancel, echo, find, store, stored, wired

PROVIDER_ABORT = pdu.abort(pdu.AbortSource.PROVIDER)
USER_ABORT = pdu.abort(pdu.AbortSource.USER)


@pytest.fixture
def line() -> Iterator[Wired]:
    with wired() as line:
        yield line


def _ending(call: Callable[[], object]) -> Ending:
    with pytest.raises(Ending) as ended:
        call()
    return ended.value


def _soon() -> float:
    return time.monotonic() + 2


# ------------------------------------------------------------------ requests


def test_a_request_comes_with_its_data_set_and_context(line: Wired) -> None:
    line.send(find(7, b"keys"))
    message = line.channel.next_request()
    assert (message.command.field, message.command.message_id) == (Field.C_FIND_RQ, 7)
    assert (message.context.context_id, message.data, message.sink) == (FIND, b"keys", None)


def test_a_data_set_that_is_empty_is_one(line: Wired) -> None:
    line.send(find(1, b""))
    assert line.channel.next_request().data == b""


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("piece", [1, 5, 11, 1 << 20])
def test_requests_are_the_same_however_they_are_cut(size: int, piece: int) -> None:
    """Into fragments of `size` bytes, and into `piece` bytes per write."""
    data = bytes(range(256))
    whole = find(1, data, size) + store(2, data, size) + echo(3)
    with wired() as line:
        writing = threading.Thread(target=lambda: [line.peer.send(bytes(part)) for part in chunks(whole, piece)])
        writing.start()
        found = [line.channel.next_request() for _ in range(3)]
        writing.join()
        assert [message.command.message_id for message in found] == [1, 2, 3]
        assert (found[0].data, line.sinks[0].data, found[2].data) == (data, data, b"")


def test_several_values_in_one_pdu_may_end_one_message_and_begin_the_next(line: Wired) -> None:
    commands = [raw.command(raw.C_ECHO, message_id=n) for n in (1, 2)]
    values = [raw.pdv(ECHO, 1, commands[0][:9]), raw.pdv(ECHO, 3, commands[0][9:]), raw.pdv(ECHO, 3, commands[1])]
    line.send(raw.pdu(raw.P_DATA, b"".join(values)))
    assert [line.channel.next_request().command.message_id for _ in range(2)] == [1, 2]


def test_the_data_set_of_a_store_goes_to_its_sink_and_is_not_kept(line: Wired) -> None:
    line.send(store(5, b"x" * 40_000))
    message = line.channel.next_request()
    (sink,) = line.sinks
    assert message.sink is sink
    assert sink.data == b"x" * 40_000
    assert sink.request.sop_instance_uid == "1.2.5"
    assert (message.data, sink.outcome) == (b"", ""), "the sink is the receiver's to finish"


def test_one_request_waits_while_another_is_served(line: Wired) -> None:
    line.send(find(1), echo(2))
    assert line.channel.next_request().command.message_id == 1
    assert not line.channel.is_cancelled(1)
    assert line.channel.next_request().command.message_id == 2


def test_no_more_is_read_while_two_requests_wait(line: Wired) -> None:
    line.send(find(1), find(2), find(3), b"\xff" * 6)
    line.channel.next_request()
    for _ in range(5):
        assert not line.channel.is_cancelled(1)
    assert [line.channel.next_request().command.message_id for _ in range(2)] == [2, 3]
    assert _ending(line.channel.next_request).how == "protocol error"


def test_a_store_behind_a_request_stays_unread_until_its_turn(line: Wired) -> None:
    line.send(find(1), store(2))
    line.channel.next_request()
    assert not line.channel.is_cancelled(1)
    assert not line.sinks
    assert line.channel.next_request().command.message_id == 2
    assert line.sinks[0].data == b"data set"


def test_it_is_idle_only_while_nothing_is_under_way(line: Wired) -> None:
    assert line.channel.is_idle
    line.send(echo(1))
    line.channel.next_request()
    assert not line.channel.is_idle
    line.send(find(2)[:-4])
    assert _ending(line.channel.next_request).how == "timeout"
    assert line.channel.is_idle


# ------------------------------------------------------------------ what ends it


def _two_commands() -> bytes:
    command = raw.command(raw.C_ECHO)
    return raw.pdu(raw.P_DATA, raw.pdv(ECHO, 1, command[:9])) + raw.pdu(raw.P_DATA, raw.pdv(FIND, 1, command[9:]))


def _event_report(*, data: bool) -> bytes:
    return raw.message(ECHO, raw.command(0x0100, data=data))


_UNKNOWN, _UNEXPECTED, _INVALID = 1, 2, 6
_BROKEN: dict[str, tuple[bytes, int | None]] = {
    "an unknown PDU": (raw.pdu(9, bytes(4)), _UNKNOWN),
    "an association request": (raw.request("PROXY"), _UNEXPECTED),
    "an acceptance": (raw.pdu(raw.AC, bytes(68)), _UNEXPECTED),
    "a rejection": (raw.pdu(raw.RJ, bytes(4)), _UNEXPECTED),
    "a release response": (raw.RELEASED, _UNEXPECTED),
    "a PDU longer than negotiated": (struct.pack(">BxL", 4, 16385), _INVALID),
    "a PDU of 4 GiB": (struct.pack(">BxL", 4, 0xFFFFFFFF), _INVALID),
    "a release request of 5 bytes": (raw.pdu(raw.RELEASE_RQ, bytes(5)), _INVALID),
    "an abort of 3 bytes": (raw.pdu(raw.ABORT, bytes(3)), _INVALID),
    "a PDU without value": (raw.pdu(raw.P_DATA, b""), _INVALID),
    "a value of 1 byte": (raw.pdu(raw.P_DATA, b"\0\0\0\1\1"), _INVALID),
    "a value longer than its PDU": (raw.pdu(raw.P_DATA, raw.pdv(ECHO, 3, b"x", 100)), _INVALID),
    "a header cut off": (raw.pdu(raw.P_DATA, raw.pdv(ECHO, 1, b"x") + b"\0\0"), _INVALID),
    "a context nobody accepted": (raw.message(99, raw.command(raw.C_ECHO)), _INVALID),
    "an empty fragment in the middle": (raw.pdu(raw.P_DATA, raw.pdv(ECHO, 1, b"")), _INVALID),
    "a data set without command": (raw.pdu(raw.P_DATA, raw.pdv(ECHO, 2, b"data")), _INVALID),
    "a data set on another context": (
        find()[:-22] + raw.pdu(raw.P_DATA, raw.pdv(ECHO, 2, b"data")),
        _INVALID,
    ),
    "a command within a data set": (
        raw.message(FIND, raw.command(raw.C_FIND, sop_class=raw.STUDY_FIND, data=True)) + echo(),
        _INVALID,
    ),
    "a command on two contexts": (_two_commands(), _INVALID),
    "noise for a command": (raw.message(ECHO, b"\xff" * 40), None),
    "an empty command": (raw.message(ECHO, b""), None),
    "a command nobody offers": (raw.message(ECHO, raw.command(0x0150)), None),
    "a command on a context where we are SCU only": (
        raw.message(11, raw.store_command(raw.SECONDARY_CAPTURE, "1.2"), b""),
        None,
    ),
    "a response to nothing": (stored(1), None),
    "a command set too long": (raw.message(ECHO, raw.element(0x00000003, b"1" * 1100)), None),
    "an identifier too long": (find(1, bytes(5000)), None),
    "an instance too long": (store(1, bytes(70_000)), None),
    "an echo with a data set": (raw.message(ECHO, raw.command(raw.C_ECHO, data=True), b"data"), None),
    "a store without a data set": (
        raw.message(CT, raw.command(raw.C_STORE, sop_class=raw.CT, extra=raw.element(0x00001000, b"1.2"))),
        None,
    ),
}


@pytest.mark.parametrize("name", _BROKEN)
def test_what_is_broken_is_aborted_for_the_right_reason(name: str) -> None:
    sent, reason = _BROKEN[name]
    source = pdu.AbortSource.USER if reason is None else pdu.AbortSource.PROVIDER
    with wired() as line:
        line.send(sent)
        ending = _ending(line.channel.next_request)
        assert ending.how == "protocol error"
        assert ending.why
        assert ending.parting == raw.pdu(raw.ABORT, bytes((0, 0, source, reason or 0)))
        assert all(sink.outcome == "abandoned" for sink in line.sinks)


@pytest.mark.parametrize("setting", ["command_set", "identifier", "instance"])
def test_a_bound_is_the_last_length_that_passes(setting: str) -> None:
    """The request is built for its bound, then the bound is taken down by one byte."""
    command = raw.command(raw.C_FIND, sop_class=raw.STUDY_FIND, data=True)
    sent = {"command_set": find(1, b"x"), "identifier": find(1, bytes(2000)), "instance": store(1, bytes(3000))}[
        setting
    ]
    bound = {"command_set": len(command), "identifier": 2000, "instance": 3000}[setting]
    with wired(LIMITS.model_copy(update={setting: bound})) as line:
        line.send(sent)
        line.channel.next_request()
    with wired(LIMITS.model_copy(update={setting: bound - 1})) as line:
        line.send(sent)
        assert "longer than allowed" in _ending(line.channel.next_request).why


@pytest.mark.parametrize(("max_pdu", "bound"), [(20_000, 20_000), (0, 30_000)])
def test_a_pdu_may_be_as_long_as_negotiated_or_as_the_limit_where_nothing_is(max_pdu: int, bound: int) -> None:
    limits = LIMITS.model_copy(update={"pdu": 30_000, "identifier": 1 << 20})
    with wired(limits, max_pdu=max_pdu) as line:
        line.send(find(1, bytes(100_000), bound - 6))
        assert len(line.channel.next_request().data) == 100_000
        line.send(struct.pack(">BxL", 4, bound + 1))
        assert str(bound) in _ending(line.channel.next_request).why


def test_a_pdu_too_long_is_refused_before_it_is_read(line: Wired) -> None:
    line.send(struct.pack(">BxL", 4, 1 << 30))
    assert _ending(line.channel.next_request).parting
    assert len(line.channel._transport.view) <= 16 * 1024


@pytest.mark.parametrize(
    ("sent", "how", "parting"),
    [(raw.RELEASE, "released", raw.RELEASED), (raw.pdu(raw.ABORT, b"\0\0\2\1"), "aborted", b"")],
)
def test_the_peer_may_end_it(sent: bytes, how: str, parting: bytes, line: Wired) -> None:
    line.send(sent)
    ending = _ending(line.channel.next_request)
    assert (ending.how, ending.parting) == (how, parting)


def test_a_peer_that_goes_away_needs_no_answer(line: Wired) -> None:
    line.send(store()[:-3])
    line.peer.close()
    ending = _ending(line.channel.next_request)
    assert (ending.how, ending.parting) == ("lost", b"")
    assert line.sinks[0].outcome == "abandoned"


def test_a_release_in_the_middle_of_an_instance_leaves_nothing_of_it(line: Wired) -> None:
    line.send(store(1, bytes(30_000))[:16384], raw.RELEASE)
    line.peer.close()
    _ending(line.channel.next_request)
    assert line.sinks[0].outcome == "abandoned"


def test_a_whole_instance_that_is_never_answered_is_abandoned(line: Wired) -> None:
    """It waits behind another request when the association ends."""
    line.send(echo(1))
    line.channel.next_request()
    line.send(store(2))
    line.channel._serving = None  # as between two requests
    line.channel._pump(_soon())
    line.channel.end(Ending("lost", "gone"))
    assert line.sinks[0].outcome == "abandoned"


def test_once_it_is_over_everything_ends_in_the_same_way(line: Wired) -> None:
    line.send(raw.RELEASE)
    first = _ending(line.channel.next_request)
    for call in (
        line.channel.next_request,
        lambda: line.channel.is_cancelled(1),
        lambda: line.channel.wait_status(_soon()),
        lambda: line.channel.write([b"x"]),
    ):
        assert _ending(call) is first
    assert line.channel.end(Ending("lost", "again")) is first


# ------------------------------------------------------------------ time


def test_silence_is_borne_for_the_idle_time(line: Wired) -> None:
    began = time.monotonic()
    ending = _ending(line.channel.next_request)
    assert (ending.how, ending.parting) == ("timeout", USER_ABORT)
    assert 0.35 < time.monotonic() - began < 1


@pytest.mark.parametrize("cut", [3, 6, 40])
def test_half_a_pdu_is_borne_for_the_pdu_time(line: Wired, cut: int) -> None:
    line.send(echo()[:cut])
    began = time.monotonic()
    ending = _ending(line.channel.next_request)
    assert (ending.how, ending.parting) == ("timeout", PROVIDER_ABORT)
    assert 0.15 < time.monotonic() - began < 0.35


def test_half_a_message_is_borne_for_the_pdu_time(line: Wired) -> None:
    line.send(find(1, bytes(100), 50)[:-62])
    began = time.monotonic()
    assert _ending(line.channel.next_request).parting == PROVIDER_ABORT
    assert 0.15 < time.monotonic() - began < 0.35


def _drip(line: Wired, data: bytes, interval: float) -> threading.Thread:
    thread = threading.Thread(target=line.peer.drip, args=(data, interval), daemon=True)
    thread.start()
    return thread


def test_a_pdu_that_drips_is_ended_all_the_same(line: Wired) -> None:
    dripping = _drip(line, echo(), 0.03)
    began = time.monotonic()
    assert _ending(line.channel.next_request).parting == PROVIDER_ABORT
    assert time.monotonic() - began < 0.35
    line.peer.close()
    dripping.join()


def _one_by_one(line: Wired, parts: list[bytes], interval: float) -> threading.Thread:
    def send() -> None:
        for part in parts:
            if not line.peer.send(part):
                return
            time.sleep(interval)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def _pdus(whole: bytes) -> list[bytes]:
    parts, at = [], 0
    while at < len(whole):
        length = 6 + struct.unpack_from(">L", whole, at + 2)[0]
        parts.append(whole[at : at + length])
        at += length
    return parts


def test_a_request_in_ever_so_many_whole_pdus_is_ended_after_the_idle_time(line: Wired) -> None:
    sending = _one_by_one(line, _pdus(find(1, bytes(400), 2)), 0.02)
    began = time.monotonic()
    assert _ending(line.channel.next_request).how == "timeout"
    assert 0.35 < time.monotonic() - began < 0.8
    line.peer.close()
    sending.join()


def test_however_busily_a_request_comes_it_is_ended_after_the_idle_time() -> None:
    limits = LIMITS.model_copy(update={"idle_timeout": 0.05, "identifier": 1 << 20})
    with wired(limits) as line:
        sending = threading.Thread(target=line.peer.send, args=(find(1, bytes(200_000), 1),), daemon=True)
        sending.start()
        assert _ending(line.channel.next_request).how == "timeout"
        line.peer.connection.shutdown(socket.SHUT_RDWR)
        sending.join()


def test_the_idle_time_of_a_request_runs_where_it_says_nothing_more() -> None:
    with wired(LIMITS.model_copy(update={"idle_timeout": 0.1, "pdu_timeout": 5})) as patient:
        patient.send(find(1, bytes(100), 50)[:-62])
        began = time.monotonic()
        assert _ending(patient.channel.next_request).how == "timeout"
        assert time.monotonic() - began < 1


def test_an_instance_may_take_longer_than_the_idle_time_while_it_comes(line: Wired) -> None:
    command, data = _pdus(store(1, b""))[:1], _pdus(store(1, bytes(60), 2))[-30:]
    sending = _one_by_one(line, command + data, 0.02)
    began = time.monotonic()
    assert line.channel.next_request().sink is not None
    assert time.monotonic() - began > 0.5
    sending.join()


# ------------------------------------------------------------------ C-CANCEL


def test_a_cancel_of_the_request_that_is_served_is_seen(line: Wired) -> None:
    line.send(find(9))
    line.channel.next_request()
    assert not line.channel.is_cancelled(9)
    line.send(cancel(9))
    assert settles(lambda: line.channel.is_cancelled(9))


def test_a_cancel_of_a_request_that_waits_is_kept_for_it(line: Wired) -> None:
    line.send(find(1), find(2), cancel(2))
    line.channel.next_request()
    assert not line.channel.is_cancelled(1)
    assert line.channel.next_request().command.message_id == 2
    assert line.channel.is_cancelled(2)


def test_a_cancel_that_came_too_late_does_not_meet_a_later_request_of_that_id(line: Wired) -> None:
    line.send(find(1))
    line.channel.next_request()
    line.send(cancel(1))
    assert settles(lambda: line.channel.is_cancelled(1))
    line.send(find(1))
    line.channel.next_request()
    assert not line.channel.is_cancelled(1)


def test_cancels_that_come_too_late_never_hide_one_that_does_not(line: Wired) -> None:
    for message_id in range(1, 31):
        line.send(find(message_id))
        line.channel.next_request()
        assert not line.channel.is_cancelled(message_id)
        line.send(cancel(message_id), cancel(message_id + 500))
        assert settles(lambda number=message_id: line.channel.is_cancelled(number))
    assert len(line.channel._cancelled) <= 2, "they are remembered for ever"


def test_a_flood_of_cancels_does_not_keep_us_from_working(line: Wired) -> None:
    line.send(find(1))
    line.channel.next_request()
    line.send(cancel(7) * 400)
    began = time.monotonic()
    line.channel.is_cancelled(1)
    assert time.monotonic() - began < 0.1
    assert line.channel._transport.end > line.channel._transport.start, "a look took them all"


def test_a_look_notices_that_the_peer_has_gone(line: Wired) -> None:
    line.send(find(1))
    line.channel.next_request()
    line.peer.close()
    assert _ending(lambda: line.channel.is_cancelled(1)).how == "lost"


# ------------------------------------------------------------------ responses to requests of ours


def _expect(channel: Channel, message_id: int = 4, sop_instance: str = "1.2.3") -> None:
    channel.expect(Field.C_STORE_RSP, message_id, sop_instance)


def test_the_status_of_the_response_is_waited_for(line: Wired) -> None:
    _expect(line.channel)
    line.send_soon(stored(4, status=0xB000))
    assert line.channel.wait_status(_soon()) == 0xB000


def test_no_response_in_time_is_none(line: Wired) -> None:
    _expect(line.channel)
    began = time.monotonic()
    assert line.channel.wait_status_for(0.1) is None
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("named", ["", "1.2.3"])
def test_a_response_may_leave_the_instance_out(named: str, line: Wired) -> None:
    _expect(line.channel)
    line.send(stored(4, named))
    assert line.channel.wait_status(_soon()) == 0x0000


def test_success_for_another_instance_is_none(line: Wired) -> None:
    _expect(line.channel)
    line.send(stored(4, "1.2.4"))
    assert line.channel.wait_status(_soon()) == 0x0119


@pytest.mark.parametrize("answers", [3, 5])
def test_a_response_to_another_message_ends_it(answers: int, line: Wired) -> None:
    _expect(line.channel)
    line.send(stored(answers))
    assert _ending(lambda: line.channel.wait_status(_soon())).how == "protocol error"


def test_a_second_response_ends_it(line: Wired) -> None:
    _expect(line.channel)
    line.send(stored(4), stored(4))
    assert line.channel.wait_status(_soon()) == 0
    assert _ending(lambda: line.channel.is_cancelled(1)).how == "protocol error"


@pytest.mark.parametrize("serving", [True, False])
def test_half_a_response_is_borne_for_the_pdu_time_and_no_longer_than_was_asked(serving: bool, line: Wired) -> None:
    if serving:
        line.send(find(1))
        line.channel.next_request()
    _expect(line.channel)
    line.send(stored(4)[:20])
    assert line.channel.wait_status_for(0.05) is None
    assert _ending(lambda: line.channel.wait_status(_soon())).parting == PROVIDER_ABORT


def test_requests_that_pile_up_before_a_response_end_it(line: Wired) -> None:
    line.send(find(1))
    line.channel.next_request()
    _expect(line.channel)
    line.send(echo(2), echo(3))
    assert "pile up" in _ending(lambda: line.channel.wait_status(_soon())).why


def test_one_request_may_come_before_a_response(line: Wired) -> None:
    line.send(find(1))
    line.channel.next_request()
    _expect(line.channel)
    line.send(echo(2), stored(4))
    assert line.channel.wait_status(_soon()) == 0
    assert line.channel.next_request().command.message_id == 2


# ------------------------------------------------------------------ out


def test_what_is_held_goes_before_the_next_write(line: Wired) -> None:
    line.channel.hold([b"pending"])
    assert line.channel.holds
    assert line.is_silent()
    line.channel.write([b"final"])
    assert line.peer.connection.recv(100) == b"pendingfinal"
    assert not line.channel.holds


def test_what_is_held_goes_before_the_next_instance(line: Wired) -> None:
    line.channel.hold([b"pending"])
    line.channel.write_instance(CT, store_request(1, raw.CT, "1.2"), memoryview(b"ab"))
    assert line.peer.connection.recv(7) == b"pending"
    assert line.peer.message().data == b"ab"


def test_any_number_of_buffers_is_written_in_order(line: Wired) -> None:
    numbers = [struct.pack(">L", n) for n in range(5000)]
    line.channel.write(list(numbers))
    received = b""
    while len(received) < 20_000:
        received += line.peer.connection.recv(65536)
    assert received == b"".join(numbers)


def test_a_message_keeps_to_the_peers_maximum() -> None:
    with wired(peer_max_pdu=1024) as line:
        whole = flat(line.channel.message(FIND, bytes(3000), bytes(5000)))
    assert all(len(part) <= 1024 + 6 for part in _pdus(whole))


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 5000), max_size=12),
    peer_max_pdu=st.sampled_from([1018, 1024, 4096, 16384, 0]),
    in_one_piece=st.booleans(),
)
def test_an_instance_arrives_as_it_is_in_however_many_pieces_it_comes(
    sizes: list[int], peer_max_pdu: int, in_one_piece: bool
) -> None:
    data = random.Random(len(sizes)).randbytes(sum(sizes))
    pieces, at = [], 0
    for size in sizes:
        pieces.append(memoryview(data)[at : at + size])
        at += size
    with wired(peer_max_pdu=peer_max_pdu) as line:
        line.channel.write_instance(
            CT, store_request(1, raw.CT, "1.2"), memoryview(data) if in_one_piece else iter(pieces)
        )
        parts = []
        while True:
            kind, body = line.peer.read()
            assert kind == raw.P_DATA
            assert peer_max_pdu == 0 or len(body) <= peer_max_pdu
            ((context_id, control, fragment),) = raw.values(body)
            assert context_id == CT
            parts += [fragment] if not control & 1 else []
            if control == 2:
                break
        assert b"".join(parts) == data
        assert all(parts if data else parts[:-1]), "an empty fragment"
        assert line.is_silent()


def _breaking_off(after: int) -> Iterator[memoryview]:
    for _ in range(after):
        yield memoryview(bytes(40_000))
    raise OSError("Orthanc ended a file too soon")


def test_a_data_set_that_fails_before_it_begins_leaves_the_association_as_it_was(line: Wired) -> None:
    with pytest.raises(OSError, match="too soon"):
        line.channel.write_instance(CT, store_request(1, raw.CT, "1.2"), _breaking_off(0))
    assert line.is_silent()
    line.send(echo())
    line.channel.next_request()


def test_a_data_set_that_breaks_off_aborts_the_association(line: Wired) -> None:
    ending = _ending(lambda: line.channel.write_instance(CT, store_request(1, raw.CT, "1.2"), _breaking_off(2)))
    assert (ending.how, ending.parting) == ("aborted", USER_ABORT)
    assert "too soon" in ending.why


def test_a_peer_that_does_not_read_is_given_up(line: Wired) -> None:
    began = time.monotonic()
    assert _ending(lambda: line.channel.write([bytes(8 << 20)])).how == "timeout"
    assert time.monotonic() - began < 2


def test_it_is_known_whether_the_peer_still_takes_what_was_written(line: Wired) -> None:
    line.channel.write([bytes(100_000)])
    line.channel.is_draining()
    assert not line.channel.is_draining()
    line.peer.connection.recv(200_000)
    assert line.channel.is_draining()


# ------------------------------------------------------------------ orders from another thread


def test_an_order_ends_a_wait(line: Wired) -> None:
    order = Ending("aborted", "the server is shutting down", USER_ABORT)
    threading.Timer(0.05, line.channel.order, (order,)).start()
    began = time.monotonic()
    assert _ending(line.channel.next_request) is order
    assert time.monotonic() - began < 0.3


def test_an_order_ends_the_next_write(line: Wired) -> None:
    order = Ending("aborted", "the server is shutting down", USER_ABORT)
    line.channel.order(order)
    assert _ending(lambda: line.channel.write([b"x"])) is order
    assert line.is_silent()


def test_a_sink_is_told_of_an_order(line: Wired) -> None:
    line.send(store()[:-3])
    threading.Timer(0.05, line.channel.order, (Ending("aborted", "bye"),)).start()
    _ending(line.channel.next_request)
    (sink,) = line.sinks
    assert isinstance(sink, MemorySink)
    assert sink.outcome == "abandoned"
