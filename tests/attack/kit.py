"""Runs attacks one by one and checks after each: alive for others, and threads, connections and memory back.

An attack is a function that misbehaves towards a `Victim` and asserts what must come of it. Whatever it opened is
still open when the first C-ECHO of somebody else is tried.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support import raw
from tests.support.raw import Context, Peer

ECHO_WITHIN = 2.0  # seconds
MEMORY_ALLOWANCE = 24 << 20  # bytes that may stay
PEAK_ALLOWANCE = 64 << 20  # bytes that may be taken meanwhile


@dataclass
class Victim:
    """The DICOM port under attack. `patience`: seconds in which its time limits must have ended a bad peer.

    `study_uid` names a study of `count` instances of CT Image Storage that it holds, `bulk_uid` one of several
    instances of some MB of Secondary Capture; "" where it holds nothing. `spool` is where what it received lands.
    """

    port: int
    aet: str
    pid: int
    patience: float = 5.0
    study_uid: str = ""
    count: int = 0
    bulk_uid: str = ""
    spool: Path | None = None
    peers: list[Peer] = field(default_factory=list)

    def connect(self, **options: int) -> Peer:
        """A TCP connection."""
        peer = Peer.connect(self.port, **options)
        self.peers.append(peer)
        return peer

    def associate(self, *contexts: Context, **options: object) -> Peer:
        """An association; Verification on context 1 where no contexts are given."""
        peer = self.connect()
        return peer.associate(self.aet, contexts or ((1, raw.VERIFICATION, (raw.IMPLICIT,)),), **options)  # type: ignore[arg-type]

    def forget(self) -> None:
        """Close all that the attack left open."""
        for peer in self.peers:
            peer.close()
        self.peers.clear()

    def received_files(self) -> set[Path]:
        """What lies in the spool, finished or not; but for dead letters, where what may kill Orthanc is kept."""
        files = self.spool.rglob("*") if self.spool else ()
        return {path for path in files if path.is_file() and ".dead" not in path.parts}


@dataclass(frozen=True)
class Attack:
    """One behaviour. `needs`: "retrieve" or "store" where the victim must offer these services."""

    name: str
    run: Callable[[Victim], None]
    needs: str = ""
    slow: bool = False


@dataclass(frozen=True)
class Verdict:
    """What came of an attack; `complaints` is empty when the victim did well."""

    attack: str
    complaints: tuple[str, ...]
    seconds: float
    peak: int  # bytes above the memory before


@dataclass(frozen=True)
class Usage:
    """What a process tree holds."""

    threads: int
    connections: int
    descriptors: int
    memory: int


def usage(pid: int, port: int) -> Usage:
    """Threads, connections on `port`, file descriptors and resident bytes of a process and its children."""
    threads = connections = descriptors = memory = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                threads += process.num_threads()
                descriptors += process.num_fds()
                memory += process.memory_info().rss
                connections += sum(
                    1
                    for connection in process.net_connections(kind="tcp")
                    if connection.laddr.port == port and connection.status != psutil.CONN_LISTEN
                )
    return Usage(threads, connections, descriptors, memory)


class _Peak(threading.Thread):
    """Watches the memory while an attack runs."""

    def __init__(self, pid: int, port: int) -> None:
        super().__init__(daemon=True)
        self.highest = 0
        self._over = threading.Event()
        self._pid, self._port = pid, port

    def run(self) -> None:
        while not self._over.wait(0.05):
            self.highest = max(self.highest, _memory(self._pid))

    def stop(self) -> int:
        self._over.set()
        self.join()
        return max(self.highest, _memory(self._pid))


def _memory(pid: int) -> int:
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return sum(process.memory_info().rss for process in [root, *root.children(recursive=True)])
    return 0


def run(attack: Attack, victim: Victim) -> Verdict:
    """Do it, and look at the victim. Never raises for what the victim does."""
    complaints: list[str] = []
    began = time.monotonic()
    before = usage(victim.pid, victim.port)
    peak = _Peak(victim.pid, victim.port)
    peak.start()
    try:
        attack.run(victim)
    except AssertionError as wrong:
        complaints.append(str(wrong).split("\n")[0])
    except (raw.Ended, OSError, KeyError) as wrong:
        complaints.append(f"{type(wrong).__name__}: {wrong}")
    complaints += _not_alive(victim, "while the peer is there")
    victim.forget()
    taken = peak.stop() - before.memory
    if taken > PEAK_ALLOWANCE:
        complaints.append(f"took {taken >> 20} MB meanwhile")
    complaints += _left_behind(victim, before)
    complaints += _not_alive(victim, "afterwards")
    return Verdict(attack.name, tuple(complaints), time.monotonic() - began, max(taken, 0))


def _not_alive(victim: Victim, when: str) -> Iterator[str]:
    if not psutil.pid_exists(victim.pid):
        yield f"the process is dead {when}"
        return
    try:
        raw.echo(victim.port, victim.aet, timeout=ECHO_WITHIN, calling="OTHER")
    except (raw.Ended, OSError) as error:
        yield f"no C-ECHO {when}: {error or type(error).__name__}"


def _left_behind(victim: Victim, before: Usage) -> list[str]:
    """What is still held after the peer has gone, given the time that the limits take."""
    deadline = time.monotonic() + victim.patience
    while True:
        now = usage(victim.pid, victim.port)
        left = []
        if now.threads > before.threads:
            left.append(f"{now.threads - before.threads} threads stay")
        if now.connections > before.connections:
            left.append(f"{now.connections - before.connections} connections stay")
        if now.descriptors > before.descriptors + 16:
            left.append(f"{now.descriptors - before.descriptors} descriptors stay")
        if now.memory > before.memory + MEMORY_ALLOWANCE:
            left.append(f"{(now.memory - before.memory) >> 20} MB stay")
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def run_all(attacks: Sequence[Attack], victim: Victim, tell: Callable[[Verdict], None]) -> list[Verdict]:
    """Run each attack that this victim can suffer."""
    able = {"", *(["retrieve"] if victim.study_uid else []), *(["store"] if victim.spool else [])}
    verdicts = []
    for attack in attacks:
        if attack.needs in able:
            verdicts.append(run(attack, victim))
            tell(verdicts[-1])
    return verdicts


def expect_end(peer: Peer, within: float, *allowed: str) -> None:
    """Assert that the other side ends this connection, in one of these ways (prefixes; any where none is given)."""
    said = peer.ending(within)
    assert said != "open", f"still open after {within:.1f} s"
    assert not allowed or said.startswith(allowed), f"ended as {said!r} instead of {' or '.join(allowed)}"


def expect_status(peer: Peer, *allowed: int, timeout: float = 5.0) -> None:
    """Assert that one final response comes, without matches before it, with one of these statuses."""
    try:
        answers = peer.answers(timeout)
    except TimeoutError:
        raise AssertionError(f"no answer in {timeout} s") from None
    except KeyError:
        raise AssertionError("a C-STORE came instead of a final response") from None
    status = answers[-1].status
    assert len(answers) == 1, f"{len(answers) - 1} answers before status {status:04X}"
    assert status in allowed, f"status {status:04X} instead of {' or '.join(f'{s:04X}' for s in allowed)}"


def expect_end_or_status(peer: Peer, within: float, *allowed: int) -> None:
    """Assert that either the association ends, or one of these statuses answers."""
    try:
        expect_status(peer, *allowed, timeout=within)
    except raw.Ended:
        return
