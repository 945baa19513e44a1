"""`python -m tests.soak`: half an hour of mixed load, ten thousand associations, ten thousand instances under SIGKILL.

`--minutes N` for the mixed load, `--only NAME` for one part, `--report FILE` for the table (artifacts/soak.md). The
exit status tells whether all went well.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from tests.soak.parts import Outcome, churn, mixed, site

_CONSOLE = Console(stderr=True, highlight=False)


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="tests.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--associations", type=int, default=10_000)
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--only", choices=("mixed", "churn", "kill"))
    parser.add_argument("--report", type=Path, default=Path("artifacts/soak.md"))
    options = parser.parse_args()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="soak-") as name, _CONSOLE.status("starting") as status:

        def tell(words: str) -> None:
            status.update(words)

        if options.only in (None, "mixed", "churn"):
            with site(Path(name)) as (where, proxy, orthanc):
                if options.only != "churn":
                    outcomes.append(mixed(where, proxy, orthanc, options.minutes * 60, tell, busy=50, idle=200))
                if options.only != "mixed":
                    outcomes.append(churn(where, proxy, options.associations, tell))
        if options.only in (None, "kill"):
            tell(f"{options.instances} instances while everybody is killed in turns")
            outcomes.append(_killed(options.instances))
    text = report(outcomes)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(text)
    print(text)
    return 1 if any(outcome.complaints for outcome in outcomes) else 0


def _killed(instances: int) -> Outcome:
    """The tests of SIGKILL, made longer."""
    outcome = Outcome(f"{instances} instances each under four kinds of SIGKILL")
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-rP", "tests/integration/test_kill_9.py", "--timeout=3600"]
    done = subprocess.run(
        command, env={**os.environ, "SOAK_INSTANCES": str(instances)}, capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.endswith((" blows", " turns")) or " passed" in line]
    outcome.facts += [*lines, f"{time.monotonic() - began:.0f} s"]
    if done.returncode:
        outcome.complaints.append(done.stdout.strip()[-2000:])
    return outcome


def report(outcomes: list[Outcome]) -> str:
    """A Markdown table."""
    rows = [
        f"| {outcome.name} | {'; '.join(outcome.facts)} | {'; '.join(outcome.complaints) or 'well'} |"
        for outcome in outcomes
    ]
    return "\n".join(["| what | seen | outcome |", "| --- | --- | --- |", *rows, ""])


if __name__ == "__main__":
    sys.exit(main())
