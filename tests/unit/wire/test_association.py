"""An accepted association: one final response to each request, or an A-ABORT; and its end told once."""

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from proxy.config import Listener
from proxy.dicom.messages import Counts, Outgoing, Request, Response
from proxy.errors import ReceiverLost
from tests.support import raw
from tests.unit.wire.serving import Bytes, Serving, resources, serving, settles

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


def _ask(peer: raw.Peer, field: int = raw.C_FIND, sop_class: str = raw.STUDY_FIND, message_id: int = 1) -> None:
    context_id = next(number for number, name, _ in _CONTEXTS if name == sop_class)
    extra = raw.element(0x00000600, "DEST ") if field == raw.C_MOVE else b""
    command = raw.command(field, message_id=message_id, sop_class=sop_class, data=True, extra=extra)
    peer.send(raw.message(context_id, command, b"identifier"))


def _cancel(peer: raw.Peer, message_id: int = 1) -> None:
    peer.send(raw.message(3, raw.command(raw.C_CANCEL, answers=message_id, sop_class=None)))


def _answering(served: Serving, command: str, *responses: Response) -> None:
    served.application.answers[command] = lambda request: iter(responses)


# ------------------------------------------------------------------ the association itself


def test_it_is_accepted_as_the_application_says(peer: raw.Peer, served: Serving) -> None:
    assert peer.accepted == {number: syntaxes[0] for number, _, syntaxes in _CONTEXTS}
    assert peer.max_pdu == served.application.max_pdu


@pytest.mark.parametrize(
    ("last", "how"), [(raw.RELEASE, "released"), (raw.pdu(raw.ABORT, bytes(4)), "aborted"), (b"", "lost")]
)
def test_its_end_is_told(last: bytes, how: str, peer: raw.Peer, served: Serving) -> None:
    peer.send(last)
    if not last:
        peer.close()
    assert served.application.ending()[0] == how


def test_a_peer_that_goes_before_it_is_accepted_is_lost(served: Serving) -> None:
    peer = raw.Peer.connect(served.port)
    peer.send(raw.request("PROXY"))
    peer.reset()
    assert served.application.ending()[0] in ("lost", "aborted")


def test_a_release_is_answered_and_the_peer_closes(peer: raw.Peer) -> None:
    assert peer.release() == "released"


def test_nothing_stays_when_it_is_over(served: Serving) -> None:
    before = resources()
    peers = [raw.Peer.connect(served.port).associate("PROXY") for _ in range(5)]
    for number, peer in enumerate(peers):
        (peer.release, peer.reset, peer.close)[number % 3]()
    assert settles(lambda: resources() == before)


# ------------------------------------------------------------------ requests and their responses


def test_an_echo_is_answered(peer: raw.Peer) -> None:
    peer.send(raw.message(1, raw.command(raw.C_ECHO, message_id=77)))
    answer = peer.message()
    assert (answer.context_id, answer.field, answer.status) == (1, raw.C_ECHO | 0x8000, 0)
    assert raw.us(answer.command[0x00000120]) == 77


def test_a_service_sees_all_of_a_request(peer: raw.Peer, served: Serving) -> None:
    _ask(peer, raw.C_MOVE, raw.STUDY_MOVE, 9)
    peer.message()
    (request,) = served.application.requests
    assert (request.command, request.message_id, request.sop_class_uid) == ("C-MOVE", 9, raw.STUDY_MOVE)
    assert (request.identifier, request.transfer_syntax, request.context_id) == (b"identifier", raw.IMPLICIT, 11)
    assert (request.move_destination, request.receiver) == ("DEST", None)
    assert request.requestor.calling_aet == "RAW"


def test_matches_come_in_order_and_the_final_response_last(peer: raw.Peer, served: Serving) -> None:
    matches = [Response(_PENDING, Bytes(bytes([number, 0]))) for number in range(200)]
    _answering(served, "C-FIND", *matches, Response(0))
    _ask(peer)
    answers = peer.answers()
    assert [answer.data for answer in answers] == [*(bytes([number, 0]) for number in range(200)), None]
    assert answers[-1].status == 0


def test_requests_on_one_association_are_answered_one_after_the_other(peer: raw.Peer) -> None:
    for message_id in range(1, 6):
        _ask(peer, message_id=message_id)
    assert [raw.us(peer.message().command[0x00000120]) for _ in range(5)] == [1, 2, 3, 4, 5]


def test_a_sop_class_that_is_not_the_contexts_is_refused_and_nobody_is_asked(peer: raw.Peer, served: Serving) -> None:
    peer.send(raw.message(3, raw.command(raw.C_FIND, sop_class=raw.STUDY_GET, data=True), b"identifier"))
    assert peer.message().status == 0x0122
    assert not served.application.requests
    assert peer.echo() == 0


