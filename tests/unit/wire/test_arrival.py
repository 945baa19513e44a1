"""A connection before its association: whole, sound requests become offers, all else is turned away with its answer."""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config import LimitsSettings
from proxy.dicom.messages import Offer
from proxy.wire.arrival import Arrival, TurnedAway, Wait
from tests.support import raw
from tests.unit.wire.serving import chunks

LIMITS = LimitsSettings(association_request=4096)
_FROM = ("192.0.2.7", 4711)
Pair = tuple[Arrival, socket.socket]


def _arrived(address: tuple[object, ...] = _FROM, tls: ssl.SSLContext | None = None) -> Pair:
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    return Arrival(ours, address, tls, LIMITS), theirs


@pytest.fixture
def pair() -> Iterator[Pair]:
    arrival, theirs = _arrived()
    yield arrival, theirs
    arrival.close()
    theirs.close()


def _turned_away(arrival: Arrival) -> TurnedAway:
    with pytest.raises(TurnedAway) as turned:
        arrival.read()
    return turned.value


def test_a_whole_request_is_an_offer_of_its_peer(pair: Pair) -> None:
    arrival, theirs = pair
    theirs.sendall(raw.request("PROXY", calling="WS1", max_pdu=32768))
    offer = arrival.read()
    assert isinstance(offer, Offer)
    assert (offer.called_aet, offer.calling_aet, offer.max_pdu) == ("PROXY", "WS1", 32768)
    assert (offer.peer.address, offer.peer.port, offer.peer.tls) == (*_FROM, False)


@settings(max_examples=50, deadline=None)
@given(size=st.integers(1, 80))
def test_it_may_come_in_any_pieces_and_nothing_waits_for_them(size: int) -> None:
    arrival, theirs = _arrived()
    whole = raw.request("PROXY")
    for piece in list(chunks(whole, size))[:-1]:
        theirs.sendall(piece)
        assert arrival.read() is Wait.READABLE
    theirs.sendall(whole[-((len(whole) - 1) % size + 1) :])
    assert isinstance(arrival.read(), Offer)
    arrival.close()
    theirs.close()


def test_silence_is_waited_for(pair: Pair) -> None:
    assert pair[0].read() is Wait.READABLE


def test_the_deadline_is_the_time_for_a_request_from_now_on() -> None:
    began = time.monotonic()
    arrival, theirs = _arrived()
    assert began + LIMITS.request_timeout <= arrival.deadline <= time.monotonic() + LIMITS.request_timeout
    arrival.close()
    theirs.close()


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        (("::ffff:192.0.2.7", 1, 0, 0), "192.0.2.7"),
        (("2001:db8::1", 1, 0, 0), "2001:db8::1"),
        (("fe80::1%2", 1, 0, 2), "fe80::1%2"),
        (("192.0.2.7", 1), "192.0.2.7"),
    ],
)
def test_an_address_is_told_as_it_is_and_not_as_the_socket_wraps_it(address: tuple[object, ...], plain: str) -> None:
    arrival, theirs = _arrived(address)
    assert arrival.peer.address == plain
    arrival.close()
    theirs.close()


_ABORTS = {
    "an unknown PDU": (raw.pdu(9, bytes(4)), 1),
    "P-DATA": (raw.message(1, raw.command(raw.C_ECHO)), 2),
    "a release request": (raw.RELEASE, 2),
    "a request of 4 GiB": (struct.pack(">BxL", 1, 0xFFFFFFFF), 6),
    "a request longer than allowed": (struct.pack(">BxL", 1, 4097), 6),
    "a request that is cut short": (raw.pdu(1, bytes(10)), 6),
    "items that overrun": (raw.request("PROXY", presentation=raw.item(0x20, b"", 900)), 6),
    "something behind the request": (raw.request("PROXY") + b"x", 2),
    "an HTTP request": (b"GET / HTTP/1.1\r\n\r\n", 1),
}


@pytest.mark.parametrize("name", _ABORTS)
def test_what_is_no_request_is_aborted(name: str, pair: Pair) -> None:
    arrival, theirs = pair
    sent, reason = _ABORTS[name]
    theirs.sendall(sent)
    turned = _turned_away(arrival)
    assert turned.why
    assert turned.answer == raw.pdu(raw.ABORT, bytes((0, 0, 2, reason)))


