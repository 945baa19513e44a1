"""The stock wire's C-STORE sub-operations: no association is waited for without end, no wrong answer is a success."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import trustme

from proxy.config import LimitsSettings
from proxy.dicom.messages import Outgoing
from proxy.errors import DestinationUnreachable, NoAcceptableContext, ReceiverLost
from proxy.scp.stock.receiver import StockReceiver, open_receiver
from tests.support import raw
from tests.unit.wire.acceptor import Acceptor, accepting, acceptors, store_one, until_released
from tests.unit.wire.serving import settles

LIMITS = LimitsSettings(connect_timeout=1, response_timeout=0.5)
Listen = Callable[..., Acceptor]


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listen]:
    monkeypatch.setattr("proxy.scp.stock.receiver._RELEASE_TIMEOUT", 1.5)
    before = set(threading.enumerate())
    with acceptors() as listen:
        yield listen
    lasting = lambda: [one for one in set(threading.enumerate()) - before if not one.daemon]  # noqa: E731
    assert settles(lambda: not lasting()), f"threads stay behind: {lasting()}"


def _open(port: int, tls: ssl.SSLContext | None = None, originator: tuple[str, int] | None = None) -> StockReceiver:
    receiver = open_receiver(
        ("127.0.0.1", port),
        calling_aet="PROXY",
        called_aet="DEST",
        contexts=[(raw.CT, (raw.EXPLICIT, raw.IMPLICIT)), (raw.SECONDARY_CAPTURE, (raw.IMPLICIT,))],
        originator=originator,
        limits=LIMITS,
        tls=tls,
    )
    assert isinstance(receiver, StockReceiver)
    return receiver


def _outgoing(**more: object) -> Outgoing:
    names = {"sop_class_uid": raw.CT, "sop_instance_uid": "1.2.3", "transfer_syntax": raw.EXPLICIT}
    return Outgoing(**{**names, "data": memoryview(b"pixels"), **more})  # type: ignore[arg-type]


def _closed(receiver: StockReceiver) -> float:
    """Seconds that closing it takes."""
    began = time.monotonic()
    receiver.close()
    return time.monotonic() - began


@pytest.mark.parametrize("status", [0x0000, 0xA700])
def test_an_instance_is_stored_and_the_association_released(status: int, listen: Listen) -> None:
    receiver = _open(listen(accepting(lambda peer: store_one(peer, status))).port)
    receiver.begin(_outgoing())
    assert receiver.finish() == status
    assert _closed(receiver) < 2


def test_it_names_instance_originator_and_carries_the_pieces_in_order(listen: Listen) -> None:
    requests: list[raw.Message] = []

    def script(peer: raw.Peer) -> None:
        requests.append(peer.message())
        until_released(peer)

    receiver = _open(listen(accepting(script)).port, originator=("WS1", 7))
    receiver.begin(_outgoing(data=iter([memoryview(b"pix"), memoryview(b"els ")])))
    assert settles(lambda: bool(requests))
    receiver.close()
    (request,) = requests
    assert (request.data, request.command[0x00001000], request.command[0x00001030]) == (b"pixels ", b"1.2.3", b"WS1")
    assert raw.us(request.command[0x00001031]) == 7


def test_it_takes_what_was_accepted(listen: Listen) -> None:
    receiver = _open(listen(accepting(until_released)).port)
    assert receiver.accepts(raw.CT) == [raw.EXPLICIT]
    assert receiver.accepts(raw.SECONDARY_CAPTURE) == [raw.IMPLICIT]
    assert receiver.accepts("1.2.3") == []
    with pytest.raises(NoAcceptableContext):
        receiver.begin(_outgoing(transfer_syntax=raw.BIG_ENDIAN))
    receiver.close()


def _answering(answers: int, instance: str) -> Callable[[raw.Peer], None]:
    def script(peer: raw.Peer) -> None:
        request = peer.message()
        peer.send(raw.message(request.context_id, raw.store_response(raw.CT, instance, answers=answers)))
        until_released(peer)

    return script


def test_success_for_another_instance_is_none(listen: Listen) -> None:
    receiver = _open(listen(accepting(_answering(1, "1.2.4"))).port)
    receiver.begin(_outgoing())
    assert receiver.finish() == 0x0119
    receiver.close()


def test_a_response_to_another_message_is_none_at_all(listen: Listen) -> None:
    receiver = _open(listen(accepting(_answering(9, "1.2.3"))).port)
    receiver.begin(_outgoing())
    with pytest.raises(ReceiverLost, match="in time"):
        receiver.finish()
    assert _closed(receiver) < 3


def test_a_look_ends_when_it_was_told_to(listen: Listen) -> None:
    receiver = _open(listen(accepting(until_released)).port)
    receiver.begin(_outgoing())
    began = time.monotonic()
    assert receiver.finish(timeout=0.1) is None
    assert time.monotonic() - began < 0.4
    receiver.close()


_BEFORE_RELEASE: dict[str, Callable[[raw.Peer], object]] = {
    "aborts at once": lambda peer: peer.send(raw.pdu(raw.ABORT, bytes(4))),
    "vanishes": lambda peer: peer.reset(),
    "closes": lambda peer: peer.close(),
    "stops in the middle of a PDU": lambda peer: peer.send(raw.RELEASED[:3]) and peer.ending(10),
    "never answers": lambda peer: peer.ending(10),
}


def _opened(listen: Listen, name: str) -> StockReceiver:
    """Open, and then the destination does what is named."""
    opened = threading.Event()
    receiver = _open(listen(accepting(lambda peer: opened.wait(5) and _BEFORE_RELEASE[name](peer))).port)
    opened.set()
    return receiver


@pytest.mark.parametrize("name", _BEFORE_RELEASE)
def test_closing_ends_whatever_the_destination_does(name: str, listen: Listen) -> None:
    assert _closed(_opened(listen, name)) < 4


@pytest.mark.parametrize("name", ["aborts at once", "vanishes", "closes"])
def test_a_destination_that_has_gone_is_lost(name: str, listen: Listen) -> None:
    receiver = _opened(listen, name)

    def store() -> None:
        receiver.begin(_outgoing())
        receiver.finish()

    with pytest.raises(ReceiverLost):
        store()
    assert _closed(receiver) < 4


def _why(call: Callable[[], object]) -> str:
    with pytest.raises(DestinationUnreachable) as failed:
        call()
    return failed.value.comment


@pytest.mark.parametrize(
    ("answer", "words"),
    [(raw.pdu(raw.RJ, bytes((0, 1, 1, 3))), "DEST rejected"), (raw.pdu(raw.ABORT, bytes(4)), "no association")],
)
def test_a_destination_that_does_not_let_us_in_is_told(answer: bytes, words: str, listen: Listen) -> None:
    acceptor = listen(accepting(lambda peer: peer.ending(3), answer))  # or pynetdicom may see it close first
    assert words in _why(lambda: _open(acceptor.port))


def test_an_unknown_host_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr("proxy.scp.stock.receiver.AE.associate", unknown)
    assert _why(lambda: _open(104)) == "DEST: Name or service not known"


def test_over_tls_it_is_the_same_and_an_unknown_certificate_is_refused(listen: Listen) -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    assert "no association" in _why(lambda: _open(listen(accepting(), server).port, client))
    authority.configure_trust(client)
    receiver = _open(listen(accepting(store_one), server).port, client)
    receiver.begin(_outgoing())
    assert receiver.finish() == 0
    receiver.close()
