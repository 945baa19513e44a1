"""The parts of the soak; each returns what it saw, and complaints where something is not as it must be."""

import contextlib
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from proxy.demo.orthanc import Orthanc
from proxy.demo.samples import SyntheticSeries
from tests.attack.kit import Usage, usage
from tests.soak.clients import WORKS, Client, Site
from tests.soak.watching import ECHO_WITHIN, Watch
from tests.support import raw
from tests.support.destinations import storescp
from tests.support.orthanc_releases import installed, make_orthanc
from tests.support.proxy_process import Proxy, settings
from tests.support.raw import Peer
from tests.support.rest import lookup
from tests.support.waiting import wait_until

Tell = Callable[[str], None]
_MEMORY_LEFT = 16 << 20  # bytes that may stay after a part


@dataclass
class Outcome:
    """`facts`: what was measured, in words. `complaints` is empty when all is well."""

    name: str
    facts: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@contextlib.contextmanager
def site(folder: Path, *, slices: int = 50) -> Iterator[tuple[Site, Proxy, Orthanc]]:
    """A real Orthanc with one study, the proxy with a worker per core before it, and a Move Destination."""
    held = SyntheticSeries(name="soak", patient_id="SOAKED", slices=slices, rows=128, columns=128)
    with contextlib.ExitStack() as stack:
        orthanc = make_orthanc(installed(), folder / "orthanc")
        stack.callback(orthanc.kill)
        orthanc.start()
        for file in held.files():
            orthanc.upload(file)
        destination = stack.enter_context(storescp(folder, "SOAKDEST", "--ignore"))
        overrides = {
            "limits": {"associations": 400, "idle_timeout": 100_000},
            "destinations": {"D": {"aet": destination.aet, "host": "127.0.0.1", "port": destination.port}},
            "proxy": {"workers": os.cpu_count() or 1, "log_level": "warning"},
        }
        proxy = Proxy(settings(orthanc.url, folder / "storage", overrides), folder / "proxy")
        stack.callback(proxy.kill)
        proxy.start()
        yield Site(proxy.dicom_port, proxy.aet, held, destination.aet), proxy, orthanc


def mixed(where: Site, proxy: Proxy, orthanc: Orthanc, seconds: float, tell: Tell, *, busy: int, idle: int) -> Outcome:
    """`busy` clients that all do something else, and `idle` associations beside them."""
    outcome = Outcome(f"{busy} busy and {idle} idle associations, {seconds / 60:g} min")
    crowd = [Peer.connect(where.port).associate(where.aet, timeout=20) for _ in range(idle)]
    before = usage(proxy.child.pid, where.port)
    watch, over = Watch(where.port, where.aet, proxy.child.pid), threading.Event()
    clients = [Client(where, WORKS[number % len(WORKS)], over) for number in range(busy)]
    for runner in (watch, *clients):
        runner.start()
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(5.0, left))
        tell(f"{max(left, 0):.0f} s left, {sum(client.done for client in clients)} works done")
    over.set()
    for client in clients:
        client.join(120)
    watch.stop()
    outcome.complaints += [client.trouble for client in clients if client.trouble] + watch.complaints()
    outcome.complaints += [f"an idle association was ended: {peer.ending(0.0)}" for peer in crowd if not _lives(peer)]
    _tell_of(outcome, watch, clients, before)
    _check_stored(outcome, where, proxy, orthanc)
    for peer in crowd:
        peer.release()
    return outcome


def _lives(peer: Peer) -> bool:
    with contextlib.suppress(raw.Ended, OSError):
        return peer.echo(20) == 0
    return False


