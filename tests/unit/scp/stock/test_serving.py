"""The stock wire hands the same requests to the application as ours, and answers with what it says."""

import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from pynetdicom import AE
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation, UserIdentityNegotiation

from proxy.config import Listener
from proxy.dicom.messages import Admission, Counts, Offer, Outgoing, Refusal, Request, Response, UserIdentity
from proxy.errors import ReceiverLost
from tests.support import raw
from tests.unit.scp.stock.serving import Serving, serving
from tests.unit.wire.serving import SHORT, Bytes, settles

COMMITMENT = "1.2.840.10008.1.20.1"
_CONTEXTS = (
    (1, raw.VERIFICATION, (raw.IMPLICIT,)),
    (3, raw.STUDY_FIND, (raw.IMPLICIT,)),
    (5, raw.STUDY_GET, (raw.IMPLICIT,)),
    (7, raw.CT, (raw.EXPLICIT,)),
    (9, COMMITMENT, (raw.IMPLICIT,)),
    (11, raw.STUDY_MOVE, (raw.IMPLICIT,)),
)
_PENDING = 0xFF00


@pytest.fixture
def peer(served: Serving) -> Iterator[raw.Peer]:
    """Associated, and SCP of CT as well."""
    peer = raw.Peer.connect(served.port).associate("PROXY", _CONTEXTS, roles=[raw.CT])
    yield peer
    peer.close()


def _ask(
    peer: raw.Peer, field: int = raw.C_FIND, sop_class: str = raw.STUDY_FIND, *, context_id: int = 0, size: int = 10
) -> None:
    context_id = context_id or next(number for number, name, _ in _CONTEXTS if name == sop_class)
    extra = raw.element(0x00000600, "DEST ") if field == raw.C_MOVE else b""
    command = raw.command(field, message_id=5, sop_class=sop_class, data=True, extra=extra)
    peer.send(raw.message(context_id, command, b"i" * size))


# ------------------------------------------------------------------ negotiation


def test_contexts_and_roles_are_answered_as_the_application_says(peer: raw.Peer, served: Serving) -> None:
    assert peer.accepted == {number: syntaxes[0] for number, _, syntaxes in _CONTEXTS}
    (offer,) = served.application.offers
    assert [context.context_id for context in offer.contexts] == [number for number, _, _ in _CONTEXTS]
    assert offer.roles == {raw.CT: (True, True)}