_REJECTS = {
    "another protocol version": (raw.request("PROXY", version=2), (1, 2, 2)),
    "another application context": (raw.request("PROXY", application=raw.item(0x10, b"1.2.3")), (1, 1, 2)),
    "no calling AE title": (raw.request("PROXY", calling=b" " * 16), (1, 1, 3)),
    "a called AE title of other characters": (raw.request(b"PR\xd6XY".ljust(16)), (1, 1, 7)),
}


@pytest.mark.parametrize("name", _REJECTS)
def test_a_request_that_cannot_be_met_is_rejected(name: str, pair: Pair) -> None:
    arrival, theirs = pair
    sent, (result, source, reason) = _REJECTS[name]
    theirs.sendall(sent)
    assert _turned_away(arrival).answer == raw.pdu(raw.RJ, bytes((0, result, source, reason)))


def test_an_announced_length_is_refused_before_a_byte_of_it_is_there(pair: Pair) -> None:
    arrival, theirs = pair
    theirs.sendall(struct.pack(">BxL", 1, 1 << 30))
    assert "announces" in _turned_away(arrival).why
    assert len(arrival._received) == 6


def test_nothing_is_answered_to_who_is_gone(pair: Pair) -> None:
    arrival, theirs = pair
    theirs.sendall(raw.request("PROXY")[:50])
    theirs.close()
    turned = _turned_away(arrival)
    assert turned.answer == b""
    assert "middle" in turned.why


def test_who_says_nothing_at_all_is_not_worth_a_word(pair: Pair) -> None:
    arrival, theirs = pair
    theirs.close()
    turned = _turned_away(arrival)
    assert (turned.why, turned.answer) == ("", b"")


def test_an_abort_needs_no_answer(pair: Pair) -> None:
    arrival, theirs = pair
    theirs.sendall(raw.pdu(raw.ABORT, bytes(4)))
    turned = _turned_away(arrival)
    assert (turned.answer, turned.why) == (b"", "aborted before any request")


def test_a_reset_connection_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname())
        ours, address = listening.accept()
    arrival = Arrival(ours, address, None, LIMITS)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    assert "connection lost" in _turned_away(arrival).why
    arrival.close()


# ---- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def contexts(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server that asks for certificates, and a client that has one."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    server.verify_mode = ssl.CERT_OPTIONAL
    authority.issue_cert("localhost").configure_cert(server)
    authority.issue_cert("ws1.example", common_name="WS1").configure_cert(client)
    for context in (server, client):
        authority.configure_trust(context)
    return server, client


def _read_on(arrival: Arrival) -> Offer:
    """As the front door does, but for its selector."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        found = arrival.read()
        if isinstance(found, Offer):
            return found
        time.sleep(0.001)
    raise AssertionError("no offer")


def test_the_handshake_is_part_of_it_and_tells_the_peers_certificate(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, client = contexts
    arrival, theirs = _arrived(tls=server)

    def ask() -> None:
        with client.wrap_socket(theirs, server_hostname="localhost") as secured:
            secured.sendall(raw.request("PROXY"))
            secured.recv(1)

    asking = threading.Thread(target=ask)
    asking.start()
    offer = _read_on(arrival)
    assert (offer.peer.tls, offer.peer.certificate_name, len(offer.peer.certificate_sha256)) == (True, "WS1", 64)
    arrival.close()
    asking.join()


def test_half_a_handshake_is_waited_for(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    arrival, theirs = _arrived(tls=contexts[0])
    theirs.sendall(bytes.fromhex("16030100c8"))
    assert arrival.read() is Wait.READABLE
    arrival.close()
    theirs.close()


@pytest.mark.parametrize("sent", [raw.request("PROXY"), b"GET / HTTP/1.1\r\n\r\n", bytes(200)])
def test_who_does_not_speak_tls_is_told_of(sent: bytes, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    arrival, theirs = _arrived(tls=contexts[0])
    theirs.sendall(sent)
    turned = _turned_away(arrival)
    assert turned.why.startswith("TLS handshake failed")
    assert turned.answer == b""
    arrival.close()
    theirs.close()


def test_a_handshake_that_has_to_write_first_is_told(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """It has more to say than the connection takes at once."""
    arrival, theirs = _arrived(tls=contexts[0])

    class Full:
        def do_handshake(self) -> None:
            raise ssl.SSLWantWriteError

    secured, arrival.socket = arrival.socket, Full()  # type: ignore[assignment]
    arrival._shake_hands = arrival.socket.do_handshake  # type: ignore[method-assign]
    assert arrival.read() is Wait.WRITABLE
    secured.close()
    theirs.close()
