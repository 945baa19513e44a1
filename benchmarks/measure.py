"""One timed run of a client: wall-clock time, and processor time of the client and of the server behind it."""

import contextlib
import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import psutil


class RunFailed(Exception):
    """Raised when a client does not end well; its last words."""


@dataclass(frozen=True)
class Run:
    """Seconds."""

    wall: float
    client_cpu: float
    server_cpu: float


@dataclass
class Series:
    """All runs of one system at one work."""

    work: str
    study: str
    system: str
    runs: list[Run] = field(default_factory=list)
    failed: str = ""

    @property
    def wall(self) -> float:
        """Median; infinite where there is no run."""
        return statistics.median(run.wall for run in self.runs) if self.runs else float("inf")

    def as_json(self) -> dict[str, object]:
        """For the report."""
        return {**asdict(self), "median": self.wall if self.runs else None}


def processor_seconds(pid: int) -> float:
    """What a process and all its children have used so far."""
    total = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


def timed(commands: Sequence[Sequence[str]], environment: Mapping[str, str], server: int) -> Run:
    """Run these commands at the same time. Raises RunFailed."""
    before = processor_seconds(server)
    began = time.perf_counter()
    children = [
        subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for command in commands
    ]
    client = 0.0
    try:
        for child in children:
            words = child.stderr.read() if child.stderr else b""
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            client += used.ru_utime + used.ru_stime
            if child.returncode != 0 or b"E: " in words or b"F: " in words:
                raise RunFailed(words.decode(errors="replace").strip()[-300:] or f"exit status {child.returncode}")
    finally:
        for child in children:
            if child.returncode is None:
                child.kill()
                child.wait()
            if child.stderr:
                child.stderr.close()
    wall = time.perf_counter() - began
    return Run(wall, client, processor_seconds(server) - before)
