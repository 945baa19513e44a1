"""Whole associations over a real socket, against the fast server with a fake application behind it.

`Fuzzed.target` sends what a requestor might say with some of its bytes wrong; `Conversation` says only what is right,
in any order and in any pieces, and knows what must be answered.
"""

import contextlib
import struct
import time
from collections.abc import Iterator, Sequence

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    rule,
    run_state_machine_as_test,
)

from proxy.dicom.messages import Counts, Outgoing, Request, Response
from proxy.errors import ReceiverLost
from tests.fuzz import pieces
from tests.fuzz.exploring import Outcome
from tests.fuzz.pieces import wrong
from tests.fuzz.targets import Target
from tests.support import raw
from tests.unit.wire.serving import SHORT, Bytes, Serving, resources, serving, settles

LIMITS = SHORT.model_copy(update={"idle_timeout": 5, "pdu_timeout": 5, "request_timeout": 5, "pending_connections": 64})
ECHO, FIND, GET, CT = 1, 3, 5, 7
CONTEXTS: Sequence[raw.Context] = (
    (ECHO, raw.VERIFICATION, (raw.IMPLICIT,)),
    (FIND, raw.STUDY_FIND, (raw.IMPLICIT,)),
    (GET, raw.STUDY_GET, (raw.IMPLICIT,)),
    (CT, raw.CT, (raw.EXPLICIT,)),
)
_PENDING = 0xFF00
_AT_ONCE = 50  # conversations; the clock is looked at after these
_LOOK_AFTER = 40  # inputs between two looks whether all is as it was


def _find(request: Request) -> Iterator[Response]:
    """As many matches as the identifier says, or as there are until it is cancelled."""
    for _ in range(int(request.identifier.rstrip() or b"0") if request.identifier.rstrip().isdigit() else 2):
        if request.is_cancelled():
            yield Response(0xFE00)
            return
        yield Response(_PENDING, Bytes(b"match "))
    yield Response(0)


def _get(request: Request) -> Iterator[Response]:
    """Three instances; failures are counted."""
    assert request.receiver is not None
    counts = [0, 0]
    for number in range(3):
        if not request.receiver.accepts(raw.CT):
            counts[1] += 1
            continue
        request.receiver.begin(Outgoing(raw.CT, f"1.2.{number}", raw.EXPLICIT, memoryview(bytes(3000))))
        status = request.receiver.finish()
        if status is None:
            raise ReceiverLost("no answer")
        counts[status != 0] += 1
        yield Response(_PENDING, counts=Counts(2 - number, counts[0], counts[1]))
    yield Response(0xB000 if counts[1] else 0, counts=Counts(None, counts[0], counts[1]))


@contextlib.contextmanager
def fuzzed() -> Iterator["Fuzzed"]:
    """A server to be fuzzed; afterwards nothing of it is left."""
    before = resources()
    with serving(LIMITS) as served:
        served.application.answers |= {"C-FIND": _find, "C-GET": _get}
        yield Fuzzed(served)
    assert settles(lambda: all(now <= then for now, then in zip(resources(), before, strict=True))), (
        f"threads and descriptors are {resources()} instead of {before}"
    )


class Fuzzed:
    """A server under fire."""

    def __init__(self, served: Serving) -> None:
        self.served = served
        self._runs = 0
        self.look()
        self._before = resources()

    @property
    def target(self) -> Target:
        """Bytes that are sent to it."""
        return Target("association", self._run, wrong_conversations(), cost=4)

    def look(self) -> None:
        """Others are served, and nothing stays of those that have gone."""
        assert raw.echo(self.served.port, "PROXY") < 2, "others wait"
        assert settles(lambda: self.served.server.live == 0), "associations stay open"

    def _run(self, data: bytes) -> None:
        """The first byte says in what pieces the others are sent, the second how the peer leaves."""
        step, leaves = (data[0] * 16 + 1, data[1] % 3) if len(data) > 1 else (1, 0)
        peer = raw.Peer.connect(self.served.port)
        try:
            for at in range(2, len(data), step):
                if not peer.send(data[at : at + step]):
                    break
            if leaves == 0:
                peer.reset()
                return
            with contextlib.suppress(OSError):
                peer.connection.shutdown(1)
            check_answer(_all_of(peer))
        finally:
            peer.close()
            self._runs += 1
            if self._runs % _LOOK_AFTER == 0:
                self.look()
                assert settles(lambda: resources() <= self._before), "threads or descriptors stay"
                self._check_application()

    def _check_application(self) -> None:
        application = self.served.application
        assert all(len(association.endings) == 1 for association in application.associations)
        assert all(sink.outcome for sink in application.sinks), "a sink that was neither finished nor abandoned"
        for gone in (application.associations, application.sinks, application.requests, application.turned):
            gone.clear()


