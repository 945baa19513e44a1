"""`python -m tests.fuzz`: the attacks on a running proxy, then broken bytes for every parser and for associations.

`--minutes N` is what the second part takes (10), `--only WORD` chooses attacks and targets by name, `--report FILE`
writes both tables as Markdown. What breaks a target is kept in tests/fuzz/corpus, where `make test` tries it again.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.attack.__main__ import report as attack_report
from tests.attack.__main__ import tell as tell_attack
from tests.attack.catalogue import ATTACKS
from tests.attack.kit import Verdict, run_all
from tests.attack.target import proxy_victim
from tests.fuzz.association import converse, fuzzed
from tests.fuzz.corpus import keep
from tests.fuzz.exploring import Outcome, explore
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    verdicts = _attacked(options.only)
    outcomes = list(_fuzzed(options.only, options.minutes * 60, options.seed))
    tables = f"{attack_report(verdicts)}\n{report(outcomes)}"
    print(f"\n{tables}")
    if options.report:
        options.report.parent.mkdir(parents=True, exist_ok=True)
        options.report.write_text(tables)
    broken = sum(bool(verdict.complaints) for verdict in verdicts) + sum(bool(outcome.error) for outcome in outcomes)
    print(f"{len(verdicts)} attacks, {sum(outcome.inputs for outcome in outcomes)} inputs, {broken} of them did harm")
    return 1 if broken else 0


def _attacked(only: str) -> list[Verdict]:
    chosen = [one for one in ATTACKS if only in one.name]
    if not chosen:
        return []
    with tempfile.TemporaryDirectory(prefix="attack-") as folder, proxy_victim(Path(folder)) as victim:
        return run_all(chosen, victim, tell_attack)


def _fuzzed(only: str, seconds: float, seed: int) -> Iterator[Outcome]:
    """Each target gets the same share of the time; associations get four."""
    targets = [target for target in TARGETS if only in target.name]
    associations = 4 if only in "associations" else 0
    share = seconds / max(len(targets) + associations, 1)
    for target in targets:
        yield _told(explore(target, share, seed))
    if associations:
        with fuzzed() as server:
            yield _told(explore(server.target, share * 3, seed))
            yield _told(converse(server.served, share, seed))


def _told(outcome: Outcome) -> Outcome:
    if outcome.broken_by is not None:
        print(f"kept as {keep(outcome.target, outcome.broken_by)}")
    mark = "BROKEN  " if outcome.error else "held    "
    print(f"{mark} {outcome.seconds:5.0f} s  {outcome.target}: {outcome.inputs} inputs  {outcome.error}", flush=True)
    return outcome


def report(outcomes: list[Outcome]) -> str:
    """A Markdown table of what came of each target."""
    rows = [f"| {one.target} | {one.inputs} | {one.error or 'held'} |" for one in outcomes]
    return "\n".join(["| target | inputs | outcome |", "| --- | --- | --- |", *rows, ""])


if __name__ == "__main__":
    sys.exit(main())
