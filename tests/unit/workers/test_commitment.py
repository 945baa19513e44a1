"""Promises of storage commitment are kept: looked into until decided, told until somebody listens, and not for ever."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.config import CommitmentSettings
from proxy.dicom.commitment import Reference, Transaction
from proxy.dicom.elements import Elements
from proxy.errors import DestinationUnreachable, OrthancUnavailable, UnknownDestination
from proxy.events import Event, Trouble
from proxy.journal import Journal
from proxy.spool.transactions import Transactions
from proxy.workers.commitment import Address, CommitmentReporter
from tests.fakes.received import CT

TRANSACTION = Transaction("1.9", (Reference(CT, "1.2.3"), Reference(CT, "1.2.4")))


@dataclass
class World:
    """All that a reporter asks, and a clock that stands still."""

    folder: Path
    waiting: set[str] = field(default_factory=set)
    held: dict[str, set[str]] | None = field(default_factory=lambda: {"1.2.3": {CT}, "1.2.4": {CT}})
    now: float = 1000.0
    unreachable: Exception | None = None
    told: list[tuple[Address, str, int]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    reporters: list[CommitmentReporter] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.transactions = Transactions(self.folder)

    def holdings(self, pipeline: str, uids: Iterable[str]) -> Mapping[str, Collection[str]]:
        if self.held is None:
            raise OrthancUnavailable("away")
        return {uid: self.held[uid] for uid in uids if uid in self.held}

    def report(self, address: Address, our_aet: str, event_type: int, information: Elements) -> None:
        if self.unreachable is not None:
            raise self.unreachable
        self.told.append((address, our_aet, event_type))

    def reporter(self, **settings: float) -> CommitmentReporter:
        keys = {"wait": 60, "retry_initial": 5, "retry_max": 20, "give_up_after": 100, **settings}
        reporter = CommitmentReporter(
            self.transactions,
            CommitmentSettings.model_validate(keys),
            waiting_uids=lambda: self.waiting,
            holdings=self.holdings,
            resolve=lambda pipeline, aet: Address(aet, "host", 104),
            report=self.report,
            journal=Journal(self.events.append),
            clock=lambda: self.now,
            chance=lambda: 1.0,
        )
        self.reporters.append(reporter)
        return reporter

    def close(self) -> None:
        for reporter in self.reporters:
            reporter.stop()

    def promise(self) -> None:
        self.transactions.add(TRANSACTION, "main", "SCU", "PROXY")

    @property
    def troubles(self) -> list[str]:
        return [event.what for event in self.events if isinstance(event, Trouble)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def look(reporter: CommitmentReporter) -> int:
    """One round, to its end; how many promises were taken up."""
    started = reporter.look()
    for running in started:
        running.result(10)
    return len(started)


def test_what_is_all_there_is_told_once_and_forgotten(world: World) -> None:
    world.promise()
    reporter = world.reporter()
    assert look(reporter) == 1
    assert world.told == [(Address("SCU", "host", 104), "PROXY", 1)]
    assert (reporter.pending(), look(reporter)) == (0, 0)


@pytest.mark.parametrize("undecided", ["waiting", "away"])
def test_what_is_on_its_way_is_waited_for_but_not_for_ever(world: World, undecided: str) -> None:
    world.promise()
    reporter = world.reporter(wait=10)
    if undecided == "waiting":
        world.waiting = {"1.2.4"}
    else:
        world.held = None
    for _ in range(9):
        look(reporter)
        world.now += 1
    assert world.told == []
    world.now += 2
    look(reporter)
    assert [event_type for _, _, event_type in world.told] == [2]


def test_what_arrives_while_it_is_waited_for_is_committed(world: World) -> None:
    world.waiting = {"1.2.4"}
    world.promise()
    reporter = world.reporter()
    look(reporter)
    world.waiting = set()
    world.now += 2
    look(reporter)
    assert [event_type for _, _, event_type in world.told] == [1]


@pytest.mark.parametrize("error", [DestinationUnreachable("away"), UnknownDestination("who?")])
def test_a_requestor_that_does_not_listen_is_told_later_with_growing_pauses(world: World, error: Exception) -> None:
    world.promise()
    world.unreachable = error
    reporter = world.reporter(give_up_after=10_000)
    tries = []
    for _ in range(60):
        if look(reporter):
            tries.append(world.now)
        world.now += 1
    assert [after - before for before, after in itertools.pairwise(tries)] == [5, 10, 20, 20]
    assert len(world.troubles) == 1, "said once and not each time"
    world.unreachable = None
    world.now += 20
    look(reporter)
    assert len(world.told) == 1
    assert reporter.pending() == 0


def test_a_report_that_nobody_ever_took_is_given_up_and_said(world: World) -> None:
    world.promise()
    world.unreachable = DestinationUnreachable("away")
    reporter = world.reporter()
    for _ in range(30):
        look(reporter)
        world.now += 10
    assert reporter.pending() == 0
    assert "given up" in world.troubles[-1]


def test_promises_are_kept_by_whoever_starts_next(world: World, tmp_path: Path) -> None:
    world.promise()
    world.unreachable = DestinationUnreachable("away")
    look(world.reporter())
    again = World(tmp_path)
    look(again.reporter())
    again.close()
    assert len(again.told) == 1


def test_a_promise_that_somebody_else_keeps_just_now_is_left_to_him(world: World) -> None:
    world.promise()
    (promise_id,) = world.transactions.ids()
    reporter = world.reporter()
    with world.transactions.claim(promise_id) as ours:
        assert ours
        look(reporter)
        assert world.told == []
    world.now += 1
    look(reporter)
    assert len(world.told) == 1


def test_a_damaged_promise_is_told_and_does_not_come_again(world: World, tmp_path: Path) -> None:
    world.promise()
    (path,) = (tmp_path / "commitment").glob("*.json")
    path.write_bytes(b"{")
    reporter = world.reporter()
    look(reporter)
    assert (reporter.pending(), world.told) == (0, [])
    assert "damaged" in world.troubles[0]


def test_a_requestor_that_was_away_is_told_how_it_is_now(world: World) -> None:
    world.held = {"1.2.3": {CT}}
    world.promise()
    world.unreachable = DestinationUnreachable("away")
    reporter = world.reporter()
    look(reporter)
    world.unreachable, world.held = None, {"1.2.3": {CT}, "1.2.4": {CT}}
    world.now += 5
    look(reporter)
    assert [event_type for _, _, event_type in world.told] == [1]


def test_with_orthanc_away_a_requestor_is_told_what_was_decided_before(world: World) -> None:
    world.promise()
    world.unreachable = DestinationUnreachable("away")
    reporter = world.reporter(wait=1)
    look(reporter)
    world.unreachable, world.held = None, None
    world.now += 5
    look(reporter)
    assert [event_type for _, _, event_type in world.told] == [1]


def test_a_disk_that_fails_puts_a_promise_off_and_does_not_break_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Path) -> bytes:
        raise OSError(5, "Input/output error")

    world.promise()
    reporter = world.reporter()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", broken)
        look(reporter)
    assert world.troubles == ["storage commitment is put off: Input/output error"]
    assert look(reporter) == 0, "not at once again"
    world.now += 5
    look(reporter)
    assert [event_type for _, _, event_type in world.told] == [1]
