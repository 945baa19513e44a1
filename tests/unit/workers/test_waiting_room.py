"""What becomes of a waiting instance: for each of its targets once, and not forgotten before all have it."""

from pathlib import Path
from typing import Any

import pytest

from proxy.config import Pipeline
from proxy.spool.breaker import Breaker
from proxy.spool.deadletters import DeadLetters
from proxy.spool.names import Name
from proxy.spool.progress import Progress, ProgressFiles
from proxy.spool.spool import Spool
from proxy.spool.waiting import Waiting
from proxy.workers.lane import Lane
from proxy.workers.waiting_room import WaitingRoom
from tests.fakes.received import SERIES, STUDY, FakeTarget, data_set, open_spool, service, store

X = Name(STUDY, SERIES, "1.1")


class Room:
    """A waiting room with lanes of these names."""

    def __init__(self, spool: Spool, *targets: str, **pipeline: Any) -> None:
        self.spool = spool
        self.told: list[str] = []
        self.lanes = {name: Lane(FakeTarget(name), Breaker(1, 1, lambda: 1.0)) for name in targets}
        self.room = WaitingRoom(
            spool,
            DeadLetters(spool),
            self.lanes,
            {"main": Pipeline.model_validate({"aet": "PROXY", "forward_to": list(targets), **pipeline})},
            clock=lambda: 0.0,
            tell=self.told.append,
        )

    def find(self) -> None:
        self.room.find(list(self.spool.names()))

    def deliver(self, name: str) -> str:
        """Let the next of that lane be delivered; which it was."""
        item = self.lanes[name].take(0)
        assert item is not None
        path = item.waiting.name.path
        self.room.delivered(self.lanes[name], item)
        return path

    def waiting(self) -> dict[str, int]:
        return {name: lane.backlog.count for name, lane in self.lanes.items()}


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return open_spool(tmp_path)


def progress(spool: Spool) -> list[str]:
    return [path.stem for path in (spool.root / ".state").glob("*.json")]


def test_the_file_goes_when_the_last_of_its_targets_has_it(spool: Spool) -> None:
    store(service(spool), "1.1")
    room = Room(spool, "a", "b")
    room.find()
    assert room.waiting() == {"a": 1, "b": 1}
    room.deliver("b")
    assert (room.waiting(), spool.path(X).exists(), len(progress(spool))) == ({"a": 1, "b": 0}, True, 1)
    room.deliver("a")
    assert (room.waiting(), spool.path(X).exists(), progress(spool)) == ({"a": 0, "b": 0}, False, [])


def test_who_has_it_already_does_not_get_it_again_after_a_restart(spool: Spool) -> None:
    store(service(spool), "1.1")
    first = Room(spool, "a", "b")
    first.find()
    first.deliver("a")
    again = Room(spool, "a", "b")
    again.find()
    assert again.waiting() == {"a": 0, "b": 1}


def test_what_all_have_already_is_let_go_as_soon_as_it_is_found(spool: Spool) -> None:
    store(service(spool), "1.1")
    ProgressFiles(spool.root / ".state").write(spool.envelope(X).id, Progress(frozenset({"a", "b"})))
    room = Room(spool, "a", "b")
    room.find()
    assert (room.waiting(), list(spool.names()), room.room.items) == ({"a": 0, "b": 0}, [], {})


def test_versions_move_up_under_the_hands_of_all_lanes(spool: Spool) -> None:
    for pixels in (b"first...", b"second..", b"third..."):
        store(service(spool), "1.1", data_set("1.1", pixels=pixels))
    room = Room(spool, "a", "b")
    room.find()
    assert [room.deliver(name) for name in "aaab"] == [
        X.path, X._replace(number=2).path, X._replace(number=3).path, X.path,
    ]  # fmt: skip
    assert room.deliver("b") == X.path, "the second has moved up"
    assert room.deliver("b") == X.path
    assert list(spool.names()) == []


def test_what_is_refused_by_one_still_waits_for_the_other(spool: Spool) -> None:
    store(service(spool), "1.1")
    room = Room(spool, "a", "b")
    room.find()
    item = room.lanes["a"].take(0)
    assert item is not None
    room.room.refused(room.lanes["a"], item, "bad file")
    assert (room.waiting(), spool.path(X).exists()) == ({"a": 0, "b": 1}, True)
    room.deliver("b")
    (letter,) = DeadLetters(spool).list()
    assert (letter.target, letter.why, list(spool.names())) == ("a", "bad file", [])


@pytest.mark.parametrize("missing", ["pipeline", "target"])
def test_what_has_no_place_to_go_waits_for_one_and_is_told_once(spool: Spool, missing: str) -> None:
    for uid in ("1.1", "1.2"):
        store(service(spool), uid)
    room = Room(spool, "a", forward_to=["gone"] if missing == "target" else ["a"])
    pipelines = room.room.pipelines
    if missing == "pipeline":
        room.room.pipelines = {}
    room.find()
    room.find()
    assert (len(room.room.unrouted), room.waiting(), len(room.told)) == (2, {"a": 0}, 1)
    assert "wait for a setting" in room.told[0]
    room.room.pipelines = pipelines
    room.lanes.setdefault("gone", Lane(FakeTarget("gone"), Breaker(1, 1, lambda: 1.0)))
    room.room.readmit()
    assert sum(room.waiting().values()) == 2
    assert room.room.unrouted == {}


def test_a_target_that_is_taken_away_leaves_what_waited_for_it_alone_to_be_routed_anew(spool: Spool) -> None:
    store(service(spool), "1.1")
    room = Room(spool, "a", "b")
    room.find()
    room.deliver("b")
    room.room.close(room.lanes.pop("a"))
    assert list(room.room.unrouted.values()) == [Waiting.of(X, spool.envelope(X), spool.path(X).stat().st_size)]
    room.room.pipelines = {"main": Pipeline(aet="PROXY", forward_to=["b"])}
    room.room.readmit()
    assert list(spool.names()) == [], "b has it already"


def test_a_file_that_does_not_even_tell_what_it_is_becomes_a_dead_letter(spool: Spool) -> None:
    for pixels in (b"first...", b"second.."):
        store(service(spool), "1.1", data_set("1.1", pixels=pixels))
    spool.path(X).write_bytes(b"rubbish")
    room = Room(spool, "a")
    room.find()
    (letter,) = DeadLetters(spool).list()
    assert (letter.retryable, DeadLetters(spool).path(letter).read_bytes()) == (False, b"rubbish")
    assert len(room.told) == 1
    room.find()
    assert room.deliver("a") == X.path, "the next has moved up"
