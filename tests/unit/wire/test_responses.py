"""Responses go out whole and in order; which of them go together is a matter of time."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from proxy.dicom.messages import Counts, Response
from proxy.wire.channel import Message
from proxy.wire.command import Command, Field
from proxy.wire.responses import FindResponses, RetrieveResponses, SingleResponses
from proxy.wire.transport import Buffer
from tests.support import raw
from tests.unit.wire.serving import Bytes, flat
from tests.unit.wire.wired import CONTEXTS, FIND, GET, Wired, wired

PENDING = 0xFF00


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Written:
    """Stands before a channel and notes what is written together."""

    line: Wired
    writes: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.message, self._held = self.line.channel.message, list[Buffer]()

    def write(self, buffers: list[Buffer]) -> None:
        self.writes.append(flat(self._held + buffers))
        self._held = []

    def hold(self, buffers: list[Buffer]) -> None:
        self._held += buffers

    @property
    def holds(self) -> bool:
        return bool(self._held)

    def statuses(self) -> list[list[int]]:
        """Those of the responses in each write."""
        return [_statuses(self.line, write) for write in self.writes]


def _statuses(line: Wired, written: bytes) -> list[int]:
    line.channel.write([written, raw.RELEASE])
    found = []
    try:
        while True:
            found.append(line.peer.message().status)
    except raw.Ended:
        return found


@pytest.fixture
def channel() -> Iterator[Written]:
    with wired() as line:
        yield Written(line)


def _request(what: Field = Field.C_FIND_RQ) -> Message:
    context = CONTEXTS[FIND if what is Field.C_FIND_RQ else GET]
    return Message(Command(what, 5, True, context.abstract_syntax), context, b"")


def _match(length: int = 20) -> Response:
    return Response(PENDING, Bytes(bytes(length)))


# ------------------------------------------------------------------ one by one


def test_a_response_is_written_at_once_and_answers_its_request(channel: Written) -> None:
    SingleResponses(channel, _request()).write(Response(0xA700, comment="no room", offending_tags=(0x00100020,)))  # type: ignore[arg-type]
    channel.line.channel.write([channel.writes[0]])
    answer = channel.line.peer.message()
    assert (answer.context_id, answer.field, answer.status, answer.data) == (FIND, 0x8020, 0xA700, None)
    assert raw.us(answer.command[0x00000120]) == 5
    assert answer.command[0x00000902] == b"no room"


def test_an_identifier_is_encoded_for_its_context(channel: Written) -> None:
    asked: list[str] = []

    class Identifier:
        def encode(self, transfer_syntax: str) -> bytes:
            asked.append(transfer_syntax)
            return b"encoded "

    SingleResponses(channel, _request()).write(Response(PENDING, Identifier()))  # type: ignore[arg-type]
    channel.line.channel.write([channel.writes[0]])
    assert channel.line.peer.message().data == b"encoded "
    assert asked == [CONTEXTS[FIND].transfer_syntax]


# ------------------------------------------------------------------ C-FIND


def test_matches_that_come_fast_go_together_with_the_final_response(channel: Written) -> None:
    responses = FindResponses(channel, _request(), clock=Clock())  # type: ignore[arg-type]
    for _ in range(10):
        responses.write(_match())
    assert not channel.writes
    responses.write(Response(0))
    assert channel.statuses() == [[PENDING] * 10 + [0]]


def test_a_batch_is_written_when_it_is_long_enough(channel: Written) -> None:
    responses = FindResponses(channel, _request(), clock=Clock())  # type: ignore[arg-type]
    for _ in range(7):
        responses.write(_match(10_000))
    assert [len(write) >= 64 * 1024 for write in channel.writes] == [True]


def test_a_batch_is_written_before_it_is_too_much_for_one_call(channel: Written) -> None:
    responses = FindResponses(channel, _request(), clock=Clock())  # type: ignore[arg-type]
    for _ in range(1000):
        responses.write(_match(2))
    assert len(channel.writes) >= 2


def test_no_match_waits_for_a_slow_source(channel: Written) -> None:
    clock = Clock()
    responses = FindResponses(channel, _request(), clock=clock)  # type: ignore[arg-type]
    for _ in range(3):
        clock.now += 0.01
        responses.write(_match())
    assert len(channel.writes) == 3


def test_no_match_waits_longer_than_a_moment(channel: Written) -> None:
    clock = Clock()
    responses = FindResponses(channel, _request(), clock=clock)  # type: ignore[arg-type]
    for _ in range(15):
        clock.now += 0.0015  # just not slow
        responses.write(_match())
    assert len(channel.writes) == 1


def test_a_command_set_that_is_kept_for_matches_is_no_other_responses(channel: Written) -> None:
    responses = FindResponses(channel, _request(), clock=Clock())  # type: ignore[arg-type]
    responses.write(_match())
    responses.write(Response(0xFF01, Bytes(b"ab")))
    responses.write(Response(PENDING, Bytes(b"ab"), comment="of its own"))
    responses.write(Response(PENDING, Bytes(b"ab"), counts=Counts(3)))
    responses.write(_match())
    responses.write(Response(0))
    channel.line.channel.write([channel.writes[0]])
    answers = channel.line.peer.answers()
    assert [answer.status for answer in answers] == [PENDING, 0xFF01, PENDING, PENDING, PENDING, 0]
    assert [0x00000902 in answer.command for answer in answers] == [False, False, True, False, False, False]
    assert [0x00001020 in answer.command for answer in answers] == [False, False, False, True, False, False]
    assert [answer.data is not None for answer in answers] == [True] * 5 + [False]


# ------------------------------------------------------------------ C-GET and C-MOVE


def _pending(remaining: int) -> Response:
    return Response(PENDING, counts=Counts(remaining, 10 - remaining))


def _retrieve(channel: Written, clock: Clock, *, rides: bool, interval: float = 1.0) -> RetrieveResponses:
    return RetrieveResponses(channel, _request(Field.C_GET_RQ), interval=interval, rides=rides, clock=clock)  # type: ignore[arg-type]


@pytest.mark.parametrize("rides", [False, True])
def test_pendings_are_thinned_out_in_time_and_the_final_one_is_not(rides: bool, channel: Written) -> None:
    clock = Clock()
    responses = _retrieve(channel, clock, rides=rides)
    for remaining in range(9, -1, -1):
        clock.now += 0.4
        responses.write(_pending(remaining))
        channel.write([])  # the next sub-operation
    responses.write(Response(0, counts=Counts(None, 10)))
    told = [status for write in channel.statuses() for status in write]
    assert told == [PENDING] * 3 + [0]


def test_a_pending_of_a_move_goes_out_at_once(channel: Written) -> None:
    clock = Clock()
    responses = _retrieve(channel, clock, rides=False)
    clock.now += 1
    responses.write(_pending(9))
    assert len(channel.writes) == 1


def test_a_pending_of_a_get_rides_before_what_comes_next(channel: Written) -> None:
    clock = Clock()
    responses = _retrieve(channel, clock, rides=True)
    clock.now += 1
    responses.write(_pending(9))
    assert not channel.writes
    channel.write([b""])
    assert len(channel.writes[0]) > 100


def test_a_pending_that_still_rides_goes_out_with_the_next_heartbeat(channel: Written) -> None:
    clock = Clock()
    responses = _retrieve(channel, clock, rides=True)
    clock.now += 1
    responses.write(_pending(9))
    responses.write(_pending(8))  # nothing was sent since: the receiver is slow, and the requestor must hear of us
    assert channel.statuses() == [[PENDING, PENDING]]


def test_with_no_interval_there_is_a_pending_after_each(channel: Written) -> None:
    responses = _retrieve(channel, Clock(), rides=False, interval=0)
    for remaining in (2, 1, 0):
        responses.write(_pending(remaining))
    assert len(channel.writes) == 3


def test_counts_are_those_of_the_moment(channel: Written) -> None:
    clock = Clock()
    responses = _retrieve(channel, clock, rides=False)
    responses.write(_pending(9))
    clock.now += 2
    responses.write(_pending(5))
    channel.line.channel.write([channel.writes[0]])
    command = channel.line.peer.message().command
    assert (raw.us(command[0x00001020]), raw.us(command[0x00001021])) == (5, 5)
