"""The worker processes: started with the inherited sockets, restarted when they die, told what has changed.

Each worker has a pipe of its own to us. Down go ("settings", Settings), ("level", name) and ("drain", seconds);
up come ("ready", None) and ("events", [Event, ...]). Settings travel in the pipe, so secrets show neither in
arguments nor in the environment.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from typing import Any

from proxy.config import Settings
from proxy.events import AssociationEnded, AssociationOpened, Event, Trouble
from proxy.supervisor.sockets import Listening

_CALM = 10.0  # seconds after which a worker counts as healthy again
_LONGEST_PAUSE = 5.0  # what somebody sends may kill worker after worker, and others want to be served meanwhile
_NO_ROOM_PAUSE = 2.0


@dataclass(slots=True)
class Worker:
    """One process. `since` is wall-clock time, `started` monotonic."""

    number: int
    process: subprocess.Popen[bytes]
    pipe: Connection
    since: float
    started: float
    ready: bool = False
    restarts: int = 0
    quick_deaths: int = 0  # in a row
    start_again_at: float | None = None
    associations: dict[str, AssociationOpened] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Does the process still run?"""
        return self.start_again_at is None and self.process.poll() is None


@dataclass(slots=True)
class Crew:
    """All workers. `on_event` gets every event they tell, `on_death` the pid of each that died."""

    size: int
    listening: Listening
    occupancy_fd: int
    on_event: Callable[[Event], None]
    on_death: Callable[[int], None]
    workers: list[Worker] = field(default_factory=list)
    stopping: bool = False

    def start(self, settings: Settings) -> None:
        """Start all workers."""
        self.workers = [self._spawn(number, settings) for number in range(1, self.size + 1)]

    @property
    def ready(self) -> bool:
        """Do all workers accept associations?"""
        return all(worker.ready for worker in self.workers)

    def pipes(self) -> list[Connection]:
        """What to wait on for `attend`."""
        return [worker.pipe for worker in self.workers if worker.start_again_at is None]

    def attend(self, readable: Iterable[object], settings: Settings) -> None:
        """Take in what workers say, notice the dead, and start those again whose pause is over."""
        for worker in self.workers:
            if worker.pipe in readable and not self._hear(worker):
                self._bury(worker)
        now = time.monotonic()
        for index, worker in enumerate(self.workers):
            if worker.start_again_at is not None and now >= worker.start_again_at and not self.stopping:
                self.workers[index] = self._again(worker, settings)

    def tell(self, kind: str, payload: Any) -> None:
        """Send a message to every living worker."""
        for worker in self.workers:
            if worker.alive:
                with contextlib.suppress(OSError):
                    worker.pipe.send((kind, payload))

    def any_alive(self) -> bool:
        """Is there still a worker running?"""
        return any(worker.alive for worker in self.workers)

    def kill(self) -> None:
        """End what is left, now."""
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.kill()
            worker.process.wait()
            worker.pipe.close()

    def _hear(self, worker: Worker) -> bool:
        try:
            while worker.pipe.poll():
                kind, payload = worker.pipe.recv()
                if kind == "ready":
                    worker.ready = True
                elif kind == "events":
                    for event in payload:
                        self._note(worker, event)
                        self.on_event(event)
        except (EOFError, OSError):
            return False
        return True

    def _note(self, worker: Worker, event: Event) -> None:
        """Remember who is connected to which worker: nobody else can tell when it dies."""
        if isinstance(event, AssociationOpened):
            worker.associations[event.association_id] = event
        elif isinstance(event, AssociationEnded):
            worker.associations.pop(event.association_id, None)

    def _end_associations(self, worker: Worker) -> None:
        for opened in worker.associations.values():
            self.on_event(
                AssociationEnded(
                    association_id=opened.association_id,
                    label=opened.label,
                    calling_aet=opened.calling_aet,
                    called_aet=opened.called_aet,
                    pipeline=opened.pipeline,
                    how="lost",
                    why=f"worker {worker.number} died",
                    duration=time.time() - opened.at,
                    operations=0,
                )
            )
        worker.associations.clear()

    def _bury(self, worker: Worker) -> None:
        worker.pipe.close()
        try:
            status = worker.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            status = worker.process.wait()
        self.on_death(worker.process.pid)
        self._end_associations(worker)
        now = time.monotonic()
        worker.quick_deaths = 0 if now - worker.started > _CALM else worker.quick_deaths + 1
        worker.start_again_at = now + _pause(worker.quick_deaths)
        if not self.stopping:
            what = f"worker {worker.number} (pid {worker.process.pid}) ended with status {status}; starting it again"
            self.on_event(Trouble(where="worker", what=what, severity="error"))

    def _again(self, worker: Worker, settings: Settings) -> Worker:
        """Its successor; itself, to be tried again, where the system has no room for another process now."""
        try:
            fresh = self._spawn(worker.number, settings)
        except OSError as error:
            worker.start_again_at = time.monotonic() + _NO_ROOM_PAUSE
            what = f"worker {worker.number} cannot be started: {error.strerror or error}"
            self.on_event(Trouble(where="worker", what=what, severity="error"))
            return worker
        fresh.restarts, fresh.quick_deaths = worker.restarts + 1, worker.quick_deaths
        return fresh

    def _spawn(self, number: int, settings: Settings) -> Worker:
        ours, theirs = Pipe()
        inherited = {"control": theirs.fileno(), "occupancy": self.occupancy_fd}
        for name, listening in (("plain", self.listening.plain), ("tls", self.listening.tls)):
            if listening is not None:
                inherited[name] = listening.fileno()
        arguments = [f"--{name}-fd={fd}" for name, fd in inherited.items()]
        process = subprocess.Popen(
            [sys.executable, "-m", "proxy.worker", f"--number={number}", *arguments],
            pass_fds=tuple(inherited.values()),
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        theirs.close()
        with contextlib.suppress(OSError):
            ours.send(("settings", settings))
        return Worker(number, process, ours, time.time(), time.monotonic())


def _pause(quick_deaths: int) -> float:
    """Seconds before a worker is started again: none for one that had lived well, then doubling."""
    return min(_LONGEST_PAUSE, 0.25 * 2.0 ** min(quick_deaths - 1, 10)) if quick_deaths else 0.0