def test_contexts_may_be_refused(served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    admit = served.application.admit

    def refuse_ct(offer: Offer) -> Admission | Refusal:
        admission = admit(offer)
        assert isinstance(admission, Admission)
        answers = (*admission.contexts[:3], *(_refused(answer) for answer in admission.contexts[3:]))
        return Admission(admission.association, answers, 32768)

    monkeypatch.setattr(served.application, "admit", refuse_ct)
    peer = raw.Peer.connect(served.port).associate("PROXY", _CONTEXTS)
    assert (set(peer.accepted), peer.max_pdu) == ({1, 3, 5}, 32768)
    peer.close()


def _refused(answer):  # type: ignore[no-untyped-def]
    return type(answer)(answer.context_id, answer.abstract_syntax, answer.transfer_syntax, 3, False, False)


def test_user_identity_and_extended_negotiation_are_told_and_answered(
    served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit = served.application.admit

    def confirm(offer: Offer) -> Admission | Refusal:
        admission = admit(offer)
        assert isinstance(admission, Admission)
        return Admission(admission.association, admission.contexts, 16384, b"ticket")

    monkeypatch.setattr(served.application, "admit", confirm)
    identity, relational = UserIdentityNegotiation(), SOPClassExtendedNegotiation()
    identity.user_identity_type, identity.positive_response_requested = 2, True
    identity.primary_field, identity.secondary_field = b"joe", b"secret"
    relational.sop_class_uid, relational.service_class_application_information = raw.STUDY_FIND, b"\1\1\1"
    ae = AE("WS1")
    ae.add_requested_context(raw.STUDY_FIND)
    association = ae.associate("127.0.0.1", served.port, ae_title="PROXY", ext_neg=[identity, relational])
    assert association.is_established
    (offer,) = served.application.offers
    assert offer.user_identity == UserIdentity(2, b"joe", b"secret", True)
    assert offer.extended == {raw.STUDY_FIND: b"\1\1\1"}
    assert association.acceptor.user_identity.server_response == b"ticket"
    assert association.acceptor.sop_class_extended == {raw.STUDY_FIND: b"\1\0\0"}
    association.release()


# ------------------------------------------------------------------ requests


def test_a_service_sees_all_of_a_request(peer: raw.Peer, served: Serving) -> None:
    _ask(peer, raw.C_MOVE, raw.STUDY_MOVE)
    answer = peer.message()
    assert (answer.field, answer.status, raw.us(answer.command[0x00000120])) == (0x8021, 0, 5)
    (request,) = served.application.requests
    assert (request.command, request.message_id, request.sop_class_uid) == ("C-MOVE", 5, raw.STUDY_MOVE)
    assert (request.identifier, request.transfer_syntax, request.context_id) == (b"i" * 10, raw.IMPLICIT, 11)
    assert (request.move_destination, request.receiver) == ("DEST", None)


def test_matches_come_in_order_whatever_the_pending_interval() -> None:
    matches = [Response(_PENDING, Bytes(bytes([number, 0]))) for number in range(50)]
    with serving(listener=Listener(pending_interval=5)) as served:
        served.application.answers["C-FIND"] = lambda request: iter([*matches, Response(0)])
        peer = raw.Peer.connect(served.port).associate("PROXY", _CONTEXTS)
        _ask(peer)
        assert [answer.data for answer in peer.answers()] == [*(bytes([number, 0]) for number in range(50)), None]
        peer.close()


def test_a_failure_brings_its_comment_and_offending_elements(peer: raw.Peer, served: Serving) -> None:
    failure = Response(0xA900, comment="no level", offending_tags=(0x00080052,))
    served.application.answers["C-FIND"] = lambda request: iter([failure])
    _ask(peer)
    command = peer.message().command
    assert command[0x00000902] == b"no level"
    assert command[0x00000901].ljust(4, b"\0") == struct.pack("<HH", 0x0008, 0x0052)


def test_counts_are_told_and_pendings_of_a_retrieve_thinned_out(served: Serving) -> None:
    def move(request: Request) -> Iterator[Response]:
        for remaining in range(9, -1, -1):
            yield Response(_PENDING, counts=Counts(remaining, 10 - remaining))
        yield Response(0xB000, counts=Counts(None, 8, 1, 1))

    with serving(listener=Listener(pending_interval=10)) as thin:
        for running, pendings in ((served, 10), (thin, 0)):
            running.application.answers["C-MOVE"] = move
            peer = raw.Peer.connect(running.port).associate("PROXY", _CONTEXTS)
            _ask(peer, raw.C_MOVE, raw.STUDY_MOVE)
            answers = peer.answers()
            assert len(answers) == pendings + 1
            final = answers[-1].command
            assert [raw.us(final[tag]) for tag in (0x00001021, 0x00001022, 0x00001023)] == [8, 1, 1]
            assert 0x00001020 not in final
            peer.close()


def test_a_get_sends_over_the_same_association(peer: raw.Peer, served: Serving) -> None:
    def get(request: Request) -> Iterator[Response]:
        assert request.receiver is not None
        for number in range(3):
            request.receiver.begin(Outgoing(raw.CT, f"1.2.{number}", raw.EXPLICIT, memoryview(b"pixels")))
            assert request.receiver.finish() == 0
        request.receiver.close()
        yield Response(0)

    served.application.answers["C-GET"] = get
    _ask(peer, raw.C_GET, raw.STUDY_GET)
    for number in range(3):
        message = peer.message()
        assert (message.field, message.data) == (raw.C_STORE, b"pixels")
        instance, answers = f"1.2.{number}", raw.us(message.command[0x00000110])
        peer.send(raw.message(7, raw.store_response(raw.CT, instance, answers=answers)))
    assert peer.message().status == 0
    assert peer.echo() == 0


def test_a_cancel_is_seen_by_the_service(peer: raw.Peer, served: Serving) -> None:
    def find(request: Request) -> Iterator[Response]:
        until = time.monotonic() + 5
        while not request.is_cancelled() and time.monotonic() < until:
            time.sleep(0.01)
        yield Response(0xFE00)

    served.application.answers["C-FIND"] = find
    _ask(peer)
    assert settles(lambda: bool(served.application.requests))
    peer.send(raw.message(3, raw.command(raw.C_CANCEL, answers=5, sop_class=None)))
    assert peer.message().status == 0xFE00


def test_a_service_hears_that_the_peer_has_gone(peer: raw.Peer, served: Serving) -> None:
    heard = threading.Event()

    def find(request: Request) -> Iterator[Response]:
        try:
            while True:
                request.is_cancelled()
                time.sleep(0.01)
        except ReceiverLost:
            heard.set()
            raise
        yield Response(0)

    served.application.answers["C-FIND"] = find
    _ask(peer)
    assert settles(lambda: bool(served.application.requests))
    peer.reset()
    assert heard.wait(3)


def test_an_action_is_answered_as_one(peer: raw.Peer, served: Serving) -> None:
    extra = raw.element(0x00001001, b"1.2.3") + raw.element(0x00001008, b"\1\0")
    command = raw.command(0x0130, sop_class=None, data=True, extra=raw.element(0x00000003, raw.uid(COMMITMENT)) + extra)
    peer.send(raw.message(9, command, b"action"))
    answer = peer.message()
    assert (answer.field, answer.status, answer.command[0x00001000]) == (0x8130, 0, b"1.2.3")
    (request,) = served.application.requests
    assert (request.command, request.type_id, request.sop_instance_uid) == ("N-ACTION", 1, "1.2.3")
    assert (request.identifier, request.notify) == (b"action", None)


# ------------------------------------------------------------------ C-STORE


def test_an_instance_goes_to_its_sink_and_the_sinks_status_back(peer: raw.Peer, served: Serving) -> None:
    peer.send(raw.message(7, raw.store_command(raw.CT, "1.2.3", message_id=8), b"x" * 100_000))
    answer = peer.message()
    assert (answer.status, raw.us(answer.command[0x00000120])) == (0, 8)
    assert answer.command[0x00001000] == b"1.2.3"
    (sink,) = served.application.sinks
    assert (sink.outcome, sink.data) == ("finished", b"x" * 100_000)
    assert (sink.request.abstract_syntax, sink.request.transfer_syntax) == (raw.CT, raw.EXPLICIT)


# ------------------------------------------------------------------ bounds and refusals


def test_a_sop_class_that_is_not_the_contexts_is_refused_and_nobody_is_asked(peer: raw.Peer, served: Serving) -> None:
    _ask(peer, raw.C_FIND, raw.STUDY_FIND, context_id=5)
    assert peer.message().status == 0x0122
    assert not served.application.requests
    assert peer.echo() == 0


_ABORTED: dict[str, tuple[Callable[[raw.Peer], object], str]] = {
    "an identifier too long": (
        lambda peer: _ask(peer, size=int(SHORT.identifier) + 2),
        "a data set is longer than allowed",
    ),
    "an instance too long": (
        lambda peer: peer.send(raw.message(7, raw.store_command(raw.CT, "1.2.3"), bytes(int(SHORT.instance) + 2))),
        "a data set is longer than allowed",
    ),
    "a command nobody offers": (
        lambda peer: peer.send(
            raw.message(
                9,
                raw.command(
                    0x0110,
                    sop_class=None,
                    extra=raw.element(0x00000003, raw.uid(COMMITMENT)) + raw.element(0x00001001, b"1.2"),
                ),
            )
        ),
        "N_GET is not offered",
    ),
    "a command without what it needs": (
        lambda peer: peer.send(raw.message(1, raw.command(raw.C_ECHO, sop_class=None))),
        "a message that is no request, or on no accepted context",
    ),
}


@pytest.mark.parametrize("name", _ABORTED)
def test_what_cannot_be_answered_is_aborted_and_told(name: str, peer: raw.Peer, served: Serving) -> None:
    act, why = _ABORTED[name]
    act(peer)
    assert peer.ending(3, closing=False) == "aborted 0/0"
    assert served.application.ending() == ("aborted", why)
    assert not served.application.sinks
    assert not served.application.requests
