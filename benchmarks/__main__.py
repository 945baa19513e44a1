"""`python -m benchmarks`: starts everything, measures, reports to artifacts/benchmark.md and benchmark.json."""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from benchmarks import memory, rates, report, storing, works
from benchmarks.measure import RunFailed
from benchmarks.profile import profile
from benchmarks.studies import Study, load, load_small_studies, make_studies, multiframe
from benchmarks.systems import ARCHIVE, COLD, HOT, STOCK, Bench, everything, start_proxy, versions

SUBJECTS = ("get", "move", "store", "rates", "parallel", "memory")
_CONSOLE = Console(stderr=True, highlight=False)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=SUBJECTS, help="measure this alone (may be repeated)")
    parser.add_argument("--runs", type=int, default=7, help="runs of each system (default 7)")
    parser.add_argument("--slow-runs", type=int, default=2, help="... where one run takes most of a minute (default 2)")
    parser.add_argument("--pdu", type=int, action="append", help="maximum PDU of the client (default 16384 and 131072)")
    parser.add_argument("--study", choices=("large", "small", "multiframe"), action="append", help="this study alone")
    parser.add_argument("--without", action="append", default=[], choices=("proxy", "stock", "archive"))
    parser.add_argument("--quick", action="store_true", help="a tenth of each study, 3 runs, 1 slow run, one PDU size")
    parser.add_argument("--profile", action="store_true", help="sample the hot proxy with py-spy, too")
    parser.add_argument("--output", type=Path, default=Path("artifacts"), help="folder of the report")
    options = parser.parse_args()
    if options.quick:
        options.runs, options.slow_runs = min(options.runs, 3), 1
    options.pdu = options.pdu or ([16384] if options.quick else [16384, 131072])
    return options


class _Teller:
    """Says what is going on, with the time since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, words: str) -> None:
        _CONSOLE.print(f"[{time.monotonic() - self._began:6.0f} s] {words}", markup=False, soft_wrap=True)


def main() -> int:
    """Measure what the command line asks for; the exit status is 0 when everything could be measured."""
    options = _options()
    tell = _Teller()
    chosen = set(options.only or SUBJECTS)
    results = report.Results(machine=versions())
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        studies = make_studies(folder / "studies", options.quick, tell)
        if options.study:
            studies = [study for study in studies if study.folder.name in options.study]
        results.studies = studies
        for number, pdu in enumerate(options.pdu):
            room = folder / f"pdu-{pdu}"
            room.mkdir()
            with everything(room, studies, pdu, _wanted(options), tell) as bench, _reported(results, tell):
                _retrieves(bench, studies, pdu, chosen, options, results, tell)
                if number == 0:
                    _once(bench, studies, chosen, options, results, tell)
        target = report.write(results, options.output)
    Console().print(target.read_text(), markup=False, highlight=False, soft_wrap=True)
    tell(f"written: {target}")
    return 1 if results.troubles else 0


def _wanted(options: argparse.Namespace) -> set[str]:
    wanted = {HOT, COLD, STOCK, ARCHIVE}
    for left_out, names in {"proxy": {HOT, COLD, STOCK}, "stock": {STOCK}, "archive": {ARCHIVE}}.items():
        if left_out in options.without:
            wanted -= names
    return wanted


@contextlib.contextmanager
def _reported(results: report.Results, tell: Callable[[str], None]) -> Iterator[None]:
    """A part that fails is told in the report; the others go on."""
    try:
        yield
    except (RunFailed, AssertionError, RuntimeError, OSError) as trouble:
        words = str(trouble).strip().splitlines()
        results.troubles.append(f"{type(trouble).__name__}: {words[0] if words else ''}")
        tell(results.troubles[-1])


def _retrieves(
    bench: Bench,
    studies: list[Study],
    pdu: int,
    chosen: set[str],
    options: argparse.Namespace,
    results: report.Results,
    tell: Callable[[str], None],
) -> None:
    for study in studies:
        for subject, work in (("get", works.get), ("move", works.move)):
            if subject in chosen:
                with _reported(results, tell):
                    results.series += work(bench, study, pdu, options.runs, options.slow_runs, tell)


def _once(
    bench: Bench,
    studies: list[Study],
    chosen: set[str],
    options: argparse.Namespace,
    results: report.Results,
    tell: Callable[[str], None],
) -> None:
    """What does not depend on the size of PDUs."""
    if "parallel" in chosen:
        for study in studies:
            with _reported(results, tell):
                results.series += works.parallel(bench, study, options.runs, tell)
    if options.profile and HOT in bench.systems:
        for study in studies:
            with _reported(results, tell):
                options.output.mkdir(parents=True, exist_ok=True)
                lines = profile(bench.systems[HOT], study, options.output / f"profile-{study.folder.name}.txt", tell)
                (options.output / f"profile-{study.folder.name}.md").write_text(lines + "\n")
                tell(f"profile of {study.name}:\n{lines}")
    if "rates" in chosen:
        with _reported(results, tell):
            results.rates += _rates(bench, options, tell)
    if "memory" in chosen and HOT in bench.systems:
        with _reported(results, tell):
            results.footprints += _memory(bench, options, tell)
    if "store" in chosen and HOT in bench.systems:
        with _reported(results, tell):
            results.series += storing.run(bench, studies, options.runs, options.slow_runs, tell)


def _rates(bench: Bench, options: argparse.Namespace, tell: Callable[[str], None]) -> list[rates.Rate]:
    count = 100 if options.quick else 1000
    tell(f"storing {count} studies to be found")
    for orthanc in bench.orthancs.values():
        load_small_studies(orthanc, count)
    systems = [bench.systems[name] for name in rates.SYSTEMS if name in bench.systems]
    return rates.run(systems, count, options.runs, tell)


def _memory(bench: Bench, options: argparse.Namespace, tell: Callable[[str], None]) -> list[memory.Footprint]:
    """One large instance cold, hot and stored; and idle associations."""
    large = multiframe(bench.folder / "gigabyte", 100 if options.quick else 1024)
    tell(f"storing {large.name} in Orthanc")
    for orthanc in bench.orthancs.values():
        load(orthanc, large)
    system = start_proxy(bench, "proxy, one instance of 1 GiB")
    found = [memory.idle_associations(system)]
    found.append(memory.retrieve(system, large, f"C-GET, cold, {large.name}", tell))
    found.append(memory.retrieve(system, large, f"C-GET, hot, {large.name}", tell))
    found.append(memory.store(system, large, f"C-STORE, {large.name}", tell))
    return found


if __name__ == "__main__":
    sys.exit(main())
