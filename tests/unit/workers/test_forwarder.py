"""Forwarding: in order, confirmed, patient; a dead target disturbs nobody, and nothing is ever dropped."""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

import proxy.workers.forwarder
from proxy.config import Pipeline
from proxy.errors import OrthancRefused, OrthancUnavailable
from proxy.events import Event, Forwarded, Trouble
from proxy.journal import Journal
from proxy.spool.deadletters import DeadLetters
from proxy.spool.names import Name
from proxy.spool.parcel import Parcel, Target, opened
from proxy.spool.progress import ProgressFiles
from proxy.spool.spool import Spool
from proxy.workers.forwarder import Forwarder
from tests.fakes.received import SERIES, STUDY, FakeTarget, data_set, open_spool, service, store
from tests.support.waiting import wait_until


@contextmanager
def forwarding(
    spool: Spool, *targets: Target, events: list[Event] | None = None, **keys: object
) -> Iterator[Forwarder]:
    pipeline = Pipeline.model_validate({"aet": "PROXY", **keys})
    journal = Journal(events.append) if events is not None else Journal()
    forwarder = Forwarder(
        spool, spool._settings, {"main": pipeline}, {target.name: target for target in targets}, journal
    )
    forwarder.start()
    try:
        yield forwarder
    finally:
        forwarder.stop()
        assert forwarder.join(5)


def is_done(spool: Spool) -> Callable[[], bool]:
    return lambda: spool.ledger.count == 0


def test_what_was_there_before_and_what_comes_later_is_delivered_and_let_go(tmp_path: Path) -> None:
    spool, target = open_spool(tmp_path), FakeTarget()
    store(service(spool), "1.1")
    with forwarding(spool, target):
        for number in range(2, 40):
            store(service(spool), f"1.{number}")
        wait_until(is_done(spool))
    assert sorted(target.got) == sorted((f"1.{number}", data_set(f"1.{number}")) for number in range(1, 40))
    assert list(spool.names()) == []
    assert spool.ledger.used == 0


def test_versions_of_one_instance_arrive_in_order_also_when_some_attempts_fail(tmp_path: Path) -> None:
    failures = iter([True, False, True, True, False] * 100)
    lock = threading.Lock()

    def sometimes(parcel: Parcel) -> None:
        with lock:
            if next(failures):
                raise OrthancUnavailable("try later")

    spool, target = open_spool(tmp_path), FakeTarget(behave=sometimes)
    versions = [data_set("1.1", pixels=f"version{number:03d}".encode()) for number in range(30)]
    with forwarding(spool, target):
        for version in versions:
            store(service(spool), "1.1", version)
            store(service(spool), "1.2", version.replace(b"1.1\0", b"1.2\0"))
        wait_until(is_done(spool))
    assert [data for uid, data in target.got if uid == "1.1"] == versions
    assert [data for uid, data in target.got if uid == "1.2"] == [v.replace(b"1.1\0", b"1.2\0") for v in versions]


def test_order_survives_a_restart(tmp_path: Path) -> None:
    spool, target = open_spool(tmp_path), FakeTarget()
    versions = [data_set("1.1", pixels=f"version{number:03d}".encode()) for number in range(12)]
    for version in versions:
        store(service(spool), "1.1", version)
    spool.close()
    again = open_spool(tmp_path)
    with forwarding(again, target):
        wait_until(is_done(again))
    assert [data for _, data in target.got] == versions


def test_a_clock_that_jumps_back_changes_neither_order_nor_ages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, target = open_spool(tmp_path), FakeTarget(behave=unavailable)
    versions = [data_set("1.1", pixels=f"version{number:03d}".encode()) for number in range(5)]
    hours = iter(range(100))
    monkeypatch.setattr(time, "time", lambda: 1.8e9 - 3600 * next(hours))
    monkeypatch.setattr(time, "time_ns", lambda: int(1.8e18) - 3600 * 10**9 * next(hours))
    for version in versions:
        store(service(spool), "1.1", version)
    monkeypatch.undo()
    with forwarding(spool, target) as forwarder:
        wait_until(lambda: forwarder.snapshot().waiting == 5)
        assert 0 <= forwarder.snapshot().oldest_age < 60
        target.behave = lambda parcel: None
        wait_until(is_done(spool))
    assert [data for _, data in target.got] == versions


def unavailable(parcel: Parcel) -> None:
    raise OrthancUnavailable("away")


