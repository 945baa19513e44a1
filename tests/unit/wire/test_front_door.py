"""Only whole, admitted requests become associations; the silent, slow and broken cost a descriptor for a while."""

import errno
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme

from proxy.config import LimitsSettings
from proxy.dicom.messages import Admission, Offer, Refusal
from proxy.wire.front_door import FrontDoor
from proxy.wire.transport import transport_for
from tests.support import raw
from tests.unit.wire.serving import SHORT, FakeApplication, resources, settles

LIMITS = SHORT.model_copy(update={"request_timeout": 0.4, "pending_connections": 5})
_FULL = OSError(errno.EMFILE, "Too many open files")


@dataclass
class Door:
    """A front door, what came through it, and the port before it."""

    application: FakeApplication
    port: int
    door: FrontDoor
    through: list[socket.socket] = field(default_factory=list)

    def knock(self, data: bytes = b"") -> raw.Peer:
        peer = raw.Peer.connect(self.port)
        peer.send(data)
        return peer


class Exhausted:
    """A listening socket in a process that has no descriptors left, until `relieve`."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self.asked = 0
        self.full = True

    def accept(self) -> Any:
        self.asked += 1
        if self.full:
            raise _FULL
        return self._listening.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listening, name)


def _opened(
    listening: Any, limits: LimitsSettings = LIMITS, tls: ssl.SSLContext | None = None, fails: Exception | None = None
) -> Door:
    application = FakeApplication()
    through: list[socket.socket] = []

    def admitted(connected: socket.socket, offer: Offer, admission: Admission) -> None:
        if fails is not None:
            raise fails
        through.append(connected)

    door = FrontDoor([(listening, tls)], application, limits, admitted)
    port = listening.getsockname()[1]
    door.start()
    return Door(application, port, door, through)


@pytest.fixture
def door() -> Iterator[Door]:
    opened = _opened(socket.create_server(("127.0.0.1", 0)))
    yield opened
    opened.door.stop()
    for connected in opened.through:
        connected.close()


def _turned_away(door: Door, count: int = 1) -> list[str]:
    door.application.wait(lambda: len(door.application.turned) >= count)
    return [why for _, why in door.application.turned]


def test_an_admitted_request_comes_through_with_its_connection(door: Door) -> None:
    peer = door.knock(raw.request("PROXY", calling="WS1"))
    assert settles(lambda: bool(door.through))
    (offer,) = door.application.offers
    assert offer.calling_aet == "WS1"
    door.through[0].send(b"served")
    assert peer.connection.recv(10) == b"served"
    peer.close()


def test_a_refused_request_is_told_so_and_not_told_of_twice(door: Door) -> None:
    door.application.verdict = Refusal(1, 1, 3, "who are you?")
    peer = door.knock(raw.request("PROXY"))
    assert peer.ending(2) == "rejected 1/1/3"
    assert not door.application.turned
    assert not door.through


def test_a_broken_request_is_aborted_and_told_of(door: Door) -> None:
    peer = door.knock(raw.pdu(9, bytes(4)))
    assert peer.ending(2) == "aborted 2/1"
    ((address, why),) = [(peer.address, why) for peer, why in door.application.turned]
    assert address == "127.0.0.1"
    assert "unknown PDU" in why


def test_the_silent_and_the_slow_are_closed_when_their_time_is_over(door: Door) -> None:
    began = time.monotonic()
    silent, slow = door.knock(), door.knock(raw.request("PROXY")[:50])
    slow_ends = threading.Thread(target=slow.drip, args=(bytes(100), 0.05))
    slow_ends.start()
    assert silent.ending(2) == "closed"
    assert 0.3 < time.monotonic() - began < 1.5
    assert _turned_away(door, 2) == ["no complete A-ASSOCIATE-RQ in time"] * 2
    slow_ends.join()


def test_past_their_number_the_oldest_silent_connection_goes(door: Door) -> None:
    silent = [door.knock() for _ in range(LIMITS.pending_connections + 1)]
    assert silent[0].ending(0.3) == "closed"
    assert silent[1].ending(0.02) == "open"
    assert "too many connections without a request" in _turned_away(door)
    for peer in silent:
        peer.close()


def test_a_crowd_of_silent_connections_keeps_nobody_out(door: Door) -> None:
    silent = [door.knock() for _ in range(30)]
    door.knock(raw.request("PROXY"))
    assert settles(lambda: bool(door.through), 0.3)
    for peer in silent:
        peer.close()


def test_an_error_of_ours_costs_the_connection_that_brought_it_up_and_no_other(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(offer: Offer) -> Admission:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(door.application, "admit", fail)
        assert door.knock(raw.request("PROXY")).ending(2) == "aborted 2/0"
    assert _turned_away(door) == ["internal error, see the log"]
    assert "ZeroDivisionError" in caplog.text
    assert len(caplog.records) == 1
    door.knock(raw.request("PROXY"))
    assert settles(lambda: bool(door.through))


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError(), ValueError("a bug")])
def test_an_association_that_cannot_be_served_is_rejected_and_over(error: Exception) -> None:
    door = _opened(socket.create_server(("127.0.0.1", 0)), fails=error)
    try:
        assert door.knock(raw.request("PROXY")).ending(2) == "rejected 2/3/2"
        how, why = door.application.ending()
        assert (how, str(error) in why) == ("aborted", True)
    finally:
        door.door.stop()


def test_a_parting_connection_is_seen_out(door: Door) -> None:
    peer = door.knock(raw.request("PROXY"))
    assert settles(lambda: bool(door.through))
    transport = transport_for(door.through.pop(), send_timeout=1)
    transport.send_parting(raw.RELEASED)
    door.door.see_out(transport)
    peer.send(b"more that nobody reads")
    assert peer.ending(0.2) == "released", "the last PDU was lost"
    assert transport._socket.fileno() >= 0, "it is closed on the peer, who has not closed yet"
    peer.close()
    assert settles(lambda: transport._socket.fileno() < 0)


def test_a_parting_connection_whose_peer_stays_is_closed_in_time(door: Door) -> None:
    door.knock(raw.request("PROXY"))
    assert settles(lambda: bool(door.through))
    transport = transport_for(door.through.pop(), send_timeout=1)
    door.door.see_out(transport)
    assert settles(lambda: transport._socket.fileno() < 0, 1.5)


def test_what_is_left_to_say_arrives_before_it_stops(door: Door) -> None:
    peer = door.knock(raw.request("PROXY"))
    assert settles(lambda: bool(door.through))
    transport = transport_for(door.through.pop(), send_timeout=1)
    transport.send_parting(raw.pdu(raw.ABORT, bytes(4)))
    door.door.see_out(transport)
    closing = threading.Timer(0.05, peer.close)
    closing.start()
    door.door.stop()
    assert transport._socket.fileno() < 0
    closing.join()


def test_while_refusing_everybody_is_told_to_come_later(door: Door) -> None:
    door.door.refuse()
    assert door.knock(raw.request("PROXY")).ending(2) == "rejected 2/3/1"
    assert not door.application.offers
    assert "shutting down" in _turned_away(door)


def test_when_it_stops_all_is_closed_and_who_had_not_asked_is_told() -> None:
    before = resources()
    door = _opened(socket.create_server(("127.0.0.1", 0)), LIMITS.model_copy(update={"request_timeout": 30}))
    peers = [door.knock(), door.knock(raw.request("PROXY")[:30])]
    assert settles(lambda: len(door.door._arrivals) == 2)
    door.door.stop()
    assert [peer.ending(1) for peer in peers] == ["rejected 2/3/1"] * 2
    with pytest.raises(ConnectionRefusedError):
        raw.Peer.connect(door.port)
    for peer in peers:
        peer.close()
    assert resources() == before


def test_a_connection_handed_back_after_the_end_is_closed() -> None:
    door = _opened(socket.create_server(("127.0.0.1", 0)))
    door.door.stop()
    ours, theirs = socket.socketpair()
    door.door.see_out(transport_for(ours, send_timeout=1))
    assert ours.fileno() < 0
    theirs.close()


def test_it_can_be_stopped_before_it_has_begun() -> None:
    door = FrontDoor([], FakeApplication(), LIMITS, lambda *_: None)  # type: ignore[arg-type]
    door.stop()


def test_a_peer_that_resets_before_it_is_accepted_is_nobody(door: Door) -> None:
    for _ in range(20):
        raw.Peer.connect(door.port).reset()
    door.knock(raw.request("PROXY"))
    assert settles(lambda: bool(door.through))


def test_without_descriptors_it_gives_up_who_has_not_asked_and_pauses() -> None:
    listening = Exhausted(socket.create_server(("127.0.0.1", 0)))
    listening.full = False
    door = _opened(listening, LIMITS.model_copy(update={"request_timeout": 30}))
    try:
        silent = door.knock()
        assert settles(lambda: len(door.door._arrivals) == 1)
        listening.full, listening.asked = True, 0
        peer = door.knock(raw.request("PROXY"))
        assert silent.ending(1) == "closed"
        assert _turned_away(door) == ["out of file descriptors"]
        time.sleep(0.25)
        assert listening.asked < 6, "it asks without a pause"
        listening.full = False
        assert settles(lambda: bool(door.through)), "it does not accept again"
        peer.close()
    finally:
        door.door.stop()


def test_a_connection_that_cannot_even_be_prepared_is_closed(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(connected: socket.socket, *_: object) -> None:
        raise OSError(errno.EINVAL, "gone")

    with monkeypatch.context() as patch:
        patch.setattr("proxy.wire.front_door.Arrival", fail)
        assert door.knock().ending(1) in ("closed", "reset")
    door.knock(raw.request("PROXY"))
    assert settles(lambda: bool(door.through))


def test_busy_processes_leave_the_next_connection_to_an_idle_one(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("proxy.wire.front_door.time.sleep", slept.append)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    busy = [0]
    door = FrontDoor([(listening, None)], FakeApplication(), LIMITS, lambda *_: None, lambda: busy[0])
    door.start()
    for count in (0, 2, 100):
        busy[0] = count
        peer = raw.Peer.connect(port)
        assert settles(lambda: bool(door._arrivals))
        peer.close()
        assert settles(lambda: not door._arrivals)
    door.stop()
    waits = [seconds for seconds in slept if seconds != 0.01]  # of `settles`
    assert waits == [0.001, 0.003]


def test_nobody_waits_who_hands_a_connection_back_while_the_door_is_busy(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    admit = door.application.admit
    monkeypatch.setattr(door.application, "admit", lambda offer: (go_on.wait(5), admit(offer))[1])
    peer = door.knock(raw.request("PROXY"))
    assert settles(lambda: bool(door.door._arrivals))
    ours, theirs = socket.socketpair()
    began = time.monotonic()
    for _ in range(2000):  # more than the pair of sockets holds that wakes it
        assert door.door._wake()
    door.door.see_out(transport_for(ours, send_timeout=1))
    assert time.monotonic() - began < 2
    go_on.set()
    theirs.close()
    assert settles(lambda: ours.fileno() < 0)
    peer.close()


@pytest.fixture(scope="module")
def tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    return server, client


def test_a_stalled_tls_handshake_holds_nobody_up(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, client = tls
    door = _opened(socket.create_server(("127.0.0.1", 0)), LIMITS.model_copy(update={"request_timeout": 2}), server)
    try:
        stalled = [door.knock(bytes.fromhex("1603010200")[:n]) for n in range(5)]
        began = time.monotonic()
        connection = socket.create_connection(("127.0.0.1", door.port), 2)
        with client.wrap_socket(connection, server_hostname="localhost") as secured:
            secured.sendall(raw.request("PROXY"))
            assert settles(lambda: bool(door.through), 1)
            assert time.monotonic() - began < 1
        assert door.application.offers[0].peer.tls
        for peer in stalled:
            peer.close()
    finally:
        door.door.stop()


def test_a_refusal_over_tls_arrives(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, client = tls
    door = _opened(socket.create_server(("127.0.0.1", 0)), tls=server)
    door.application.verdict = Refusal(2, 3, 2, "full")
    try:
        connection = socket.create_connection(("127.0.0.1", door.port), 2)
        with client.wrap_socket(connection, server_hostname="localhost") as secured:
            secured.sendall(raw.request("PROXY"))
            assert secured.recv(100) == struct.pack(">BxL", 3, 4) + bytes((0, 2, 3, 2))
    finally:
        door.door.stop()
