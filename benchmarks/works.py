"""The works that are timed: C-GET, C-MOVE and C-STORE of whole studies, interleaved over all systems."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.measure import RunFailed, Series, timed
from benchmarks.recording import Recording, Relay, build_floor, running_floor
from benchmarks.studies import Study
from benchmarks.systems import (
    ARCHIVE,
    COLD,
    FLOOR,
    HOT,
    ORTHANC,
    ORTHANC_NODELAY,
    STOCK,
    Bench,
    System,
)
from proxy.demo.programs import dcmtk_program
from tests.support.dcmtk import environment, responses
from tests.support.destinations import StoreScp

Progress = Callable[[str], None]


def get_command(port: int, aet: str, study: Study, pdu: int) -> list[str]:
    """An unmodified getscu that throws away what it receives."""
    keys = ["-k", "0008,0052=STUDY", "-k", f"0020,000D={study.uid}"]
    return [dcmtk_program("getscu"), "-S", "--ignore", "-pdu", str(pdu), "-aec", aet, *keys, "127.0.0.1", str(port)]


def move_command(port: int, aet: str, destination: str, study: Study) -> list[str]:
    """An unmodified movescu."""
    keys = ["-k", "0008,0052=STUDY", "-k", f"0020,000D={study.uid}"]
    return [dcmtk_program("movescu"), "-S", "-aec", aet, "-aem", destination, *keys, "127.0.0.1", str(port)]


def get(bench: Bench, study: Study, pdu: int, runs: int, slow_runs: int, tell: Progress) -> list[Series]:
    """C-GET of one study from all systems."""
    chosen = [bench.systems[name] for name in _RETRIEVERS if name in bench.systems]
    with _get_floor(bench, study, pdu, tell) as floor:
        chosen += floor
        for system in chosen:
            if not system.slow:
                _check(get_command(system.port, system.aet, study, pdu), study, system)
        return _interleaved(
            chosen,
            f"C-GET, max PDU {pdu}",
            study,
            lambda system: get_command(system.port, system.aet, study, pdu),
            runs,
            slow_runs,
            tell,
        )


_RETRIEVERS = (ORTHANC, ORTHANC_NODELAY, ARCHIVE, STOCK, COLD, HOT)


def _interleaved(
    systems: Sequence[System],
    work: str,
    study: Study,
    command: Callable[[System], list[str]],
    runs: int,
    slow_runs: int,
    tell: Progress,
) -> list[Series]:
    """Run after run, each system once; slow ones only in the first few. A system that fails is left out.

    Where the system was given TCP_NODELAY=1 the client is, too: else its own Nagle would stall that system.
    """
    results = {system.name: Series(work, study.name, system.name) for system in systems}
    for run in range(runs):
        for system in in_turn(systems, run):
            series = results[system.name]
            if series.failed or (system.slow and study.many and run >= slow_runs):
                continue
            system.before()
            try:
                series.runs.append(
                    timed([command(system)], dict(environment(nodelay=system.nodelay_client)), system.pid)
                )
            except RunFailed as failure:
                series.failed = str(failure)
            last = f"{series.runs[-1].wall:.2f} s" if series.runs else series.failed
            tell(f"{work}, {study.name}, run {run + 1} of {runs}: {system.name} {last}")
    return list(results.values())


def in_turn(systems: Sequence[System], run: int) -> list[System]:
    """Each run begins with another one: what one leaves to do for disk and Orthanc would else always hit the same."""
    start = run % len(systems)
    return [*systems[start:], *systems[:start]]


def _check(command: list[str], study: Study, system: System) -> None:
    """Run it once and see in its output that all instances came. Raises RunFailed."""

    done = subprocess.run(
        [command[0], "-d", *command[1:]],
        capture_output=True,
        timeout=300,
        env=dict(environment(nodelay=False)),
        check=False,
    )
    answers = responses((done.stdout + done.stderr).decode(errors="replace"))
    if not answers or answers[-1].status != 0 or answers[-1].completed != study.count:
        raise RunFailed(f"{system.name} does not deliver {study.name}: {answers[-1] if answers else 'no answer'}")


@contextlib.contextmanager
def _get_floor(bench: Bench, study: Study, pdu: int, tell: Progress) -> Iterator[list[System]]:
    """The floor for a C-GET, recorded from the quickest system there is; nothing where gcc is missing."""
    program = build_floor(bench.folder)
    source = bench.systems.get(HOT) or bench.systems[ORTHANC_NODELAY]
    if program is None:
        tell("no floor: gcc is not installed")
        yield []
        return
    script = bench.folder / "floor.script"
    with script.open("wb") as target:
        recording = Recording(target)
        relay = Relay(source.port, recording, 0, server_side=False)
        for port in (source.port, relay.port):
            timed([get_command(port, source.aet, study, pdu)], dict(environment(nodelay=False)), source.pid)
        relay.close()
        recording.finish()
    try:
        with running_floor(program, script) as (port, pid):
            yield [System(FLOOR, port, source.aet, pid)]
    finally:
        script.unlink()


def move(bench: Bench, study: Study, pdu: int, runs: int, slow_runs: int, tell: Progress) -> list[Series]:
    """C-MOVE of one study to storescp; towards a destination with Nagle's algorithm, and one without."""
    everything: list[Series] = []
    for destination, names in (
        ("PLAIN", (ORTHANC, HOT)),
        ("NODELAY", (ORTHANC_NODELAY, ARCHIVE, STOCK, COLD, HOT)),
    ):
        scp = bench.destinations[destination]
        chosen = [bench.systems[name] for name in names if name in bench.systems]
        for system in chosen:
            if not system.slow:
                _check(move_command(system.port, system.aet, scp.aet, study), study, system)
        everything += _interleaved(
            chosen,
            f"C-MOVE, max PDU {pdu}, destination {_words(scp)}",
            study,
            lambda system, aet=scp.aet: move_command(system.port, system.aet, aet, study),  # type: ignore[misc]
            runs,
            slow_runs,
            tell,
        )
    return everything