def _all_of(peer: raw.Peer) -> bytes:
    """What comes until the other side closes."""
    received = bytearray()
    peer.connection.settimeout(4)
    with contextlib.suppress(ConnectionError):
        while more := peer.connection.recv(1 << 16):
            received += more
    return bytes(received)


def check_answer(received: bytes) -> None:
    """Whatever was said to it, what a server says is in order: whole PDUs, an acceptance first, an end last."""
    kinds, messages, at = [], 0, 0
    while at < len(received):
        assert len(received) - at >= 6, "half a PDU"
        kind, length = struct.unpack_from(">BxL", received, at)
        body = received[at + 6 : at + 6 + length]
        if len(body) < length and kind == raw.P_DATA:  # cut off by the abort of a peer that had gone
            return
        assert len(body) == length, "half a PDU"
        kinds.append(kind)
        if kind == raw.P_DATA:
            found = list(raw.values(body))
            assert sum(6 + len(fragment) for _, _, fragment in found) == length
            assert {number for number, _, _ in found} <= {ECHO, FIND, GET, CT}
            messages += sum(control == 3 for _, control, _ in found)
        at += 6 + length
    assert kinds[:1] in ([], [raw.AC], [raw.RJ], [raw.ABORT])
    assert set(kinds[1:-1]) <= {raw.P_DATA}
    assert kinds[1:][-1:] in ([], [raw.P_DATA], [raw.RELEASE_RP], [raw.ABORT])


@st.composite
def wrong_conversations(draw: st.DrawFn) -> bytes:
    """A request and what follows it, mutated, behind the two bytes that say how it is sent."""
    said = st.one_of(
        st.sampled_from((raw.RELEASE, raw.pdu(raw.ABORT, bytes(4)))),
        st.builds(_message, st.sampled_from((ECHO, FIND, GET, CT, 99)), pieces.command_sets()),
        st.builds(_message, st.just(FIND), st.just(_command(raw.C_FIND, raw.STUDY_FIND)), st.binary(max_size=40)),
        st.builds(_message, st.just(GET), st.just(_command(raw.C_GET, raw.STUDY_GET)), st.just(b"x ")),
        st.builds(_message, st.just(CT), st.just(raw.store_command(raw.CT, "1.2.3")), st.binary(max_size=3000)),
        st.just(raw.message(CT, raw.store_response(raw.CT, "1.2.0", answers=1))),
        pieces.data_pdus(),
        pieces.small_pdus,
    )
    asked = draw(st.one_of(st.just(raw.request("PROXY", CONTEXTS, roles=[raw.CT])), pieces.association_requests()))
    follows = st.lists(said, max_size=5).map(b"".join)
    whole = draw(wrong(st.just(asked))) + draw(wrong(follows)) if draw(st.booleans()) else asked + draw(follows)
    return draw(st.binary(min_size=2, max_size=2)) + whole


def _command(field: int, sop_class: str, message_id: int = 1) -> bytes:
    return raw.command(field, message_id=message_id, sop_class=sop_class, data=True)


def _message(context_id: int, command: bytes, data: bytes | None = None, size: int = 16372) -> bytes:
    return raw.message(context_id, command, data, size)


