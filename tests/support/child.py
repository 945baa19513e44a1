"""A program running beside the tests that is certainly gone when they are."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil


class Child:
    """A started program with its log, in a process group of its own."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        dies_with_us: bool = True,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        # The kernel ends it when the test run is killed and no teardown can
        guard = ["setpriv", "--pdeathsig", "KILL", "--"] if dies_with_us and shutil.which("setpriv") else []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*guard, *map(str, argv)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def tree(self) -> list[psutil.Process]:
        """The program and all that it started, where still there."""
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.pid)
            return [root, *root.children(recursive=True)]
        return []

    def output(self, last: int = 20000) -> str:
        """The end of what it wrote to its standard streams."""
        return self.log.read_text(errors="replace")[-last:] if self.log.exists() else ""

    def signal(self, number: int) -> None:
        """Send a signal to the program itself, not to its children."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def stop(self, *, timeout: float = 10.0) -> int:
        """Ask it to end, insist after `timeout` seconds, and leave nobody of its group. The exit status."""
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill()
        finally:
            self.kill()

    def kill(self) -> int:
        """End it and its whole group at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        return self.process.wait(10)

    def leftovers(self) -> list[int]:
        """Processes of its group that are still alive after it has ended."""
        alive = []
        for process in psutil.process_iter(["pid", "status"]):
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                group = os.getpgid(process.pid)
                if group == self.pid and process.status() != psutil.STATUS_ZOMBIE:
                    alive.append(process.pid)
        return alive