def test_a_cancel_is_seen_by_the_service(peer: raw.Peer, served: Serving) -> None:
    def find(request: Request) -> Iterator[Response]:
        while not request.is_cancelled():
            time.sleep(0.005)
            yield Response(_PENDING, Bytes(b"ab"))
        yield Response(0xFE00)

    served.application.answers["C-FIND"] = find
    _ask(peer)
    peer.message()
    _cancel(peer)
    assert peer.answers()[-1].status == 0xFE00


def test_a_service_is_closed_when_the_peer_goes_away(peer: raw.Peer, served: Serving) -> None:
    closed = threading.Event()

    def find(request: Request) -> Iterator[Response]:
        try:
            while True:
                request.is_cancelled()
                yield Response(_PENDING, Bytes(b"ab"))
        finally:
            closed.set()

    served.application.answers["C-FIND"] = find
    _ask(peer)
    peer.message()
    peer.reset()
    assert closed.wait(2)
    assert served.application.ending()[0] == "lost"


def test_a_service_is_closed_when_it_is_done(peer: raw.Peer, served: Serving) -> None:
    class Responses:
        """Not a generator, which would be closed anyhow once nobody holds it."""

        def __init__(self) -> None:
            self.left, self.closed = [Response(0)], 0

        def __iter__(self) -> "Responses":
            return self

        def __next__(self) -> Response:
            if not self.left:
                raise StopIteration
            return self.left.pop()

        def close(self) -> None:
            self.closed += 1

    responses = Responses()
    served.application.answers["C-FIND"] = lambda request: responses
    _ask(peer)
    assert peer.message().status == 0
    assert settles(lambda: responses.closed == 1)


def _raising(error: Exception, after: int = 0) -> Callable[[Request], Iterator[Response]]:
    def answer(request: Request) -> Iterator[Response]:
        yield from [Response(_PENDING, Bytes(b"ab"))] * after
        raise error

    return answer


