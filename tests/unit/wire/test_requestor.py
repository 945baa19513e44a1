"""Associations that we open: with Move Destinations of every kind, and never longer than they are worth."""

import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from proxy.config import LimitsSettings
from proxy.dicom.messages import Outgoing, Receiver
from proxy.errors import DestinationUnreachable, ReceiverLost
from proxy.wire import open_receiver
from tests.support import raw
from tests.unit.wire.acceptor import BOTH, Acceptor, acceptance, accepting, acceptors, store_one, until_released
from tests.unit.wire.serving import resources, settles

LIMITS = LimitsSettings(connect_timeout=0.6, send_timeout=0.5, response_timeout=0.5)


@pytest.fixture
def listen() -> Iterator[Callable[..., Acceptor]]:
    with acceptors() as listen:
        yield listen


def _open(port: int, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", **more: Any) -> Receiver:
    return open_receiver(
        (host, port),
        calling_aet="PROXY",
        called_aet="DEST",
        contexts=[(raw.CT, (raw.EXPLICIT, raw.IMPLICIT)), (raw.SECONDARY_CAPTURE, (raw.IMPLICIT,))],
        originator=("WS1", 7),
        limits=LIMITS,
        tls=tls,
        **more,
    )


def _outgoing(syntax: str = raw.EXPLICIT) -> Outgoing:
    return Outgoing(raw.CT, "1.2.3", syntax, memoryview(b"pixels"))


def _why(call: Callable[[], object]) -> str:
    with pytest.raises(DestinationUnreachable) as failed:
        call()
    return failed.value.comment


def test_an_instance_is_stored_and_the_association_released(listen: Callable[..., Acceptor]) -> None:
    said: list[object] = []

    def script(peer: raw.Peer) -> None:
        said.append(peer.read()[1])
        peer.send(BOTH)
        store_one(peer)
        said.append(peer.ending(2))

    acceptor = listen(script)
    receiver = _open(acceptor.port, max_pdu=32768)
    assert receiver.accepts(raw.CT) == (raw.EXPLICIT,)
    receiver.begin(_outgoing())
    assert receiver.finish() == 0
    receiver.close()
    acceptor.close()
    request, ending = said
    assert isinstance(request, bytes)
    assert request[4:36] == b"DEST".ljust(16) + b"PROXY".ljust(16)
    assert struct.pack(">L", 32768) in request
    assert ending == "closed"


def test_contexts_that_were_refused_or_never_offered_are_not_used(listen: Callable[..., Acceptor]) -> None:
    answer = acceptance({1: (3, raw.EXPLICIT), 3: (0, raw.EXPLICIT), 5: (0, raw.IMPLICIT)})
    receiver = _open(listen(accepting(until_released, answer)).port)
    assert receiver.accepts(raw.CT) == ()
    assert receiver.accepts(raw.SECONDARY_CAPTURE) == (), "accepted in a syntax that was not proposed for it"
    receiver.close()


@pytest.mark.parametrize(
    ("source", "reason", "words"),
    [(1, 3, "calling AE title not recognized"), (3, 2, "local limit exceeded"), (2, 9, "source 2, reason 9")],
)
def test_a_rejection_is_told_in_words(source: int, reason: int, words: str, listen: Callable[..., Acceptor]) -> None:
    rejection = raw.pdu(raw.RJ, bytes((0, 1, source, reason)))
    assert _why(lambda: _open(listen(accepting(answer=rejection)).port)) == f"DEST rejected: {words}"


_ANSWERS: dict[str, tuple[bytes, str, str]] = {
    "an abort": (raw.pdu(raw.ABORT, bytes(4)), "association aborted", "closed"),
    "an acceptance that is malformed": (raw.pdu(raw.AC, bytes(70)), "malformed acceptance", "aborted 2/6"),
    "another PDU": (raw.pdu(raw.P_DATA, bytes(6)), "PDU type 4 is not expected here", "aborted 2/2"),
    "a PDU of no type": (raw.pdu(99, b""), "unknown PDU type 99", "aborted 2/1"),
    "an acceptance of 4 GiB": (raw.pdu(raw.AC, b"", 0xFFFFFFFF), "a PDU of type 2 announces", "aborted 2/6"),
    "half an acceptance": (BOTH[:50], "no answer in time", "aborted 0/0"),
    "nothing": (b"", "no answer in time", "aborted 0/0"),
}


@pytest.mark.parametrize("name", _ANSWERS)
def test_a_destination_that_answers_wrongly_is_told_and_left(name: str, listen: Callable[..., Acceptor]) -> None:
    answer, words, said = _ANSWERS[name]
    heard: list[str] = []
    acceptor = listen(accepting(lambda peer: heard.append(peer.ending(3)), answer))
    began = time.monotonic()
    assert words in _why(lambda: _open(acceptor.port))
    assert time.monotonic() - began < 2
    acceptor.close()
    assert heard == [said]


def test_a_destination_that_closes_is_told(listen: Callable[..., Acceptor]) -> None:
    assert "closed by the peer" in _why(lambda: _open(listen(lambda peer: peer.read()).port))


def test_where_nobody_listens_it_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert _why(lambda: _open(port)) == "DEST: connection refused"


def test_an_unknown_host_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert _why(lambda: _open(104, host="nobody")) == "DEST: Name or service not known"


def test_a_host_that_drops_packets_costs_the_connect_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(address: object, timeout: float) -> socket.socket:
        assert 0 < timeout <= LIMITS.connect_timeout
        raise TimeoutError

    monkeypatch.setattr("proxy.wire.requestor.socket.create_connection", never)
    assert _why(lambda: _open(104)) == "DEST: connection timed out"


def test_every_failure_leaves_nothing_behind(listen: Callable[..., Acceptor]) -> None:
    before = resources()
    for answer in (raw.pdu(raw.RJ, bytes((0, 1, 1, 1))), raw.pdu(raw.ABORT, bytes(4)), BOTH[:50]):
        acceptor = listen(accepting(lambda peer: peer.ending(3), answer))
        _why(lambda port=acceptor.port: _open(port))
        acceptor.close()
    assert settles(lambda: resources() == before)


# ------------------------------------------------------------------ the end


def _closed(listen: Callable[..., Acceptor], then: Callable[[raw.Peer], object]) -> float:
    """Seconds that closing an association takes whose other end does this."""
    acceptor = listen(accepting(then))
    receiver = _open(acceptor.port)
    began = time.monotonic()
    receiver.close()
    took = time.monotonic() - began
    acceptor.close()
    return took


def test_both_may_release_at_once(listen: Callable[..., Acceptor]) -> None:
    said: list[int] = []

    def script(peer: raw.Peer) -> None:
        peer.send(raw.RELEASE)
        said.append(peer.read()[0])
        said.append(peer.read()[0])
        peer.send(raw.RELEASED)

    assert _closed(listen, script) < 1
    assert said == [raw.RELEASE_RQ, raw.RELEASE_RP]


@pytest.mark.parametrize("answer", [raw.pdu(raw.ABORT, bytes(4)), raw.message(1, b"x") + raw.RELEASED, b"\x63" * 10])
def test_a_release_ends_whatever_comes_instead(answer: bytes, listen: Callable[..., Acceptor]) -> None:
    assert _closed(listen, lambda peer: peer.read() and peer.send(answer)) < 1


def test_a_release_that_nobody_answers_is_not_waited_for_too_long(
    listen: Callable[..., Acceptor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.wire.requestor._RELEASE_TIMEOUT", 0.2)
    heard: list[str] = []
    assert _closed(listen, lambda peer: heard.append(peer.ending(3))) < 1
    assert heard == ["aborted 0/0"]


def test_a_destination_that_vanished_needs_no_release(listen: Callable[..., Acceptor]) -> None:
    assert _closed(listen, lambda peer: peer.reset()) < 1


def test_an_association_that_is_over_gets_its_abort(listen: Callable[..., Acceptor]) -> None:
    heard: list[str] = []
    acceptor = listen(accepting(lambda peer: peer.message() and heard.append(peer.ending(5))))
    receiver = _open(acceptor.port)
    receiver.begin(_outgoing())
    with pytest.raises(ReceiverLost):
        receiver.finish()
    receiver.close()
    acceptor.close()
    assert heard == ["aborted 0/0"]


def test_an_abort_reaches_a_destination_that_still_talks(listen: Callable[..., Acceptor]) -> None:
    """Closing at once would reset the connection, and the abort would be lost with it."""
    heard: list[str] = []

    def script(peer: raw.Peer) -> None:
        peer.message()
        peer.send(raw.message(1, raw.store_response(raw.CT, "1.2.3", answers=99)) + bytes(100_000))
        heard.append(peer.ending(5))

    acceptor = listen(accepting(script))
    receiver = _open(acceptor.port)
    receiver.begin(_outgoing())
    with pytest.raises(ReceiverLost, match="to nothing that we sent"):
        receiver.finish()
    receiver.close()
    acceptor.close()
    assert heard == ["aborted 0/0"]


def test_a_request_from_a_destination_ends_it(listen: Callable[..., Acceptor]) -> None:
    asks = raw.message(1, raw.store_command(raw.CT, "1.2.3"), b"data")
    acceptor = listen(accepting(lambda peer: peer.send(asks) and peer.ending(5)))
    receiver = _open(acceptor.port)
    receiver.begin(_outgoing())
    with pytest.raises(ReceiverLost, match="not SCU"):
        receiver.finish()
    receiver.close()


# ------------------------------------------------------------------ TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def _server(authority: trustme.CA, name: str) -> ssl.SSLContext:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(server)
    return server


def test_over_tls_it_is_the_same(authority: trustme.CA, listen: Callable[..., Acceptor]) -> None:
    client = ssl.create_default_context()
    authority.configure_trust(client)
    acceptor = listen(accepting(store_one), _server(authority, "127.0.0.1"))
    receiver = _open(acceptor.port, client)
    receiver.begin(_outgoing())
    assert receiver.finish() == 0
    receiver.close()


@pytest.mark.parametrize(("name", "trusted"), [("127.0.0.2", True), ("127.0.0.1", False)])
def test_a_wrong_certificate_is_told(
    name: str, trusted: bool, authority: trustme.CA, listen: Callable[..., Acceptor]
) -> None:
    client = ssl.create_default_context()
    (authority if trusted else trustme.CA()).configure_trust(client)
    acceptor = listen(accepting(), _server(authority, name))
    assert _why(lambda: _open(acceptor.port, client)).startswith("DEST: TLS ")


def test_a_destination_without_tls_is_told(listen: Callable[..., Acceptor]) -> None:
    acceptor = listen(lambda peer: peer.send(b"what is this?\r\n"))
    assert _why(lambda: _open(acceptor.port, ssl.create_default_context())).startswith("DEST: TLS ")


def test_a_stalled_handshake_costs_the_connect_time(listen: Callable[..., Acceptor]) -> None:
    acceptor = listen(lambda peer: peer.ending(3))
    began = time.monotonic()
    assert "TLS" in _why(lambda: _open(acceptor.port, ssl.create_default_context()))
    assert time.monotonic() - began < 2
