"""What we ask of others is answered, or given up in time, whatever they do instead."""

import ssl
import time
from collections.abc import Callable, Iterator

import pytest
import trustme
from pynetdicom import AE, evt

from proxy.dicom.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE
from proxy.errors import DestinationUnreachable, NoAcceptableContext, ReceiverLost
from proxy.wire import Rejected, echo, event_report
from proxy.wire.scu import Answer
from tests.support import raw
from tests.unit.wire.acceptor import Acceptor, acceptance, accepting, acceptors, until_released
from tests.unit.wire.serving import Bytes, resources, settles

_VERIFIED = acceptance({1: (0, raw.IMPLICIT)})
Listen = Callable[..., Acceptor]


@pytest.fixture
def listen() -> Iterator[Listen]:
    with acceptors() as listen:
        yield listen


def _echo(acceptor: Acceptor, tls: ssl.SSLContext | None = None) -> Answer:
    address = ("127.0.0.1", acceptor.port)
    return echo(address, calling_aet="PROXY", called_aet="DEST", timeout=0.5, tls=tls)


def _answer(status: int, comment: str = "") -> bytes:
    tail = raw.element(0x00000900, status.to_bytes(2, "little"))
    tail += raw.element(0x00000902, comment) if comment else b""
    return raw.message(1, raw.command(0x8030, answers=1, extra=tail))


def _answering(answer: bytes) -> Callable[[raw.Peer], object]:
    return lambda peer: (peer.message(), peer.send(answer), until_released(peer))


def test_an_echo_is_answered_with_status_and_comment(listen: Listen) -> None:
    acceptor = listen(accepting(_answering(_answer(0x0124, "not you")), _VERIFIED))
    assert _echo(acceptor) == Answer(0x0124, "not you")


def test_an_echo_asks_for_verification_and_nothing_else(listen: Listen) -> None:
    heard: list[object] = []

    def script(peer: raw.Peer) -> None:
        heard.append(peer.read()[1])
        peer.send(_VERIFIED)
        heard.append(peer.message())
        peer.send(_answer(0))
        until_released(peer)

    assert _echo(listen(script)).status == 0
    request, message = heard
    assert isinstance(request, bytes)
    assert raw.context_item(1, raw.VERIFICATION, (raw.IMPLICIT,)) in request
    assert isinstance(message, raw.Message)
    assert (message.field, message.data) == (raw.C_ECHO, None)


def test_a_rejection_says_which(listen: Listen) -> None:
    with pytest.raises(Rejected) as rejected:
        _echo(listen(accepting(answer=raw.pdu(raw.RJ, bytes((0, 1, 1, 7))))))
    assert (rejected.value.result, rejected.value.source, rejected.value.reason) == (1, 1, 7)


def test_an_association_for_nothing_is_told_and_released(listen: Listen) -> None:
    with pytest.raises(NoAcceptableContext):
        _echo(listen(accepting(until_released, acceptance({1: (3, raw.IMPLICIT)}))))


_WRONG: dict[str, Callable[[raw.Peer], object]] = {
    "says nothing": lambda peer: peer.ending(5),
    "answers by half": lambda peer: (peer.message(), peer.send(_answer(0)[:30]), peer.ending(5)),
    "answers a byte at a time": lambda peer: (peer.message(), peer.drip(_answer(0), 0.05)),
    "aborts": lambda peer: peer.send(raw.pdu(raw.ABORT, bytes(4))),
    "releases": lambda peer: (peer.send(raw.RELEASE), peer.ending(5)),
    "vanishes": lambda peer: peer.reset(),
    "answers something else": lambda peer: (peer.send(_answer(0)[:20] + b"\xff" * 500), peer.ending(5)),
    "announces 4 GiB": lambda peer: (peer.send(raw.pdu(raw.P_DATA, b"", 0xFFFFFFFF)), peer.ending(5)),
}


@pytest.mark.parametrize("name", _WRONG)
def test_who_does_not_answer_is_given_up_in_time(name: str, listen: Listen) -> None:
    acceptor = listen(accepting(_WRONG[name], _VERIFIED))
    began = time.monotonic()
    with pytest.raises((ReceiverLost, DestinationUnreachable)):
        _echo(acceptor)
    assert time.monotonic() - began < 2.5


def test_nothing_stays_of_those_that_failed(listen: Listen) -> None:
    before = resources()
    for name in ("answers by half", "aborts", "vanishes"):
        acceptor = listen(accepting(_WRONG[name], _VERIFIED))
        with pytest.raises((ReceiverLost, DestinationUnreachable)):
            _echo(acceptor)
        acceptor.close()
    assert settles(lambda: resources() == before)


def test_an_echo_goes_over_tls(listen: Listen) -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    acceptor = listen(accepting(_answering(_answer(0)), _VERIFIED), server)
    assert _echo(acceptor, client).status == 0


# ------------------------------------------------------------------ reports


@pytest.fixture
def requestor() -> Iterator[tuple[AE, int, list[tuple[int, str, bytes]], dict[str, int]]]:
    """Who asked for storage commitment, on pynetdicom: its port, what it was told, and the status that it answers."""
    told: list[tuple[int, str, bytes]] = []
    answers = {"status": 0x0000}

    def take(event: evt.Event) -> tuple[int, None]:
        request = event.request
        told.append((request.EventTypeID, str(request.AffectedSOPInstanceUID), request.EventInformation.getvalue()))
        return answers["status"], None

    entity = AE("SCU")
    entity.add_supported_context(PUSH_MODEL, scu_role=True, scp_role=True)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, take)])
    yield entity, server.server_address[1], told, answers
    server.shutdown()


def _report(port: int) -> Answer:
    return event_report(
        ("127.0.0.1", port),
        calling_aet="PROXY",
        called_aet="SCU",
        sop_instance_uid=PUSH_MODEL_INSTANCE,
        event_type_id=2,
        information=Bytes(raw.element(0x00081195, raw.uid("1.2.3"))),
        timeout=2,
    )


def test_a_report_is_taken(requestor: tuple[AE, int, list[tuple[int, str, bytes]], dict[str, int]]) -> None:
    _, port, told, answers = requestor
    assert _report(port).status == 0
    assert told == [(2, PUSH_MODEL_INSTANCE, raw.element(0x00081195, raw.uid("1.2.3")))]
    answers["status"] = 0x0110
    assert _report(port).status == 0x0110


def test_who_does_not_take_us_as_scp_gets_no_report() -> None:
    entity = AE("SCU")
    entity.add_supported_context(PUSH_MODEL)
    server = entity.start_server(("127.0.0.1", 0), block=False)
    try:
        with pytest.raises(NoAcceptableContext, match="SCP of storage commitment"):
            _report(server.server_address[1])
    finally:
        server.shutdown()
