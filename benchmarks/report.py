"""The figures as Markdown and JSON, and what the goals make of them."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.measure import Series
from benchmarks.memory import Footprint
from benchmarks.rates import Rate
from benchmarks.studies import Study
from benchmarks.systems import (
    COLD,
    FLOOR,
    HOT,
    ORTHANC,
    ORTHANC_NODELAY,
    SPOOL,
    THROUGH,
)


@dataclass
class Results:
    """All that was measured."""

    machine: dict[str, str] = field(default_factory=dict)
    studies: list[Study] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    rates: list[Rate] = field(default_factory=list)
    footprints: list[Footprint] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Goal:
    """A bound on a figure; `reached` is nan where it was not measured."""

    name: str
    bound: float
    reached: float
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        """None where it was not measured."""
        if math.isnan(self.reached):
            return None
        return self.reached <= self.bound if self.at_most else self.reached >= self.bound


def write(results: Results, folder: Path) -> Path:
    """benchmark.md and benchmark.json in `folder`; the path of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    found = goals(results)
    document = {
        "machine": results.machine,
        "series": [series.as_json() for series in results.series],
        "rates": [rate.as_json() for rate in results.rates],
        "memory": [footprint.as_json() for footprint in results.footprints],
        "goals": [{**asdict(goal), "reached": _number(goal.reached), "met": goal.met} for goal in found],
        "troubles": results.troubles,
    }
    (folder / "benchmark.json").write_text(json.dumps(document, indent=1, allow_nan=False, default=str))
    target = folder / "benchmark.md"
    target.write_text("\n".join(_markdown(results, found)) + "\n")
    return target


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _markdown(results: Results, found: Sequence[Goal]) -> Iterable[str]:
    yield "# Benchmark"
    yield ""
    yield ", ".join(f"{name} {value}" for name, value in results.machine.items())
    yield ""
    yield "Seconds of the client by the clock: median (least to most, n runs); then processor seconds, client + server."
    yield "Clients are DCMTK's tools, unmodified; towards systems named TCP_NODELAY=1 they have that setting, too."
    for work in dict.fromkeys(series.work for series in results.series):
        yield from _table(work, [series for series in results.series if series.work == work])
    if results.rates:
        yield from _rates(results.rates)
    if results.footprints:
        yield from ("", "## Memory of the proxy above idle, MiB", "", "| work | its own | with mapped files |")
        yield "| --- | --- | --- |"
        yield from (f"| {one.work} | {one.private:.1f} | {one.resident:.1f} |" for one in results.footprints)
    if found:
        yield from ("", "## Goals", "", "| goal | bound | reached | |", "| --- | --- | --- | --- |")
        for goal in found:
            verdict = {None: "not measured", True: "yes", False: "**no**"}[goal.met]
            sign = "≤" if goal.at_most else "≥"
            yield f"| {goal.name} | {sign} {goal.bound:g} | {goal.reached:.2f} | {verdict} |"
    if results.troubles:
        yield from ("", "## Troubles", "")
        yield from (f"- {trouble}" for trouble in results.troubles)


def _table(work: str, chosen: Sequence[Series]) -> Iterable[str]:
    studies = list(dict.fromkeys(series.study for series in chosen))
    yield from ("", f"## {work}", "", f"| system | {' | '.join(studies)} |")
    yield "| --- |" + " --- |" * len(studies)
    for system in dict.fromkeys(series.system for series in chosen):
        cells = [_cell(chosen, system, study) for study in studies]
        yield f"| {system} | {' | '.join(cells)} |"


def _cell(chosen: Sequence[Series], system: str, study: str) -> str:
    for series in chosen:
        if (series.system, series.study) == (system, study):
            if not series.runs:
                return f"failed: {series.failed[:60]}" if series.failed else ""
            walls = sorted(run.wall for run in series.runs)
            client = sum(run.client_cpu for run in series.runs) / len(walls)
            server = sum(run.server_cpu for run in series.runs) / len(walls)
            spread = f"{walls[0]:.3f} to {walls[-1]:.3f}, n={len(walls)}"
            return f"{series.wall:.3f} ({spread}); {client:.2f} + {server:.2f}"
    return ""


def _rates(rates: Sequence[Rate]) -> Iterable[str]:
    systems = list(dict.fromkeys(rate.system for rate in rates))
    yield from ("", "## Small works, milliseconds each (median)", "", f"| work | {' | '.join(systems)} |")
    yield "| --- |" + " --- |" * len(systems)
    for work in dict.fromkeys(rate.work for rate in rates):
        by_system = {rate.system: rate for rate in rates if rate.work == work}
        cells = [
            f"{by_system[system].milliseconds:.2f} (n={by_system[system].times})" if system in by_system else ""
            for system in systems
        ]
        yield f"| {work} | {' | '.join(cells)} |"


