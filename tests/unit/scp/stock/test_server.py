"""The stock wire lets in whom the application lets in, tells how it ended, and stops whatever its peers do."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from proxy.dicom.messages import Refusal, Request, Response
from tests.support import raw
from tests.unit.scp.stock.serving import Serving, serving
from tests.unit.wire.serving import SHORT, resources, settles

LONG = SHORT.model_copy(update={"idle_timeout": 60, "request_timeout": 60})
_FIND = ((1, raw.STUDY_FIND, (raw.IMPLICIT,)),)


def _ask(peer: raw.Peer) -> None:
    peer.send(raw.message(1, raw.command(raw.C_FIND, sop_class=raw.STUDY_FIND, data=True), b"identifier"))


def test_an_echo_is_answered_on_a_socket_that_was_there_before(served: Serving) -> None:
    assert raw.echo(served.port, "PROXY") < 2
    (offer,) = served.application.offers
    assert (offer.calling_aet, offer.called_aet, offer.peer.address) == ("RAW", "PROXY", "127.0.0.1")
    assert served.application.ending() == ("released", "")


def test_whom_the_application_refuses_is_told_why(served: Serving) -> None:
    served.application.verdict = Refusal(1, 1, 3, "who are you?")
    with pytest.raises(raw.Ended, match="rejected 1/1/3"):
        raw.Peer.connect(served.port).associate("PROXY")
    assert served.server.live == 0


@pytest.mark.parametrize(("last", "how"), [(raw.pdu(raw.ABORT, bytes(4)), "aborted"), (b"", "lost")])
def test_its_end_is_told(last: bytes, how: str, served: Serving) -> None:
    for _ in range(5):  # which of its threads is first is a matter of chance
        peer = raw.Peer.connect(served.port).associate("PROXY")
        peer.send(last)
        peer.close()
    assert {served.application.ending(index)[0] for index in range(5)} == {how}


def test_silence_is_borne_for_the_idle_time(served: Serving) -> None:
    peer = raw.Peer.connect(served.port).associate("PROXY")
    began = time.monotonic()
    assert peer.ending(5, closing=False) == "aborted 0/0"
    assert time.monotonic() - began > SHORT.idle_timeout * 0.8
    peer.close()


def test_a_connection_without_a_request_is_closed_in_time(served: Serving) -> None:
    assert raw.Peer.connect(served.port).ending(5) in ("closed", "aborted 2/0")


def test_open_associations_are_counted_and_nothing_stays_behind(served: Serving) -> None:
    before = resources()
    peers = [raw.Peer.connect(served.port).associate("PROXY") for _ in range(6)]
    assert settles(lambda: served.server.live == 6)
    for number, peer in enumerate(peers):
        (peer.release, peer.reset, peer.close)[number % 3]()
    assert settles(lambda: served.server.live == 0)
    assert settles(lambda: resources()[0] == before[0])


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
        assert peer.release() == "released"
        draining.join(5)
        assert not draining.is_alive()
        with pytest.raises(ConnectionRefusedError):
            raw.Peer.connect(served.port)


def test_an_idle_association_is_not_drained_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.scp.stock.server._LULL", 0.2)
    with serving(LONG) as served:
        peer = raw.Peer.connect(served.port).associate("PROXY")
        heard: list[str] = []
        hearing = threading.Thread(target=lambda: (heard.append(peer.ending(5, closing=False)), peer.close()))
        hearing.start()
        began = time.monotonic()
        served.server.drain(20)
        assert time.monotonic() - began < 5
        hearing.join()
        assert heard == ["aborted 0/0"]


def test_peers_stuck_within_a_pdu_do_not_keep_it_from_stopping() -> None:
    """pynetdicom waits in a read for the rest, and neither looks at an order nor lets the process end."""
    before = set(threading.enumerate())
    with serving(LONG) as served:
        associated = raw.Peer.connect(served.port).associate("PROXY")
        associated.send(raw.message(1, raw.command(raw.C_ECHO))[:30])
        asking = raw.Peer.connect(served.port)
        asking.send(raw.request("PROXY")[:30])
        silent = raw.Peer.connect(served.port)
        assert settles(lambda: len(set(threading.enumerate()) - before) >= 6)
        stopping = threading.Thread(target=served.server.stop, daemon=True)
        stopping.start()
        stopping.join(8)
        assert not stopping.is_alive(), "it does not stop"
        lasting = lambda: [one for one in set(threading.enumerate()) - before if not one.daemon]  # noqa: E731
        assert settles(lambda: not lasting()), "threads stay behind that the process would wait for"
        for peer in (associated, asking, silent):
            peer.close()


def test_peers_that_stay_do_not_keep_it_from_stopping() -> None:
    with serving(LONG) as served:
        peer = raw.Peer.connect(served.port).associate("PROXY")
        began = time.monotonic()
        served.server.stop()
        assert time.monotonic() - began < 5
        assert served.application.ending() == ("aborted", "")
        assert peer.ending(1) == "aborted 0/0"
        peer.close()


def test_several_listeners_are_served() -> None:
    with serving() as served:
        assert raw.echo(served.port, "PROXY") < 2
        served.server.stop()
        served.server.stop()  # once more does no harm
    with socket.create_server(("127.0.0.1", served.port)):
        pass  # the port is free again
