"""C-ECHO to others: addresses, and failures in words."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator

import pytest
import trustme
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage, Verification

from proxy.echo import Address, EchoFailed, _rejection, echo
from tests.support import raw
from tests.unit.wire.acceptor import Acceptor, acceptance, accepting, acceptors


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("HARMONY_SCP@127.0.0.1:11112", Address("HARMONY_SCP", "127.0.0.1", 11112)),
        ("MY AE@pacs.example.org:104", Address("MY AE", "pacs.example.org", 104)),
        ("A@[::1]:104", Address("A", "::1", 104)),
    ],
)
def test_an_address_is_read_and_written(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "A@host",
        "@host:104",
        "A@host:0",
        "A@host:65536",
        "A@host:x",
        "A\\B@h:1",
        "A@::1:104",
        "A" * 17 + "@h:1",
    ],
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not AE@host:port, as "):
        Address.parse(text)


@pytest.fixture
def peer() -> Iterator[tuple[AE, Address]]:
    """A node that insists on its AE title, and on that of who calls."""
    entity = AE("PEER")
    entity.require_called_aet = True
    entity.require_calling_aet = ["FRIEND"]
    entity.add_supported_context(Verification)
    statuses = {"status": 0x0000}
    entity.statuses = statuses  # type: ignore[attr-defined]
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_ECHO, lambda event: statuses["status"])]
    )
    yield entity, Address("PEER", "127.0.0.1", server.server_address[1])
    server.shutdown()


def test_success_is_a_duration(peer: tuple[AE, Address]) -> None:
    assert 0 < echo(peer[1], "FRIEND") < 10


def test_a_wrong_called_ae_title_is_told(peer: tuple[AE, Address]) -> None:
    address = Address("WRONG", peer[1].host, peer[1].port)
    with pytest.raises(
        EchoFailed, match=r"association rejected \(permanent\): it is not called 'WRONG' \(-aec\)"
    ) as caught:
        echo(address, "FRIEND")
    assert caught.value.rejected


def test_a_calling_ae_title_that_is_not_known_there_is_told(peer: tuple[AE, Address]) -> None:
    with pytest.raises(EchoFailed, match=r"it does not know our AE title \(-aet\)") as caught:
        echo(peer[1], "STRANGER")
    assert caught.value.rejected


def test_another_status_than_success_is_told(peer: tuple[AE, Address]) -> None:
    peer[0].statuses["status"] = 0x0122  # type: ignore[attr-defined]
    with pytest.raises(EchoFailed, match="C-ECHO was answered with status 0122"):
        echo(peer[1], "FRIEND")


def test_a_port_where_nobody_listens_is_told() -> None:
    with socket.socket() as bound:  # bound but not listening: nobody else can take it
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(EchoFailed, match="connection refused: nothing listens on") as caught:
            echo(Address("A", "127.0.0.1", bound.getsockname()[1]), "FRIEND")
    assert not caught.value.rejected


def test_a_host_without_an_address_is_told() -> None:
    with pytest.raises(EchoFailed, match="unknown host 'no such host'"):
        echo(Address("A", "no such host", 104), "FRIEND")


def test_a_silent_peer_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(EchoFailed, match="takes connections, but broke off or did not answer"):
            echo(Address("A", "127.0.0.1", silent.getsockname()[1]), "FRIEND", timeout=0.2)


def test_a_peer_that_does_not_do_verification_is_told() -> None:
    entity = AE("PEER")
    entity.add_supported_context(CTImageStorage)
    server = entity.start_server(("127.0.0.1", 0), block=False)
    try:
        with pytest.raises(EchoFailed, match="it answers, but does not do Verification"):
            echo(Address("PEER", "127.0.0.1", server.server_address[1]), "FRIEND", timeout=2)
    finally:
        server.shutdown()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((2, 3, 2), "association rejected (transient): it has too many associations"),
        ((2, 3, 1), "association rejected (transient): it is congested"),
        ((1, 1, 1), "association rejected (permanent): it gives no reason"),
        ((1, 1, 9), "association rejected (permanent): source 1, reason 9"),
    ],
)
def test_rejections_in_words(answer: tuple[int, int, int], words: str) -> None:
    assert _rejection(Address("A", "h", 1), *answer) == words


@pytest.fixture
def listen() -> Iterator[Callable[..., Acceptor]]:
    with acceptors() as listen:
        yield listen


def _failure(port: int, tls: ssl.SSLContext | None = None) -> str:
    began = time.monotonic()
    with pytest.raises(EchoFailed) as failed:
        echo(Address("PEER", "127.0.0.1", port), "FRIEND", timeout=0.4, ssl_context=tls)
    assert time.monotonic() - began < 2.5
    return str(failed.value)


_VERIFIED = acceptance({1: (0, raw.IMPLICIT)})
_NO_ANSWER = "the association was accepted, but C-ECHO was not answered"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (accepting(lambda peer: peer.ending(5), _VERIFIED), f"{_NO_ANSWER}: no response within 0.4 s"),
        (accepting(lambda peer: (peer.send(b"\4\0\0"), peer.ending(5)), _VERIFIED), _NO_ANSWER),
        (accepting(lambda peer: peer.send(raw.pdu(raw.ABORT, bytes(4))), _VERIFIED), _NO_ANSWER),
        (accepting(lambda peer: peer.ending(5), _VERIFIED[:40]), "did not answer the association request"),
        (lambda peer: peer.reset(), "broke off"),
    ],
)
def test_a_peer_that_does_not_finish_what_it_says_is_given_up_in_time(
    script: Callable[[raw.Peer], object], words: str, listen: Callable[..., Acceptor]
) -> None:
    assert words in _failure(listen(script).port)


def test_a_comment_is_told_and_cannot_spoil_a_terminal(listen: Callable[..., Acceptor]) -> None:
    tail = raw.element(0x00000900, b"\x24\1") + raw.element(0x00000902, "not\x1b[2J granted")
    answer = raw.message(1, raw.command(0x8030, answers=1, extra=tail))
    acceptor = listen(accepting(lambda peer: (peer.message(), peer.send(answer), peer.read()), _VERIFIED))
    assert _failure(acceptor.port) == "C-ECHO was answered with status 0124: not?[2J granted"


def test_a_certificate_that_is_not_trusted_is_told() -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(server)
    entity = AE("PEER")
    entity.add_supported_context(Verification)
    running = entity.start_server(("127.0.0.1", 0), block=False, ssl_context=server)
    try:
        assert "its certificate was not accepted" in _failure(running.server_address[1], ssl.create_default_context())
    finally:
        running.shutdown()


def test_a_peer_that_does_not_speak_tls_is_told() -> None:
    entity = AE("PEER")
    entity.add_supported_context(Verification)
    running = entity.start_server(("127.0.0.1", 0), block=False)
    try:
        said = _failure(running.server_address[1], ssl.create_default_context())
        assert "TLS" in said
    finally:
        running.shutdown()