@pytest.mark.parametrize("after", [0, 3])
def test_an_error_of_ours_ends_in_an_abort_and_is_logged(
    after: int, peer: raw.Peer, served: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    served.application.answers["C-FIND"] = _raising(ZeroDivisionError("secret"), after)
    _ask(peer)
    assert peer.ending(2, closing=False) == "aborted 0/0"
    assert served.application.ending() == ("aborted", "internal error: ZeroDivisionError")
    assert any(record.levelno == logging.ERROR for record in caplog.records)


def test_a_lost_receiver_ends_in_an_abort(peer: raw.Peer, served: Serving) -> None:
    served.application.answers["C-FIND"] = _raising(ReceiverLost("the destination went away"))
    _ask(peer)
    assert peer.ending(2, closing=False) == "aborted 0/0"
    assert served.application.ending() == ("aborted", "the destination went away")


@pytest.mark.parametrize("responses", [(), (Response(_PENDING, Bytes(b"ab")),), (Response(0), Response(0))])
def test_without_exactly_one_final_response_it_is_aborted(
    responses: tuple[Response, ...], peer: raw.Peer, served: Serving
) -> None:
    _answering(served, "C-FIND", *responses)
    _ask(peer)
    assert peer.ending(2, closing=False) == "aborted 0/0"
    assert served.application.ending() == ("aborted", "internal error: no final response")


# ------------------------------------------------------------------ C-STORE


def _store(peer: raw.Peer, instance: str | bytes = "1.2.3", data: bytes = b"data set", sop_class: str = raw.CT) -> int:
    peer.send(raw.message(7, raw.store_command(sop_class, instance), data))
    return peer.message().status


def test_an_instance_goes_to_its_sink_and_the_sinks_status_back(peer: raw.Peer, served: Serving) -> None:
    assert _store(peer, "1.2.3", b"x" * 100_000) == 0
    (sink,) = served.application.sinks
    assert (sink.outcome, sink.data) == ("finished", b"x" * 100_000)
    request = sink.request
    assert (request.sop_class_uid, request.abstract_syntax) == (raw.CT, raw.CT)
    assert (request.sop_instance_uid, request.transfer_syntax) == ("1.2.3", raw.EXPLICIT)


def test_a_response_names_instance_and_class(peer: raw.Peer) -> None:
    peer.send(raw.message(7, raw.store_command(raw.CT, "1.2.3"), b""))
    command = peer.message().command
    assert (command[0x00000002], command[0x00001000]) == (raw.CT.encode(), b"1.2.3")


@pytest.mark.parametrize(
    ("instance", "sop_class", "status"),
    [("../../etc", raw.CT, 0x0117), ("", raw.CT, 0x0117), (b"1.2\0.3", raw.CT, 0x0117), ("1.2.3", "CT", 0x0122)],
)
def test_what_is_no_uid_is_refused_and_its_data_set_passed_over(
    instance: str | bytes, sop_class: str, status: int, peer: raw.Peer, served: Serving
) -> None:
    assert _store(peer, instance, bytes(50_000), sop_class) == status
    assert not served.application.sinks
    assert peer.echo() == 0


def test_a_sender_that_goes_while_its_unwanted_instance_comes_ends_like_any_other(
    peer: raw.Peer, served: Serving
) -> None:
    peer.send(raw.message(7, raw.store_command(raw.CT, "../x"), bytes(50_000))[:-10])
    peer.close()
    assert served.application.ending()[0] == "lost"


def test_a_sender_that_goes_leaves_nothing_of_its_instance(peer: raw.Peer, served: Serving) -> None:
    peer.send(raw.message(7, raw.store_command(raw.CT, "1.2.3"), bytes(50_000))[:-10])
    peer.close()
    served.application.ending()
    assert served.application.sinks[0].outcome == "abandoned"


# ------------------------------------------------------------------ C-GET


def _sending(count: int) -> Callable[[Request], Iterator[Response]]:
    def get(request: Request) -> Iterator[Response]:
        assert request.receiver is not None
        for number in range(count):
            request.receiver.begin(Outgoing(raw.CT, f"1.2.{number}", raw.EXPLICIT, memoryview(b"pixels")))
            assert request.receiver.finish() == 0
            yield Response(_PENDING, counts=Counts(count - number - 1, number + 1))
        yield Response(0, counts=Counts(None, count))

    return get


def _take(peer: raw.Peer) -> tuple[list[str], int, list[int]]:
    """All C-STOREs of a C-GET, answered; the final status; the remaining counts of the Pendings."""
    instances, remaining = [], []
    while True:
        message = peer.message()
        if message.field == raw.C_STORE:
            instances.append(message.command[0x00001000].decode())
            answers = raw.us(message.command[0x00000110])
            response = raw.store_response(raw.CT, instances[-1], answers=answers)
            peer.send(raw.message(message.context_id, response))
        elif message.status == _PENDING:
            remaining.append(raw.us(message.command[0x00001020]))
        else:
            return instances, message.status, remaining


def test_a_get_sends_over_the_same_association(peer: raw.Peer, served: Serving) -> None:
    served.application.answers["C-GET"] = _sending(5)
    _ask(peer, raw.C_GET, raw.STUDY_GET)
    instances, status, _ = _take(peer)
    assert (instances, status) == ([f"1.2.{n}" for n in range(5)], 0)


def test_a_get_tells_a_pending_after_each_where_that_is_set() -> None:
    with serving(listener=Listener(pending_interval=0)) as served:
        served.application.answers["C-GET"] = _sending(4)
        peer = raw.Peer.connect(served.port).associate("PROXY", _CONTEXTS, roles=[raw.CT])
        _ask(peer, raw.C_GET, raw.STUDY_GET)
        assert _take(peer)[2] == [3, 2, 1, 0]
        peer.close()


# ------------------------------------------------------------------ N-ACTION


def test_a_report_may_follow_the_response_to_an_action(peer: raw.Peer, served: Serving) -> None:
    got: list[int] = []

    def act(request: Request) -> Iterator[Response]:
        yield Response(0)
        assert request.notify is not None
        got.append(request.notify(1, Bytes(b"report")))

    served.application.answers["N-ACTION"] = act
    extra = raw.element(0x00001001, b"1.2.3") + raw.element(0x00001008, b"\1\0")
    command = raw.command(0x0130, sop_class=None, data=True, extra=raw.element(0x00000003, raw.uid(COMMITMENT)) + extra)
    peer.send(raw.message(9, command, b"action"))
    answer = peer.message()
    assert (answer.field, answer.status, answer.command[0x00001008]) == (0x8130, 0, b"\1")
    report = peer.message()
    assert (report.field, report.data, report.command[0x00001002]) == (0x0100, b"report", b"\1")
    assert report.command[0x00001000] == b"1.2.3"
    tail = raw.element(0x00000900, b"\0\0")
    peer.send(raw.message(9, raw.command(0x8100, sop_class=COMMITMENT, answers=1, extra=tail)))
    assert peer.echo() == 0
    assert got == [0]
    (request, _) = served.application.requests
    assert (request.type_id, request.sop_instance_uid) == (1, "1.2.3")


def test_a_report_that_nobody_answers_ends_it(peer: raw.Peer, served: Serving) -> None:
    def act(request: Request) -> Iterator[Response]:
        yield Response(0)
        assert request.notify is not None
        request.notify(2, Bytes(b"report"))

    served.application.answers["N-ACTION"] = act
    command = raw.command(0x0130, sop_class=None, data=True, extra=raw.element(0x00000003, raw.uid(COMMITMENT)))
    peer.send(raw.message(9, command, b"action"))
    assert peer.ending(3, closing=False) == "aborted 0/0"
    how, why = served.application.ending()
    assert (how, "N-EVENT-REPORT" in why) == ("timeout", True)