def test_nothing_is_let_go_before_the_target_has_confirmed(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    there: list[bool] = []
    path = spool.path(Name(STUDY, SERIES, "1.1"))
    target = FakeTarget(behave=lambda parcel: there.append(path.exists()))
    with forwarding(spool, target):
        store(service(spool), "1.1")
        wait_until(is_done(spool))
    assert there == [True]
    assert not path.exists()


def test_a_dead_target_holds_up_only_itself(tmp_path: Path) -> None:
    def away(_: Parcel) -> None:
        raise OrthancUnavailable("connection refused")

    spool, alive, dead = open_spool(tmp_path), FakeTarget("alive"), FakeTarget("dead", away)
    with forwarding(spool, alive, dead, forward_to=["alive", "dead"]) as forwarder:
        for number in range(20):
            store(service(spool), f"1.{number}")
        wait_until(lambda: any(lane.why for lane in forwarder.snapshot().lanes))
        wait_until(lambda: [lane.waiting for lane in forwarder.snapshot().lanes] == [0, 20])
        assert len(alive.got) == 20
        states = {lane.target: lane for lane in forwarder.snapshot().lanes}
        assert states["dead"].why == "connection refused"
        assert states["dead"].retry_at is not None
        assert dead.attempts < 20, "the breaker spares a dead target"
        dead.behave = lambda parcel: None
        wait_until(is_done(spool))
    assert sorted(dead.uids) == sorted(alive.uids)
    assert len(alive.got) == 20, "whoever has it does not get it again"


def test_progress_of_several_targets_survives_a_restart(tmp_path: Path) -> None:
    def away(_: Parcel) -> None:
        raise OrthancUnavailable("connection refused")

    spool, one, two = open_spool(tmp_path), FakeTarget("one"), FakeTarget("two", away)
    with forwarding(spool, one, two, forward_to=["one", "two"]):
        store(service(spool), "1.1")
        wait_until(lambda: two.attempts > 0 and len(list((spool.root / ".state").glob("*.json"))) == 1)
    one_again, two_again = FakeTarget("one"), FakeTarget("two")
    with forwarding(spool, one_again, two_again, forward_to=["one", "two"]):
        wait_until(is_done(spool))
    assert (one_again.uids, two_again.uids) == ([], ["1.1"])
    assert list((spool.root / ".state").iterdir()) == []


@pytest.mark.parametrize(("http", "orthanc"), [(400, 15), (404, 21), (500, 15), (413, 0)])
def test_what_is_refused_for_good_becomes_a_dead_letter_and_holds_nobody_up(
    tmp_path: Path, http: int, orthanc: int
) -> None:
    def refuse_one(parcel: Parcel) -> None:
        if parcel.envelope.sop_instance_uid == "1.3":
            raise OrthancRefused("bad file", http, orthanc)

    events: list[Event] = []
    spool, target = open_spool(tmp_path), FakeTarget(behave=refuse_one)
    with forwarding(spool, target, events=events) as forwarder:
        for number in range(6):
            store(service(spool), f"1.{number}")
        wait_until(lambda: spool.ledger.count == 1 and len(target.got) == 5)
        wait_until(lambda: forwarder.snapshot().waiting == 0)
        snapshot = forwarder.snapshot()
        (letter,) = snapshot.dead_letters
        assert (snapshot.waiting, snapshot.dead_count, letter.why, letter.target) == (0, 1, "bad file", "orthanc")
        target.behave = lambda parcel: None
        forwarder.dead_letters.retry(letter.id)
        wait_until(is_done(spool))
    assert "1.3" in target.uids
    outcomes = [event.outcome for event in events if isinstance(event, Forwarded)]
    assert (outcomes.count("dead"), outcomes.count("delivered")) == (1, 6)


@pytest.mark.parametrize(
    "error",
    [OrthancRefused("wrong password", 401), OrthancUnavailable("HTTP 507"), OrthancRefused("read-only", 405)],
)
def test_what_may_be_mended_is_tried_again_and_reported(tmp_path: Path, error: Exception) -> None:
    attempts = iter(range(100))

    def later(_: Parcel) -> None:
        if next(attempts) < 5:
            raise error

    events: list[Event] = []
    spool, target = open_spool(tmp_path), FakeTarget(behave=later)
    with forwarding(spool, target, events=events):
        store(service(spool), "1.1")
        wait_until(is_done(spool))
    assert [event.outcome for event in events if isinstance(event, Forwarded)] == ["retry"] * 5 + ["delivered"]


def test_a_full_disk_costs_several_targets_nothing_but_a_second_delivery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    spool, one, two = open_spool(tmp_path), FakeTarget("one"), FakeTarget("two")
    monkeypatch.setattr(ProgressFiles, "write", full)
    with forwarding(spool, one, two, forward_to=["one", "two"]) as forwarder:
        for number in range(6):
            store(service(spool), f"1.{number}")
        wait_until(is_done(spool))
        assert all(thread.is_alive() for lane in forwarder._lanes.values() for thread in lane.threads)
    assert sorted(one.uids) == sorted(two.uids) == [f"1.{number}" for number in range(6)]


@pytest.mark.parametrize("failing", ["remove", "bury"])
def test_what_cannot_be_moved_off_a_failing_disk_is_not_overtaken_by_what_came_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def refuse(_: Parcel) -> None:
        raise OrthancRefused("bad file", 400, 15)

    events: list[Event] = []
    versions = [data_set("1.1", pixels=pixels) for pixels in (b"first...", b"second..")]
    spool, target = open_spool(tmp_path), FakeTarget(behave=refuse if failing == "bury" else lambda parcel: None)
    with forwarding(spool, target, events=events) as forwarder:
        with monkeypatch.context() as patched:
            patched.setattr(*((spool, "remove") if failing == "remove" else (DeadLetters, "bury")), read_only)
            for version in versions:
                store(service(spool), "1.1", version)
            wait_until(lambda: target.attempts >= 3)
            assert [data for _, data in target.got if data != versions[0]] == []
            assert forwarder.snapshot().waiting == 2
            assert forwarder.snapshot().lanes[0].why == "", "it is not the target's fault"
        target.behave = lambda parcel: None
        wait_until(is_done(spool))
    assert [data for _, data in target.got][-2:] == versions
    (told,) = [event.what for event in events if isinstance(event, Trouble)]
    assert told.startswith("the disk of the spool fails: Read-only file system")


def test_a_disk_that_cannot_be_read_is_told_once_and_not_laid_at_the_targets_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    broken = iter([True] * 7)

    def read(path: Path) -> AbstractContextManager[Parcel]:
        if path.name == "1.1.dcm" and next(broken, False):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return opened(path)

    monkeypatch.setattr(proxy.workers.forwarder, "opened", read)
    spool, target = open_spool(tmp_path), FakeTarget()
    with forwarding(spool, target, events=events):
        for uid in ("1.1", "1.2"):
            store(service(spool), uid)
        wait_until(is_done(spool))
    assert sorted(target.uids) == ["1.1", "1.2"]
    (told,) = [event.what for event in events if isinstance(event, Trouble)]
    assert told.startswith("the disk of the spool fails: Input/output error")


def test_a_target_that_is_taken_away_during_a_delivery_loses_nothing(tmp_path: Path) -> None:
    gate = threading.Event()
    events: list[Event] = []
    old, new = FakeTarget("old", behave=lambda parcel: gate.wait(10) and None), FakeTarget("new")
    spool = open_spool(tmp_path)
    with forwarding(spool, old, events=events, backend="old") as forwarder:
        store(service(spool), "1.1")
        wait_until(lambda: old.attempts == 1)
        forwarder.replace({"main": Pipeline(aet="PROXY", backend="new")}, {"new": new})
        wait_until(is_done(spool))
        gate.set()
        wait_until(lambda: len([event for event in events if isinstance(event, Forwarded)]) == 2)
    assert new.uids == ["1.1"]
    assert [event for event in events if isinstance(event, Trouble)] == []


def test_a_name_that_is_anothers_by_now_is_not_taken_for_the_one_that_had_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first version goes, the second moves up, and a third gets its name, between taking it and opening it."""
    gate, spool = threading.Event(), open_spool(tmp_path)
    quick, slow = FakeTarget("quick"), FakeTarget("slow", behave=lambda parcel: gate.wait(10) and None)
    versions = [data_set("1.1", pixels=f"version{number}".encode()) for number in range(3)]
    second = spool.path(Name(STUDY, SERIES, "1.1", 2))

    def read(path: Path) -> AbstractContextManager[Parcel]:
        if path == second and not gate.is_set():
            gate.set()
            wait_until(lambda: not second.exists())
            store(service(spool), "1.1", versions[2])
        return opened(path)

    monkeypatch.setattr(proxy.workers.forwarder, "opened", read)
    for version in versions[:2]:
        store(service(spool), "1.1", version)
    with forwarding(spool, quick, slow, forward_to=["quick", "slow"]):
        wait_until(is_done(spool))
    assert [data for _, data in quick.got] == [data for _, data in slow.got] == versions


def test_a_bug_in_a_target_loses_nothing(tmp_path: Path) -> None:
    attempts = iter(range(100))

    def broken(_: Parcel) -> None:
        if next(attempts) < 3:
            raise ZeroDivisionError

    spool, target = open_spool(tmp_path), FakeTarget(behave=broken)
    with forwarding(spool, target):
        store(service(spool), "1.1")
        wait_until(is_done(spool))
    assert target.uids == ["1.1"]


def test_a_damaged_file_is_never_sent(tmp_path: Path) -> None:
    spool, target = open_spool(tmp_path), FakeTarget()
    for uid in ("1.1", "1.2", "1.3"):
        store(service(spool), uid)
    for uid, damage in (("1.1", lambda data: data[:-1] + b"\1"), ("1.2", lambda data: b"no file at all")):
        path = spool.path(Name(STUDY, SERIES, uid))
        path.write_bytes(damage(path.read_bytes()))
    with forwarding(spool, target) as forwarder:
        wait_until(lambda: target.uids == ["1.3"] and forwarder.snapshot().dead_count == 2)
        wait_until(lambda: forwarder.snapshot().waiting == 0)


def test_what_is_missed_by_the_news_is_found(tmp_path: Path) -> None:
    spool, target = open_spool(tmp_path), FakeTarget()
    with forwarding(spool, target):
        spool._teller._path = tmp_path / "nobody listens here"
        store(service(spool), "1.1")
        wait_until(is_done(spool))
    assert target.uids == ["1.1"]


def test_a_file_that_somebody_removes_is_told_and_forgotten(tmp_path: Path) -> None:
    gate = threading.Event()
    spool, target = open_spool(tmp_path), FakeTarget(behave=lambda parcel: gate.wait(5) and None)
    store(service(spool), "1.1")
    with forwarding(spool, target) as forwarder:
        wait_until(lambda: target.attempts == 1)
        for number in range(2, 9):
            store(service(spool), f"1.{number}")
        wait_until(lambda: forwarder.snapshot().waiting == 8)
        spool.path(Name(STUDY, SERIES, "1.8")).unlink()
        gate.set()
        wait_until(lambda: forwarder.snapshot().waiting == 0)
    assert sorted(target.uids) == [f"1.{number}" for number in range(1, 8)]


def test_instances_without_a_target_wait_for_the_setting(tmp_path: Path) -> None:
    spool, target = open_spool(tmp_path), FakeTarget("new")
    store(service(spool), "1.1")
    with forwarding(spool, FakeTarget("other")) as forwarder:
        wait_until(lambda: forwarder.snapshot().unrouted == 1)
        forwarder.replace({"main": Pipeline(aet="PROXY", backend="new")}, {"new": target})
        wait_until(is_done(spool))
    assert target.uids == ["1.1"]


def test_there_is_only_one_forwarder_of_a_spool(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    with forwarding(spool, FakeTarget()):
        with pytest.raises(OSError):
            Forwarder(spool, spool._settings, {}, {}, Journal()).start()


def test_delivered_files_are_kept_where_that_is_wanted(tmp_path: Path) -> None:
    spool, target = open_spool(tmp_path, keep_delivered=True), FakeTarget()
    with forwarding(spool, target):
        store(service(spool), "1.1")
        wait_until(is_done(spool))
    assert (spool.root / ".delivered" / STUDY / SERIES / "1.1.dcm").exists()
    assert list(spool.names()) == []


def test_stopping_does_not_wait_for_what_hangs_and_loses_nothing(tmp_path: Path) -> None:
    gate = threading.Event()
    spool, target = open_spool(tmp_path), FakeTarget(behave=lambda parcel: gate.wait(10) and None)
    store(service(spool), "1.1")
    forwarder = Forwarder(spool, spool._settings, {"main": Pipeline(aet="P")}, {"orthanc": target}, Journal())
    forwarder.start()
    wait_until(lambda: target.attempts == 1)
    forwarder.stop()
    assert not forwarder.join(0.1)
    assert spool.ledger.count == 1
    gate.set()
    assert forwarder.join(5)