def goals(results: Results) -> list[Goal]:
    """Each goal with what was reached; those about what was not measured are left out."""
    walls = {(series.work, series.study, series.system): series.wall for series in results.series if series.runs}

    def ratio(work: str, study: str, slower: str, faster: str, other: str = "") -> float:
        above, below = walls.get((work, study, slower)), walls.get((other or work, study, faster))
        return above / below if above and below else math.nan

    found: list[Goal] = []
    for study in results.studies:
        name = study.name
        for pdu in (16384, 131072):
            get = f"C-GET, max PDU {pdu}"
            title = f"{get}, {name}: "
            found += [
                Goal(
                    title + "hot, times as fast as Orthanc, TCP_NODELAY=1", 2.5, ratio(get, name, ORTHANC_NODELAY, HOT)
                ),
                Goal(title + "hot, times the floor's time", 1.4, ratio(get, name, HOT, FLOOR), at_most=True),
                Goal(
                    title + "cold, times as fast as Orthanc, TCP_NODELAY=1",
                    1.0,
                    ratio(get, name, ORTHANC_NODELAY, COLD),
                ),
            ]
            plain = f"C-MOVE, max PDU {pdu}, destination as installed"
            nodelay = f"C-MOVE, max PDU {pdu}, destination TCP_NODELAY=1"
            title = f"C-MOVE, max PDU {pdu}, {name}: "
            found += [
                Goal(
                    title + "hot, times as fast as Orthanc, all TCP_NODELAY=1",
                    2.0,
                    ratio(nodelay, name, ORTHANC_NODELAY, HOT),
                ),
                Goal(
                    title + "cold, times as fast as Orthanc, all TCP_NODELAY=1",
                    1.0,
                    ratio(nodelay, name, ORTHANC_NODELAY, COLD),
                ),
            ]
            if study.many:
                words = "hot, times as fast as Orthanc as installed"
                found.append(Goal(f"{get}, {name}: {words}", 50, ratio(get, name, ORTHANC, HOT)))
                found.append(Goal(title + words, 50, ratio(plain, name, ORTHANC, HOT)))
        found += _store_goals(name, walls)
        one, four = walls.get(("C-GET, one client", name, HOT)), walls.get(("C-GET, 4 clients", name, HOT))
        if one and four:
            found.append(Goal(f"{name}: throughput of four parallel hot C-GETs, times one's", 1.5, 4 * one / four))
    found += _small_goals(results)
    return [goal for goal in found if goal.met is not None]


def _store_goals(name: str, walls: dict[tuple[str, str, str], float]) -> list[Goal]:
    one, four = "C-STORE, 1 association(s)", "C-STORE, 4 association(s)"
    prompt, plain = ", client TCP_NODELAY=1", ", client as installed"

    def over(slower: tuple[str, str], faster: tuple[str, str]) -> float:
        above, below = walls.get((slower[0], name, slower[1])), walls.get((faster[0], name, faster[1]))
        return above / below if above and below else math.nan

    title = f"C-STORE, {name}: "
    return [
        Goal(
            title + "spool, times as fast as Orthanc, TCP_NODELAY=1",
            1.8,
            over((one, ORTHANC_NODELAY), (one, SPOOL + prompt)),
        ),
        Goal(
            title + "spool, unmodified client, times Orthanc as installed",
            10,
            over((one, ORTHANC), (one, SPOOL + plain)),
        ),
        Goal(title + "spool, four associations, times one", 1.3, over((one, SPOOL + prompt), (four, SPOOL + prompt))),
        Goal(
            title + "through, times as fast as Orthanc, TCP_NODELAY=1",
            0.9,
            over((one, ORTHANC_NODELAY), (one, THROUGH + prompt)),
        ),
    ]


def _small_goals(results: Results) -> list[Goal]:
    times = {(rate.work, rate.system): rate.milliseconds for rate in results.rates}
    found = []
    for work in dict.fromkeys(rate.work for rate in results.rates):
        hot, orthanc = times.get((work, HOT)), times.get((work, ORTHANC_NODELAY))
        if work.startswith("C-FIND") and hot and orthanc:
            found.append(Goal(f"{work}: times as fast as Orthanc, TCP_NODELAY=1", 1.0, orthanc / hot))
    for footprint in results.footprints:
        bound = 8.0 if "C-STORE" in footprint.work else 64.0
        found.append(Goal(f"memory above idle, MiB: {footprint.work}", bound, footprint.private, at_most=True))
    return found
