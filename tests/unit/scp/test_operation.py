"""What is told about one request: that it runs, how far it is, and once how it ended."""

import pytest

from proxy.dicom.messages import Counts, Peer, Requestor, Response, Tally
from proxy.events import Event, OperationEnded, OperationProgress
from proxy.journal import Journal
from proxy.scp.operation import Operation

REQUESTOR = Requestor("WS1", "PROXY", Peer("10.0.0.1", 1), "abc", "WS1->PROXY(1)")


class Clock:
    """Stands still until told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("proxy.scp.operation.time.monotonic", clock)
    return clock


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture
def operation(clock: Clock, events: list[Event], tally: Tally) -> Operation:
    return Operation(Journal(events.append), REQUESTOR, "main", "C-MOVE", 5, tally, "DEST")


def _progress(events: list[Event]) -> list[OperationProgress]:
    return [event for event in events if isinstance(event, OperationProgress)]


def _ended(events: list[Event]) -> list[OperationEnded]:
    return [event for event in events if isinstance(event, OperationEnded)]


def test_it_says_who_asks_for_what(operation: Operation, events: list[Event], tally: Tally) -> None:
    tally.level, tally.bytes = "STUDY", 77
    operation.tell()
    (told,) = _progress(events)
    assert (told.association_id, told.label, told.calling_aet) == ("abc", "WS1->PROXY(1)", "WS1")
    assert (told.pipeline, told.command, told.message_id, told.destination) == ("main", "C-MOVE", 5, "DEST")
    assert (told.level, told.bytes) == ("STUDY", 77)


def test_progress_is_told_once_a_second(operation: Operation, events: list[Event], clock: Clock) -> None:
    for _ in range(35):
        clock.now += 0.1
        operation.pending(Response(0xFF00, counts=Counts(9)))
    assert 3 <= len(_progress(events)) <= 4


def test_progress_has_the_counts_of_the_last_pending(operation: Operation, events: list[Event], clock: Clock) -> None:
    operation.pending(Response(0xFF00, counts=Counts(9, 1, 0, 0)))
    clock.now += 1
    operation.pending(Response(0xFF00, counts=Counts(4, 3, 2, 1)))
    (told,) = _progress(events)
    assert (told.remaining, told.completed, told.failed, told.warning) == (4, 3, 2, 1)


def test_bytes_that_come_without_a_pending_are_progress_too(
    operation: Operation, events: list[Event], clock: Clock, tally: Tally
) -> None:
    tally.bytes = 5
    operation.progress()
    assert not events
    clock.now += 1
    operation.progress()
    assert _progress(events)[0].bytes == 5


def test_the_end_is_told_with_all_that_was_noted(
    operation: Operation, events: list[Event], clock: Clock, tally: Tally
) -> None:
    tally.cache_hits, tally.cache_misses, tally.bytes = 3, 2, 500
    clock.now += 2.5
    operation.ended(Response(0xB000, comment="some failed", counts=Counts(None, 3, 1, 1)))
    (told,) = _ended(events)
    assert (told.status, told.comment, told.duration) == (0xB000, "some failed", 2.5)
    assert (told.completed, told.failed, told.warning) == (3, 1, 1)
    assert (told.cache_hits, told.cache_misses, told.bytes) == (3, 2, 500)


def test_matches_are_pendings_with_an_identifier(operation: Operation, events: list[Event]) -> None:
    for identifier in (object(), object(), None):
        operation.pending(Response(0xFF00, identifier))  # type: ignore[arg-type]
    operation.ended(Response(0))
    assert _ended(events)[0].matches == 2


def test_an_association_that_ended_first_is_told_with_how_far_it_came(
    operation: Operation, events: list[Event]
) -> None:
    operation.pending(Response(0xFF00, counts=Counts(6, 4)))
    operation.gone()
    (told,) = _ended(events)
    assert (told.status, told.completed) == (-1, 4)
    assert "before the final response" in told.comment


@pytest.mark.parametrize("first", ["ended", "gone"])
def test_its_end_is_told_once(first: str, operation: Operation, events: list[Event]) -> None:
    if first == "gone":
        operation.gone()
    operation.ended(Response(0))
    operation.gone()
    operation.ended(Response(0xC000))
    assert [event.status for event in _ended(events)] == [-1 if first == "gone" else 0]
