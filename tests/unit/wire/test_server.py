"""The server: a thread for each association, none for anybody else, and an end that waits for work and not for talk."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from proxy.dicom.messages import Request, Response
from tests.support import raw
from tests.unit.wire.serving import SHORT, Serving, resources, serving, settles

LONG = SHORT.model_copy(update={"idle_timeout": 30, "pdu_timeout": 30, "request_timeout": 30, "send_timeout": 30})
_FIND = ((1, raw.STUDY_FIND, (raw.IMPLICIT,)),)


def _associated(served: Serving, count: int = 1) -> list[raw.Peer]:
    peers = [raw.Peer.connect(served.port).associate("PROXY") for _ in range(count)]
    assert settles(lambda: served.server.live == count)
    return peers


def test_open_associations_are_counted(served: Serving) -> None:
    peers = _associated(served, 3)
    for peer in peers:
        peer.release()
    assert settles(lambda: served.server.live == 0)


def test_connections_that_ask_for_nothing_get_no_thread(served: Serving) -> None:
    threads = threading.active_count()
    silent = [raw.Peer.connect(served.port) for _ in range(15)]
    assert raw.echo(served.port, "PROXY") < 2
    assert settles(lambda: threading.active_count() == threads)
    for peer in silent:
        peer.close()


def test_many_associations_at_once_are_all_served(served: Serving) -> None:
    peers = _associated(served, 60)
    assert [peer.echo() for peer in peers] == [0] * 60
    for peer in peers:
        peer.close()


def test_an_association_whose_thread_cannot_start_is_rejected(served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(raw.Ended, match="rejected 2/3/2"):
            raw.Peer.connect(served.port).associate("PROXY")
    assert served.server.live == 0
    assert served.application.ending()[1] == "cannot be served: can't start new thread"
    assert raw.echo(served.port, "PROXY") < 2


def test_when_it_stops_everybody_is_told() -> None:
    before = resources()
    with serving(LONG) as served:
        peers = _associated(served, 3)
        began = time.monotonic()
        served.server.stop()
        assert time.monotonic() - began < 2
        assert [peer.ending(1, closing=False) for peer in peers] == ["aborted 0/0"] * 3
        for peer in peers:
            peer.close()
    assert resources() == before


def test_a_thread_that_is_stuck_in_a_write_is_cut_loose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.wire.server._CUT_AFTER", 0.2)
    with serving(LONG) as served:
        served.application.answers["C-FIND"] = _endless
        peer = raw.Peer.connect(served.port, receive_buffer=4096).associate("PROXY", _FIND)
        _ask(peer)
        assert settles(lambda: bool(served.application.requests))
        time.sleep(0.2)  # until the kernel's buffers are full
        began = time.monotonic()
        served.server.stop()
        assert time.monotonic() - began < 2
        assert settles(lambda: served.server.live == 0)
        peer.close()


def _ask(peer: raw.Peer) -> None:
    peer.send(raw.message(1, raw.command(raw.C_FIND, sop_class=raw.STUDY_FIND, data=True), b"identifier"))


def _endless(request: Request) -> Iterator[Response]:
    while True:
        yield Response(0xFF00, _Large())


class _Large:
    def encode(self, transfer_syntax: str) -> bytes:
        return bytes(100_000)


def test_while_it_drains_a_running_request_is_answered_and_nobody_else_gets_in() -> None:
    with serving(LONG) as served:
        go_on = threading.Event()

        def find(request: Request) -> Iterator[Response]:
            go_on.wait(5)
            yield Response(0)

        served.application.answers["C-FIND"] = find
        peer = raw.Peer.connect(served.port).associate("PROXY", _FIND)
        _ask(peer)
        assert settles(lambda: bool(served.application.requests))
        draining = threading.Thread(target=served.server.drain, args=(10,))
        draining.start()
        with pytest.raises(raw.Ended, match="rejected 2/3/1"):
            raw.Peer.connect(served.port).associate("PROXY")
        go_on.set()
        assert peer.message().status == 0
        peer.release()
        draining.join(3)
        assert not draining.is_alive(), "it waits for nobody"
        with pytest.raises(ConnectionRefusedError):
            raw.Peer.connect(served.port)


def test_an_idle_association_is_not_drained_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.wire.server._LULL", 0.2)
    with serving(LONG) as served:
        (peer,) = _associated(served)
        began = time.monotonic()
        served.server.drain(20)
        assert time.monotonic() - began < 3
        assert peer.ending(1, closing=False) == "aborted 0/0"
        assert served.application.ending() == ("aborted", "the server is shutting down")
        peer.close()


def test_an_association_that_works_on_is_not_idle_between_its_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.wire.server._LULL", 0.5)
    with serving(LONG) as served:
        (peer,) = _associated(served)
        draining = threading.Thread(target=served.server.drain, args=(10,))
        draining.start()
        served.application.answers["C-ECHO"] = _slow_echo
        until = time.monotonic() + 1
        while time.monotonic() < until:
            assert peer.echo() == 0
        peer.release()
        draining.join(3)
        assert served.application.ending()[0] == "released"


def _slow_echo(request: Request) -> Iterator[Response]:
    time.sleep(0.1)
    yield Response(0)


def test_drain_takes_no_longer_than_its_time() -> None:
    with serving(LONG) as served:
        go_on = threading.Event()

        def find(request: Request) -> Iterator[Response]:
            while not go_on.wait(0.05):
                yield Response(0xFF00, _Large())
                request.is_cancelled()
            yield Response(0)

        served.application.answers["C-FIND"] = find
        peer = raw.Peer.connect(served.port).associate("PROXY", _FIND)
        _ask(peer)
        reading = threading.Thread(target=peer.ending, args=(5,), daemon=True)
        reading.start()
        began = time.monotonic()
        served.server.drain(0.3)
        assert time.monotonic() - began < 2.5
        go_on.set()
        assert served.application.ending()[0] == "aborted"
        peer.close()
        reading.join()


def test_several_may_share_a_port_and_idle_ones_win() -> None:
    with serving(SHORT, servers=2) as served:
        peers = [raw.Peer.connect(served.port).associate("PROXY") for _ in range(20)]
        assert [peer.echo() for peer in peers] == [0] * 20
        for peer in peers:
            peer.close()


def test_a_stopped_server_leaves_the_shared_port_to_the_others() -> None:
    with serving(SHORT, servers=2) as served:
        served.server.stop()
        assert raw.echo(served.port, "PROXY") < 2


def test_it_knows_how_busy_it_is(served: Serving) -> None:
    go_on = threading.Event()

    def find(request: Request) -> Iterator[Response]:
        go_on.wait(5)
        yield Response(0)

    served.application.answers["C-FIND"] = find
    idle, busy = (raw.Peer.connect(served.port).associate("PROXY", _FIND) for _ in range(2))
    _ask(busy)
    assert settles(lambda: bool(served.application.requests))
    assert served.server._busy() == 1
    go_on.set()
    for peer in (idle, busy):
        peer.connection.shutdown(socket.SHUT_RDWR)
        peer.close()