class Conversation(RuleBasedStateMachine):
    """A requestor that does everything right, if not always as one would expect."""

    served: Serving  # set by whoever runs it

    peers = Bundle("peers")

    def __init__(self) -> None:
        super().__init__()
        self._number = 0

    @initialize(target=peers)
    def first(self) -> raw.Peer:
        return self._associated()

    @rule(target=peers)
    def associate(self) -> raw.Peer:
        return self._associated()

    def _associated(self) -> raw.Peer:
        peer = raw.Peer.connect(self.served.port).associate("PROXY", CONTEXTS, roles=[raw.CT])
        assert set(peer.accepted) == {ECHO, FIND, GET, CT}
        return peer

    def _next(self) -> int:
        self._number = self._number % 0xFFFF + 1
        return self._number

    @rule(peer=peers, count=st.integers(1, 4), step=st.integers(1, 200))
    def echo(self, peer: raw.Peer, count: int, step: int) -> None:
        """One after the other, or several at once."""
        ids = [self._next() for _ in range(count)]
        whole = b"".join(raw.message(ECHO, raw.command(raw.C_ECHO, message_id=number)) for number in ids)
        _in_pieces(peer, whole, step)
        for number in ids:
            answer = peer.message()
            assert (answer.status, raw.us(answer.command[0x00000120])) == (0, number)

    @rule(peer=peers, matches=st.integers(0, 40), size=st.integers(1, 60), cancel=st.booleans())
    def find(self, peer: raw.Peer, matches: int, size: int, cancel: bool) -> None:
        number = self._next()
        said = raw.message(FIND, _command(raw.C_FIND, raw.STUDY_FIND, number), f"{matches:<4}".encode(), size)
        if cancel:
            said += raw.message(FIND, raw.command(raw.C_CANCEL, answers=number, sop_class=None))
        peer.send(said)
        answers = peer.answers()
        assert {raw.us(answer.command[0x00000120]) for answer in answers} == {number}
        final = answers[-1].status
        assert (final, len(answers)) == (0, matches + 1) or (cancel and final == 0xFE00 and len(answers) <= matches + 1)

    @rule(
        peer=peers,
        length=st.integers(0, 20_000),
        size=st.integers(1, 16372),
        uid=st.sampled_from(("1.2.3", "2.25.7", "../x", "")),
    )
    def store(self, peer: raw.Peer, length: int, size: int, uid: str) -> None:
        self.served.application.sinks.clear()
        size = max(size, length // 200)
        data = bytes(range(256)) * (length // 256) + bytes(length % 256)
        peer.send(raw.message(CT, raw.store_command(raw.CT, uid, message_id=self._next()), data, size))
        answer = peer.message()
        if not uid or "/" in uid:
            assert answer.status == 0x0117
            return
        assert (answer.status, answer.command[0x00001000]) == (0, uid.encode())
        (sink,) = self.served.application.sinks
        assert (sink.outcome, sink.data) == ("finished", data)

    @rule(peer=peers, statuses=st.lists(st.sampled_from((0, 0, 0xA700)), min_size=3, max_size=3))
    def get(self, peer: raw.Peer, statuses: list[int]) -> None:
        number = self._next()
        peer.send(raw.message(GET, _command(raw.C_GET, raw.STUDY_GET, number), b"x "))
        for expected, status in enumerate(statuses):
            request = self._next_store(peer)
            uid = request.command[0x00001000].decode()
            assert (uid, request.data) == (f"1.2.{expected}", bytes(3000))
            answers = raw.us(request.command[0x00000110])
            peer.send(raw.message(CT, raw.store_response(raw.CT, uid, answers=answers, status=status)))
        final = peer.answers()[-1]
        failed = sum(status != 0 for status in statuses)
        assert final.status == (0xB000 if failed else 0)
        assert (raw.us(final.command[0x00001021]), raw.us(final.command[0x00001022])) == (3 - failed, failed)

    @staticmethod
    def _next_store(peer: raw.Peer) -> raw.Message:
        while (message := peer.message()).field != raw.C_STORE:
            assert message.status == _PENDING
        return message

    @rule(peer=consumes(peers))
    def release(self, peer: raw.Peer) -> None:
        assert peer.release() == "released"

    @rule(peer=consumes(peers), politely=st.booleans())
    def abort(self, peer: raw.Peer, politely: bool) -> None:
        peer.send(raw.pdu(raw.ABORT, bytes(4)))
        peer.close() if politely else peer.reset()

    @rule(peer=consumes(peers), part=st.integers(1, 79))
    def vanish(self, peer: raw.Peer, part: int) -> None:
        """Somewhere within a message."""
        peer.send(raw.message(FIND, _command(raw.C_FIND, raw.STUDY_FIND), b"2 ")[:part])
        peer.close()

    @rule(peer=consumes(peers), what=st.sampled_from((raw.pdu(9, b""), raw.message(99, b"x"), b"\4\0\xff\xff\xff\xff")))
    def misbehave(self, peer: raw.Peer, what: bytes) -> None:
        peer.send(what)
        assert peer.ending(5, closing=False).startswith("aborted 2/")
        peer.close()

    def teardown(self) -> None:
        for _, peer in self.names_to_values.items() if isinstance(self.names_to_values, dict) else ():
            if isinstance(peer, raw.Peer):
                peer.close()
        assert raw.echo(self.served.port, "PROXY") < 2
        assert settles(lambda: self.served.server.live == 0), "associations stay open"


def converse(served: Serving, seconds: float, first_seed: int) -> Outcome:
    """Have conversations until time is up, or one goes wrong; the error tells its steps."""
    began = time.monotonic()
    machine = type("Conversation", (Conversation,), {"served": served})
    held, number, error = 0, first_seed, ""
    while not error and time.monotonic() - began < seconds:
        try:
            run_state_machine_as_test(
                seed(number)(machine),
                settings=settings(
                    max_examples=_AT_ONCE,
                    stateful_step_count=25,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except Exception as wrong:
            error = " ".join([f"{type(wrong).__name__}: {wrong}", *getattr(wrong, "__notes__", ())])
        held, number = held + _AT_ONCE, number + 1
    return Outcome("conversations", held, time.monotonic() - began, None, error)


def _in_pieces(peer: raw.Peer, data: bytes, step: int) -> None:
    for at in range(0, len(data), step):
        peer.send(data[at : at + step])
