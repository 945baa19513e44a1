"""Connections that are over wait for their peers, but neither for ever nor for everything."""

import selectors
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from proxy.wire.departures import Departures

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as selector:
        yield selector


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    pairs = [socket.socketpair() for _ in range(5)]
    yield pairs
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


def _turn(selector: selectors.BaseSelector, timeout: float = 1.0) -> None:
    for key, _ in selector.select(timeout):
        key.data()


def _is_closed(one: socket.socket) -> bool:
    return one.fileno() < 0


def test_a_connection_stays_until_its_peer_closes(selector: selectors.BaseSelector, pairs: list[Pair]) -> None:
    departures = Departures(selector, seconds=5, bound=10)
    ours, theirs = pairs[0]
    departures.add(ours)
    theirs.sendall(b"still talking")
    _turn(selector)
    assert (len(departures), _is_closed(ours)) == (1, False)
    theirs.close()
    _turn(selector)
    assert (len(departures), _is_closed(ours)) == (0, True)
    assert not selector.get_map()


def test_a_peer_that_resets_is_gone_as_well(selector: selectors.BaseSelector) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
    departures = Departures(selector, seconds=5, bound=10)
    departures.add(ours)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    _turn(selector)
    assert _is_closed(ours)


def test_time_is_up_for_the_oldest_first(selector: selectors.BaseSelector, pairs: list[Pair]) -> None:
    departures = Departures(selector, seconds=5, bound=10)
    assert departures.deadline() is None
    began = time.monotonic()
    for ours, _ in pairs[:2]:
        departures.add(ours)
    deadline = departures.deadline()
    assert deadline is not None
    assert began + 5 <= deadline <= time.monotonic() + 5
    departures.expire(deadline - 0.001)
    assert len(departures) == 2
    departures.expire(deadline)
    assert [_is_closed(ours) for ours, _ in pairs[:2]] == [True, False]
    departures.expire(time.monotonic() + 6)
    assert departures.deadline() is None


def test_past_their_number_the_oldest_is_cut_off(selector: selectors.BaseSelector, pairs: list[Pair]) -> None:
    departures = Departures(selector, seconds=5, bound=3)
    for ours, _ in pairs:
        departures.add(ours)
    assert [_is_closed(ours) for ours, _ in pairs] == [True, True, False, False, False]


def test_one_that_never_stops_talking_is_cut_off(selector: selectors.BaseSelector, pairs: list[Pair]) -> None:
    departures = Departures(selector, seconds=5, bound=3)
    ours, theirs = pairs[0]
    departures.add(ours)
    theirs.setblocking(False)
    sent = 0
    while not _is_closed(ours):
        assert sent < 4 << 20, "it is listened to for ever"
        try:
            sent += theirs.send(bytes(65536))
        except BlockingIOError:
            _turn(selector)
    assert sent >= 1 << 20


def test_one_that_is_dead_already_is_not_waited_for(selector: selectors.BaseSelector, pairs: list[Pair]) -> None:
    departures = Departures(selector, seconds=5, bound=3)
    ours, _ = pairs[0]
    ours.close()
    departures.add(ours)
    assert (len(departures), departures.drop_oldest()) == (0, False)


def test_a_wake_for_nothing_and_one_too_late_do_no_harm(selector: selectors.BaseSelector, pairs: list[Pair]) -> None:
    """As when two of a turn's connections are closed by the first of its calls."""
    departures = Departures(selector, seconds=5, bound=3)
    ours, theirs = pairs[0]
    departures.add(ours)
    (key,) = selector.get_map().values()
    key.data()
    assert len(departures) == 1
    departures.close()
    key.data()
    assert (len(departures), _is_closed(ours)) == (0, True)
    theirs.settimeout(1)
    assert theirs.recv(1) == b""