def _tell_of(outcome: Outcome, watch: Watch, clients: list[Client], before: Usage) -> None:
    peak = max((sample.usage for sample in watch.samples), key=lambda seen: seen.memory, default=before)
    outcome.facts.append(f"{sum(client.done for client in clients)} works")
    by_work: dict[str, list[int]] = {}
    for client in clients:
        by_work.setdefault(client.work.__name__, []).append(client.done)
    for name, done in by_work.items():
        outcome.facts.append(f"{name}: {min(done)} to {max(done)} by each of {len(done)}")
        if min(done) * 5 < statistics.median(done):
            outcome.complaints.append(f"{name} is unfair: {min(done)} to {max(done)}")
    if watch.echoes:
        ordered = sorted(watch.echoes)
        p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        outcome.facts.append(f"C-ECHO of others: median {statistics.median(ordered) * 1000:.0f} ms, 99 % {p99:.2f} s")
    megabytes = peak.memory / (1 << 20)
    outcome.facts.append(f"at most {megabytes:.0f} MiB, {peak.threads} threads, {peak.descriptors} descriptors")
    outcome.facts.append(f"memory rises by {watch.rise() / (1 << 20):.2f} MiB a minute")


def _check_stored(outcome: Outcome, where: Site, proxy: Proxy, orthanc: Orthanc) -> None:
    """All that was acknowledged must be in Orthanc, and nothing else wait."""
    spool = proxy.storage / "dimse"
    try:
        wait_until(lambda: not [*spool.glob("[0-9]*/*/*.dcm"), *spool.glob(".incoming/*.part")], 120)
    except AssertionError:
        outcome.complaints.append("the spool is not empty after two minutes")
    held = {
        orthanc.get(f"/instances/{one}")["MainDicomTags"]["SOPInstanceUID"]
        for one in lookup(orthanc, "Instance", PatientID="SOAK")
    }
    lost = set(where.stored) - held
    outcome.facts.append(f"{len(where.stored)} instances acknowledged, {len(lost)} lost")
    if lost:
        outcome.complaints.append(f"{len(lost)} acknowledged instances are lost")


def churn(where: Site, proxy: Proxy, count: int, tell: Tell) -> Outcome:
    """`count` associations one after the other, ended in every way; nothing stays behind."""
    outcome = Outcome(f"{count} associations opened and ended")
    _in_every_way(where, 50)  # what is made once
    before = usage(proxy.child.pid, where.port)
    began = time.monotonic()
    for number in range(0, count, 500):
        _in_every_way(where, min(500, count - number))
        tell(f"{number} of {count}")
    outcome.facts.append(f"{count / (time.monotonic() - began):.0f} a second")
    echo = raw.echo(where.port, where.aet, timeout=2 * ECHO_WITHIN)
    if echo > ECHO_WITHIN:
        outcome.complaints.append(f"a C-ECHO afterwards takes {echo:.1f} s")
    left = _left(proxy, where, before)
    outcome.complaints += left
    after = usage(proxy.child.pid, where.port)
    outcome.facts.append(f"{(after.memory - before.memory) / (1 << 20):+.1f} MiB, {after.threads} threads")
    return outcome


def _in_every_way(where: Site, count: int) -> None:
    for number in range(count):
        peer = Peer.connect(where.port)
        if number % 5 == 4:
            with contextlib.suppress(raw.Ended):
                peer.associate("NOBODY")
            peer.close()
            continue
        peer.associate(where.aet, timeout=20)
        (peer.release, peer.reset, peer.close, lambda: peer.send(raw.pdu(raw.ABORT, bytes(4))))[number % 4]()
        peer.close()


def _left(proxy: Proxy, where: Site, before: Usage) -> list[str]:
    """What is still held after the peers have gone, given ten seconds."""
    left: list[str] = []

    def settled() -> bool:
        now = usage(proxy.child.pid, where.port)
        left[:] = [
            f"{mine - former} {what} stay"
            for what, mine, former in (
                ("threads", now.threads, before.threads),
                ("connections", now.connections, before.connections),
                ("descriptors", now.descriptors, before.descriptors + 8),
                ("bytes", now.memory, before.memory + _MEMORY_LEFT),
            )
            if mine > former
        ]
        return not left

    with contextlib.suppress(AssertionError):
        wait_until(settled, 10)
    return left