def _words(scp: StoreScp) -> str:
    return "as installed" if scp.aet == "PLAIN" else "TCP_NODELAY=1"


def parallel(bench: Bench, study: Study, runs: int, tell: Progress, count: int = 4) -> list[Series]:
    """One, then four hot C-GETs at the same time."""
    results = []
    for name in (ORTHANC_NODELAY, HOT):
        system = bench.systems.get(name)
        if system is None:
            continue
        command = get_command(system.port, system.aet, study, 16384)
        series = [Series("C-GET, one client", study.name, name), Series(f"C-GET, {count} clients", study.name, name)]
        chosen = dict(environment(nodelay=system.nodelay_client))
        timed([command], chosen, system.pid)
        for run in range(runs):
            for one, clients in zip(series, (1, count), strict=True):
                one.runs.append(timed([command] * clients, chosen, system.pid))
            tell(f"{count} clients at once, run {run + 1} of {runs}: {name} {series[1].runs[-1].wall:.2f} s")
        results += series
    return results


# ---- C-STORE


def store(
    bench: Bench,
    study: Study,
    systems: Sequence[System],
    settle: Callable[[System, Study], None],
    runs: int,
    slow_runs: int,
    tell: Progress,
) -> list[Series]:
    """storescu with one and with four associations; `settle` waits until all is delivered, and deletes it."""
    results: list[Series] = []
    quarters = _quarters(bench.folder, study)
    for associations, folders in ((1, [study.folder]), (4, quarters)):
        if associations > study.count:
            continue
        found = {s.name: Series(f"C-STORE, {associations} association(s)", study.name, s.name) for s in systems}
        for run in range(runs):
            for system in in_turn(systems, run):
                series = found[system.name]
                if series.failed or (system.slow and run >= slow_runs):
                    continue
                settle(system, study)
                commands = [store_command(system, folder) for folder in folders]
                try:
                    series.runs.append(timed(commands, dict(environment(nodelay=system.nodelay_client)), system.pid))
                except RunFailed as failure:
                    series.failed = str(failure)
                last = f"{series.runs[-1].wall:.2f} s" if series.runs else series.failed
                tell(f"C-STORE x {associations}, {study.name}, run {run + 1} of {runs}: {system.name} {last}")
        for system in systems:
            settle(system, study)
        results += found.values()
    return results


def store_command(system: System, folder: Path) -> list[str]:
    """An unmodified storescu that sends all files of a folder on one association."""
    return [dcmtk_program("storescu"), "+sd", "-aec", system.aet, "127.0.0.1", str(system.port), str(folder)]


def _quarters(folder: Path, study: Study) -> list[Path]:
    """The study's files dealt to four folders, as links."""
    made = []
    for quarter in range(4):
        target = folder / f"{study.folder.name}-{quarter}"
        made.append(target)
        if not target.exists():
            target.mkdir()
            for file in study.files[quarter::4]:
                (target / file.name).hardlink_to(file)
    return made


def wait_until(condition: Callable[[], bool], limit: float = 120.0) -> None:
    """Poll. Raises RunFailed when it does not come true."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise RunFailed(f"waited {limit:.0f} s in vain")
        time.sleep(0.05)
