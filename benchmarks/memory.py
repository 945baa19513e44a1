"""Memory of the proxy while one instance of 1 GiB goes through it, and per idle association."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks.studies import Study
from benchmarks.systems import System
from benchmarks.works import get_command
from proxy.demo.programs import dcmtk_program
from tests.support.dcmtk import environment
from tests.support.raw import Peer


@dataclass
class Footprint:
    """Peak above idle in MiB. `private` is memory of its own; `resident` counts mapped cache files in, too."""

    work: str
    private: float
    resident: float

    def as_json(self) -> dict[str, object]:
        """For the report."""
        return asdict(self)


class _Watch(threading.Thread):
    """Samples private and resident memory of a process tree every 20 ms."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._over = threading.Event()
        self.private = self.resident = 0

    def run(self) -> None:
        while not self._over.wait(0.02):
            private, resident = held(self._pid)
            self.private, self.resident = max(self.private, private), max(self.resident, resident)

    def stop(self) -> None:
        self._over.set()
        self.join()


def held(pid: int) -> tuple[int, int]:
    """Bytes a process tree holds: its own (anonymous and shared memory), and with mapped files."""
    private = resident = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(OSError):
                fields = dict(
                    line.split(":", 1)
                    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
                    if ":" in line
                )
                anonymous, shared, mapped = (
                    int(fields.get(name, "0 kB").split()[0]) * 1024 for name in ("RssAnon", "RssShmem", "RssFile")
                )
                private += anonymous + shared
                resident += anonymous + shared + mapped
    return private, resident


def retrieve(system: System, study: Study, work: str, tell: Callable[[str], None]) -> Footprint:
    """A C-GET of `study`, watched."""
    tell(work)
    return _watched(
        system,
        work,
        lambda: subprocess.run(
            get_command(system.port, system.aet, study, 131072),
            env=dict(environment(nodelay=False)),
            check=True,
            capture_output=True,
            timeout=300,
        ),
    )


def store(system: System, study: Study, work: str, tell: Callable[[str], None]) -> Footprint:
    """A C-STORE of `study`, watched."""
    tell(work)
    command = [dcmtk_program("storescu"), "+sd", "-aec", system.aet, "127.0.0.1", str(system.port), str(study.folder)]
    return _watched(
        system,
        work,
        lambda: subprocess.run(
            command, env=dict(environment(nodelay=True)), check=True, capture_output=True, timeout=300
        ),
    )


def _watched(system: System, work: str, do: Callable[[], object]) -> Footprint:
    idle = held(system.pid)
    watch = _Watch(system.pid)
    watch.start()
    do()
    watch.stop()
    return Footprint(work, (watch.private - idle[0]) / (1 << 20), (watch.resident - idle[1]) / (1 << 20))


def idle_associations(system: System, count: int = 50) -> Footprint:
    """What each of `count` idle associations costs."""
    before = held(system.pid)
    peers = [Peer.connect(system.port).associate(system.aet) for _ in range(count)]
    time.sleep(0.5)
    after = held(system.pid)
    for peer in peers:
        peer.release()
    return Footprint(
        f"one of {count} idle associations",
        (after[0] - before[0]) / count / (1 << 20),
        (after[1] - before[1]) / count / (1 << 20),
    )
