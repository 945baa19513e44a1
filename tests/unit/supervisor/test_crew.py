"""The worker processes: started with what they need, started again when they die, and mourned correctly."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

import psutil
import pytest

from proxy.config import Settings
from proxy.events import AssociationEnded, AssociationOpened, Event, Trouble
from proxy.supervisor import crew as crew_module
from proxy.supervisor.crew import Crew
from proxy.supervisor.sockets import Listening

SETTINGS = Settings.model_validate({"backends": {"orthanc": {"url": "http://orthanc", "password": "geheim"}}})


@dataclass
class Watch:
    """A crew of fakes, and all that is heard of it."""

    crew: Crew
    events: list[Event] = field(default_factory=list)
    deaths: list[int] = field(default_factory=list)

    def until(self, condition: Callable[[], bool], seconds: float = 15.0) -> None:
        """Do the supervisor's part until it comes about."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.events
            self.crew.attend(wait(self.crew.pipes(), timeout=0.02), SETTINGS)

    @property
    def troubles(self) -> list[str]:
        return [event.what for event in self.events if isinstance(event, Trouble)]


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Watch]]:
    """Call it with a number of workers."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} {Path(__file__).parent / "fake_worker.py"} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setattr(crew_module.sys, "executable", str(script))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    occupancy = os.memfd_create("occupancy")
    watches: list[Watch] = []

    def start(size: int) -> Watch:
        crew = Crew(size, Listening(None, None), occupancy, lambda event: None, lambda pid: None)
        watches.append(Watch(crew))
        crew.on_event, crew.on_death = watches[-1].events.append, watches[-1].deaths.append
        crew.start(SETTINGS)
        return watches[-1]

    yield start
    for one in watches:
        one.crew.kill()
    os.close(occupancy)


def test_it_is_ready_when_every_worker_is(watch: Callable[[int], Watch]) -> None:
    three = watch(3)
    assert not three.crew.ready
    three.until(lambda: three.crew.ready)
    assert [worker.number for worker in three.crew.workers] == [1, 2, 3]
    assert three.crew.any_alive()


def test_secrets_show_neither_in_arguments_nor_in_the_environment(watch: Callable[[int], Watch]) -> None:
    one = watch(1)
    one.until(lambda: one.crew.ready)
    process = psutil.Process(one.crew.workers[0].process.pid)
    assert "geheim" not in str(process.cmdline())
    assert "geheim" not in str(process.environ())


def test_all_are_told_and_what_they_tell_is_passed_on(watch: Callable[[int], Watch]) -> None:
    two = watch(2)
    two.until(lambda: two.crew.ready)
    two.crew.tell("level", "debug")
    two.until(lambda: len(two.events) == 2)
    assert sorted(two.troubles) == ["1: level debug", "2: level debug"]


def test_a_worker_that_dies_is_started_again_and_its_associations_are_told_as_lost(
    watch: Callable[[int], Watch],
) -> None:
    two = watch(2)
    two.until(lambda: two.crew.ready)
    two.crew.tell("level", "open")
    two.until(lambda: sum(isinstance(event, AssociationOpened) for event in two.events) == 2)
    victim = two.crew.workers[0].process
    os.kill(victim.pid, signal.SIGKILL)
    two.until(lambda: two.crew.workers[0].process is not victim and two.crew.ready)
    assert two.deaths == [victim.pid]
    (ended,) = [event for event in two.events if isinstance(event, AssociationEnded)]
    assert (ended.association_id, ended.how, ended.why) == ("a1", "lost", "worker 1 died")
    assert [worker.restarts for worker in two.crew.workers] == [1, 0]
    assert two.troubles == [f"worker 1 (pid {victim.pid}) ended with status -9; starting it again"]


def test_one_that_dies_at_once_each_time_is_started_after_growing_pauses(
    watch: Callable[[int], Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_WORKER", "stillborn")
    one = watch(1)
    one.until(lambda: len(one.deaths) == 3)
    (worker,) = one.crew.workers
    assert worker.start_again_at is not None
    assert worker.start_again_at - time.monotonic() == pytest.approx(1.0, abs=0.3)
    assert not one.crew.ready
    monkeypatch.delenv("FAKE_WORKER")
    one.until(lambda: one.crew.ready)
    one.crew.workers[0].started -= 3600
    one.crew.workers[0].process.kill()
    one.until(lambda: len(one.deaths) == 4)
    assert one.crew.workers[0].quick_deaths == 0, "one that has lived well is started again at once"


@pytest.mark.parametrize(("deaths", "pause"), [(0, 0.0), (1, 0.25), (2, 0.5), (5, 4.0), (6, 5.0), (10**6, 5.0)])
def test_no_pause_is_so_long_that_nobody_is_served(deaths: int, pause: float) -> None:
    assert crew_module._pause(deaths) == pause


def test_where_there_is_no_room_for_another_process_it_is_tried_again(
    watch: Callable[[int], Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(crew_module, "_NO_ROOM_PAUSE", 0.1)
    one = watch(1)
    one.until(lambda: one.crew.ready)
    with monkeypatch.context() as patched:
        patched.setattr(crew_module, "Pipe", full)
        one.crew.workers[0].process.kill()
        one.until(lambda: "worker 1 cannot be started: Too many open files" in one.troubles)
    one.until(lambda: one.crew.ready)


def test_one_that_ends_while_all_are_drained_is_not_started_again(watch: Callable[[int], Watch]) -> None:
    two = watch(2)
    two.until(lambda: two.crew.ready)
    two.crew.stopping = True
    two.crew.tell("drain", 1.0)
    two.until(lambda: not two.crew.any_alive())
    two.until(lambda: len(two.deaths) == 2)
    assert two.troubles == []
