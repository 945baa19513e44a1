"""One request, one final response: whatever a service does (invariant 2)."""

import logging

import pytest

from proxy.access import Grant
from proxy.dicom.messages import Counts, Peer, Request, Requestor, Response, StoreRequest
from proxy.dicom.status import Status
from proxy.errors import (
    AccessDenied,
    InvalidIdentifier,
    OrthancUnavailable,
    ReceiverLost,
    SpoolFull,
    UnknownDestination,
)
from proxy.events import OperationEnded, OperationProgress
from proxy.journal import Journal
from proxy.scp.association import Association, Services

FIND, GET, MOVE = (f"1.2.840.10008.5.1.4.1.2.2.{n}" for n in (1, 3, 2))
SOP_CLASSES = {"C-ECHO": "1.2.840.10008.1.1", "C-FIND": FIND, "C-GET": GET, "C-MOVE": MOVE}
CT = "1.2.840.10008.5.1.4.1.1.2"
REQUESTOR = Requestor("WS1", "PROXY", Peer("10.0.0.1", 1), "abc", "WS1->PROXY(1)")
EVERYTHING = Grant("rule r", frozenset({"echo", "find", "get", "move", "store", "commitment"}))


class Sink:
    def __init__(self, outcome=Status.SUCCESS, write_error=None):
        self.outcome, self.write_error = outcome, write_error
        self.data, self.abandoned = b"", 0

    def write(self, fragment):
        if self.write_error:
            raise self.write_error
        self.data += fragment

    def finish(self):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return Response(self.outcome)

    def abandon(self):
        self.abandoned += 1
        if isinstance(self.outcome, Exception):
            raise self.outcome


@pytest.fixture
def events() -> list:
    return []


@pytest.fixture
def build(events):
    def build(service=None, grant=EVERYTHING, receive=None, released=None) -> Association:
        answers = dict.fromkeys(("echo", "find", "get", "move", "commitment"), service) if service else {}
        return Association(
            REQUESTOR,
            "main",
            grant,
            Services(answers, receive),
            {CT},
            Journal(events.append),
            lambda: released.append(1) if released is not None else None,
        )

    return build


def request(command="C-FIND", **more) -> Request:
    more.setdefault("sop_class_uid", SOP_CLASSES.get(command, "1.2.840.10008.1.20.1"))
    return Request(
        command=command,
        message_id=5,
        context_id=1,
        transfer_syntax="1.2.840.10008.1.2.1",
        identifier=b"",
        requestor=REQUESTOR,
        is_cancelled=lambda: False,
        **more,
    )


def store_request(**more) -> StoreRequest:
    names = {"sop_class_uid": CT, "sop_instance_uid": "1.2", "abstract_syntax": CT} | more
    return StoreRequest(message_id=7, transfer_syntax="1.2.840.10008.1.2.1", requestor=REQUESTOR, **names)


def fails_with(error, after=0):
    def service(_request):
        for _ in range(after):
            yield Response(Status.PENDING)
        raise error

    return service


def ends(events) -> list[OperationEnded]:
    return [event for event in events if isinstance(event, OperationEnded)]


def test_the_responses_of_a_service_pass_and_its_end_is_told(build, events):
    def service(asked):
        asked.tally.level, asked.tally.bytes, asked.tally.cache_hits = "STUDY", 10, 2
        yield Response(Status.PENDING, counts=Counts(1, 1))
        yield Response(Status.SUBOPERATIONS_WARNING, counts=Counts(None, 1, 1), comment="why")

    asked = request("C-MOVE", move_destination="DEST")
    assert [answer.status for answer in build(service).answer(asked)] == [Status.PENDING, 0xB000]
    assert isinstance(events[0], OperationProgress)
    (end,) = ends(events)
    assert (end.command, end.message_id, end.status, end.comment) == ("C-MOVE", 5, 0xB000, "why")
    assert (end.level, end.destination, end.bytes, end.cache_hits) == ("STUDY", "DEST", 10, 2)
    assert (end.completed, end.failed, end.pipeline, end.calling_aet) == (1, 1, "main", "WS1")


def test_matches_are_counted(build, events):
    def service(_request):
        yield from [Response(Status.PENDING, identifier=object()), Response(0xFF01, identifier=object())]
        yield Response(Status.SUCCESS)

    list(build(service).answer(request()))
    assert ends(events)[0].matches == 2


@pytest.mark.parametrize(
    ("error", "command", "status"),
    [
        (InvalidIdentifier("bad", (0x0020000D,)), "C-FIND", 0xA900),
        (OrthancUnavailable("down"), "C-FIND", 0xA700),
        (OrthancUnavailable("down"), "C-GET", 0xA701),
        (UnknownDestination("who?"), "C-MOVE", 0xA801),
        (AccessDenied("no"), "C-ECHO", 0x0124),
        (OrthancUnavailable("down"), "N-ACTION", 0x0110),
    ],
)
@pytest.mark.parametrize("after", [0, 2])
def test_an_error_becomes_the_one_final_response(build, events, error, command, status, after):
    *pending, final = build(fails_with(error, after)).answer(request(command))
    assert [answer.status for answer in pending] == [Status.PENDING] * after
    assert (final.status, final.comment) == (status, error.comment)
    assert final.offending_tags == getattr(error, "offending_tags", ())
    assert ends(events)[0].status == status


@pytest.mark.parametrize(("command", "status"), [("C-FIND", 0xC000), ("C-GET", 0xC000), ("C-ECHO", 0x0110)])
def test_a_bug_is_logged_under_the_id_that_the_comment_names_and_quotes_no_data(build, caplog, command, status):
    with caplog.at_level(logging.INFO):
        (final,) = build(fails_with(KeyError("DOE^JOHN"))).answer(request(command))
    assert final.status == status
    reference = final.comment.split()[2].rstrip(",")
    assert f"internal error {reference}" in caplog.text
    assert "KeyError" in caplog.text
    assert "fails_with" in caplog.text or "service" in caplog.text
    assert "DOE" not in caplog.text


