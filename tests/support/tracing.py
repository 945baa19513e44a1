"""The system calls of a process, as the kernel sees them, by strace."""

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

_CALLS = "write,writev,pwrite64,fsync,fdatasync,rename,renameat,renameat2,mkdir,mkdirat,sendto,sendmsg"
_LINE = re.compile(r"^(?P<pid>\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<name>\w+)\()(?P<rest>.*)$")
SYNCS = ("fsync", "fdatasync")


@dataclass(frozen=True)
class Call:
    """A system call: a sync counts when it returns, everything else when it is made."""

    name: str
    arguments: str


@contextmanager
def traced(pid: int, log: Path) -> Iterator[None]:
    """Inside, the kernel tells what that process and its threads do; the test is skipped where it does not tell us."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    command = ["strace", "-f", "-y", "-s", "0", "-qq", "-o", log, "-e", f"trace={_CALLS}", "-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        status = Path(f"/proc/{pid}/status")
        wait_until(lambda: tracer.poll() is not None or "TracerPid:\t0" not in status.read_text())
        if tracer.poll() is not None:
            assert tracer.stderr is not None
            pytest.skip(f"we may not trace: {tracer.stderr.read()}")
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=10)


def calls_in(log: Path) -> list[Call]:
    calls, unfinished = [], {}
    for line in log.read_text(errors="replace").splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        pid, resumed, name, rest = found["pid"], found["resumed"], found["name"], found["rest"]
        if resumed in SYNCS:
            calls.append(unfinished.pop(pid))
        elif name in SYNCS and "unfinished" in rest:
            unfinished[pid] = Call(name, rest)
        elif name is not None:
            calls.append(Call(name, rest))
    return calls


WRITES = ("write", "writev", "pwrite64")
FOLDERS = ("mkdir", "mkdirat")
RENAMES = ("rename", "renameat", "renameat2")
SENDS = ("sendto", "sendmsg")


def first(calls: list[Call], names: tuple[str, ...], *words: str, after: int = -1) -> int:
    """The place of the first such call behind `after`, whose arguments hold all these words."""
    for at, call in enumerate(calls[after + 1 :], after + 1):
        if call.name in names and all(word in call.arguments for word in words):
            return at
    raise AssertionError(f"no {names} of {words} after {calls[: after + 1]}:\n{calls[after + 1 :]}")
