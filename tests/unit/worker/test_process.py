"""A worker process as the supervisor knows it: settings in, ready, then whatever it is told, and a clean end."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

import pytest

from proxy.config import Settings
from proxy.events import Event, Trouble
from tests.support import raw
from tests.support.waiting import wait_until


class Worker:
    """One worker on a port of its own, without an Orthanc."""

    def __init__(self, storage: Path, **changes: Any) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.settings = settings(storage, **changes)
        self.pipe, theirs = Pipe()
        occupancy = os.memfd_create("occupancy")
        fds = {"control": theirs.fileno(), "occupancy": occupancy, "plain": self.listener.fileno()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "proxy.worker", "--number=1", *(f"--{name}-fd={fd}" for name, fd in fds.items())],
            pass_fds=tuple(fds.values()),
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        theirs.close()
        os.close(occupancy)
        self.pipe.send(("settings", self.settings))
        assert self.hear() == ("ready", None)

    def hear(self) -> tuple[str, Any]:
        assert self.pipe.poll(20), "it says nothing"
        kind, payload = self.pipe.recv()
        return kind, payload

    def events(self, until: Callable[[Event], bool]) -> Event:
        """The first event that is meant."""
        while True:
            kind, batch = self.hear()
            assert kind == "events"
            for event in batch:
                if until(event):
                    return event  # type: ignore[no-any-return]

    def answers(self, aet: str) -> bool:
        """C-ECHO to that title."""
        try:
            raw.echo(self.port, aet)
        except raw.Ended:
            return False
        return True

    def end(self) -> int:
        return self.process.wait(20)


def settings(storage: Path, **changes: Any) -> Settings:
    return Settings.model_validate(
        {
            "backends": {"orthanc": {"url": "http://127.0.0.1:1", "retries": 1}},
            "storage": {"path": str(storage)},
            "pipelines": {"main": {"aet": "MAIN"}},
            "proxy": {"drain_timeout": 5},
            **changes,
        }
    )


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(tmp_path)
    yield worker
    worker.process.kill()
    worker.process.communicate()
    worker.pipe.close()
    worker.listener.close()


def test_new_pipelines_are_served_from_then_on_and_old_ones_are_not(worker: Worker, tmp_path: Path) -> None:
    assert worker.answers("MAIN")
    worker.pipe.send(("settings", settings(tmp_path, pipelines={"main": {"aet": "OTHER"}})))
    wait_until(lambda: worker.answers("OTHER"))
    assert not worker.answers("MAIN")


def test_settings_that_cannot_be_used_change_nothing_and_are_told(worker: Worker, tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    destination = {"aet": "WS", "host": "ws", "tls": True, "ca": str(rubbish)}
    worker.pipe.send(("settings", settings(tmp_path, destinations={"ws": destination})))
    told = worker.events(lambda event: isinstance(event, Trouble) and event.where == "reload")
    assert isinstance(told, Trouble)
    assert "destinations.ws.ca" in told.what
    assert worker.answers("MAIN")


def test_drained_it_ends_well_and_takes_nobody_more(worker: Worker) -> None:
    assert worker.answers("MAIN")
    worker.pipe.send(("drain", 5.0))
    assert worker.end() == 0


def test_the_death_of_the_supervisor_is_an_order_to_drain(worker: Worker) -> None:
    worker.pipe.close()
    assert worker.end() == 0
    assert worker.process.stderr is not None
    assert "the supervisor is gone" in worker.process.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_a_terminal_sends_to_all_is_for_the_supervisor_to_decide(worker: Worker, number: int) -> None:
    worker.process.send_signal(number)
    assert worker.answers("MAIN")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.end() == 0