@pytest.mark.parametrize("answers", [[], [Response(Status.PENDING)]])
def test_a_service_that_forgets_its_final_response_gets_one(build, answers, caplog):
    *_, final = build(lambda _request: iter(answers)).answer(request())
    assert final.status == 0xC000


def test_nothing_follows_a_final_response(build, caplog):
    answers = [Response(Status.SUCCESS), Response(Status.PENDING), Response(Status.SUCCESS)]
    assert [answer.status for answer in build(lambda _request: iter(answers)).answer(request())] == [0]


def test_a_service_may_work_on_after_its_final_response(build, events):
    done = []

    def service(_request):
        yield Response(Status.SUCCESS)
        done.append("report sent")
        raise SpoolFull("too late to be told")

    assert [answer.status for answer in build(service).answer(request("N-ACTION"))] == [0]
    assert done == ["report sent"]
    assert [end.status for end in ends(events)] == [0]


def test_a_lost_association_passes_through_and_is_told(build, events):
    with pytest.raises(ReceiverLost):
        list(build(fails_with(ReceiverLost("gone"), 1)).answer(request("C-GET")))
    assert ends(events)[0].status == -1


def test_a_wire_that_stops_asking_closes_the_service_and_that_is_told(build, events):
    closed = []

    def service(_request):
        try:
            while True:
                yield Response(Status.PENDING)
        finally:
            closed.append(True)

    responses = build(service).answer(request())
    next(responses)
    responses.close()
    assert closed
    assert [end.status for end in ends(events)] == [-1]


@pytest.mark.parametrize("command", ["C-ECHO", "C-FIND", "C-GET", "C-MOVE", "N-ACTION"])
def test_a_sop_class_that_does_not_fit_the_command_is_0122(build, command):
    (final,) = build(lambda _request: iter([Response(0)])).answer(request(command, sop_class_uid=CT))
    assert final.status == 0x0122


def test_a_service_the_pipeline_lacks_is_0122(build):
    (final,) = build().answer(request())
    assert final.status == 0x0122


def test_a_service_that_is_not_granted_is_0124_naming_the_rule(build):
    (final,) = build(lambda _request: iter([Response(0)]), Grant("rule r", frozenset({"echo"}))).answer(request())
    assert (final.status, final.comment) == (0x0124, "find is not granted by rule r")


def test_a_move_destination_that_is_not_allowed_is_0124(build):
    grant = Grant("rule r", frozenset({"move"}), ("OK*",))
    service = lambda _request: iter([Response(0)])  # noqa: E731
    (final,) = build(service, grant).answer(request("C-MOVE", move_destination="ELSEWHERE"))
    assert final.status == 0x0124
    (final,) = build(service, grant).answer(request("C-MOVE", move_destination="OK1"))
    assert final.status == 0


def test_a_stored_instance_goes_to_the_sink_and_is_told(build, events):
    inner = Sink()
    sink = build(receive=lambda _request: inner).receive(store_request())
    sink.write(memoryview(b"abc"))
    sink.write(memoryview(b"de"))
    assert sink.finish().status == 0
    assert inner.data == b"abcde"
    (end,) = ends(events)
    assert (end.command, end.message_id, end.status, end.bytes) == ("C-STORE", 7, 0, 5)


@pytest.mark.parametrize(
    ("of_request", "grant", "status"),
    [
        ({"abstract_syntax": "1.2.840.10008.1.1"}, EVERYTHING, 0x0122),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.4"}, EVERYTHING, 0xA900),
        ({}, Grant("rule r", frozenset({"echo"})), 0x0124),
    ],
)
def test_an_instance_that_may_not_come_is_taken_in_dropped_and_refused(build, events, of_request, grant, status):
    inner = Sink()
    sink = build(receive=lambda _request: inner, grant=grant).receive(store_request(**of_request))
    sink.write(memoryview(b"abc"))
    assert sink.finish().status == status
    assert inner.data == b""
    assert ends(events)[0].status == status


@pytest.mark.parametrize("error", [SpoolFull("full"), ValueError("DOE^JOHN")])
def test_a_failing_store_service_is_answered(build, error, caplog):
    def receive(_request):
        raise error

    expected = 0xA700 if isinstance(error, SpoolFull) else 0x0110
    sink = build(receive=receive).receive(store_request())
    sink.write(memoryview(b"abc"))
    assert sink.finish().status == expected
    late = build(receive=lambda _request: Sink(error)).receive(store_request())
    assert late.finish().status == expected
    assert "DOE" not in caplog.text


def test_a_sink_that_breaks_on_the_way_is_abandoned_and_answered(build, events):
    inner = Sink(write_error=RuntimeError("bug"))
    sink = build(receive=lambda _request: inner).receive(store_request())
    sink.write(memoryview(b"abc"))
    sink.write(memoryview(b"abc"))
    assert sink.finish().status == 0x0110
    assert inner.abandoned == 1


def test_a_sender_that_vanishes_leaves_nothing_and_that_is_told(build, events):
    inner = Sink(RuntimeError("even so"))
    build(receive=lambda _request: inner).receive(store_request()).abandon()
    assert inner.abandoned == 1
    assert [end.status for end in ends(events)] == [-1]


def test_the_slot_is_given_back_once(build):
    released = []
    association = build(released=released)
    association.ended("aborted", "")
    association.ended("lost", "")
    assert released == [1]
