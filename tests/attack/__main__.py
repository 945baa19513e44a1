"""`python -m tests.attack --plain` runs the kit on a plain pynetdicom SCP, `--proxy` on the proxy.

`--only WORD` chooses attacks by name, `--report FILE` writes a Markdown table. The exit status tells whether all
were survived.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.attack import plain_scp
from tests.attack.catalogue import ATTACKS
from tests.attack.kit import Verdict, Victim, run_all
from tests.attack.target import proxy_victim


@contextlib.contextmanager
def _plain_victim(folder: Path) -> Iterator[Victim]:
    """The plain SCP in a process of its own."""
    spool = folder / "stored"
    spool.mkdir()
    command = [sys.executable, "-m", "tests.attack.plain_scp", str(spool)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield Victim(
            port,
            "PLAIN",
            process.pid,
            study_uid=plain_scp.STUDY_UID,
            count=plain_scp.COUNT,
            bulk_uid=plain_scp.STUDY_UID,
            spool=spool,
        )
    finally:
        process.kill()
        process.wait()


def tell(verdict: Verdict) -> None:
    """A line for each attack as it ends."""
    mark = "FAILED  " if verdict.complaints else "survived"
    print(f"{mark} {verdict.seconds:5.1f} s  {verdict.attack}  {'; '.join(verdict.complaints)}", flush=True)


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--plain", action="store_true", help="attack a plain pynetdicom SCP")
    which.add_argument("--proxy", action="store_true", help="attack the proxy before a real Orthanc")
    parser.add_argument("--wire", choices=("fast", "stock"), default="fast")
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    chosen = [attack for attack in ATTACKS if options.only in attack.name]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="attack-") as folder:
        target = _plain_victim(Path(folder)) if options.plain else proxy_victim(Path(folder), wire=options.wire)
        with target as victim:
            verdicts = run_all(chosen, victim, tell)
            alive = psutil.pid_exists(victim.pid)
    failed = [verdict for verdict in verdicts if verdict.complaints]
    print(
        f"{len(verdicts) - len(failed)} survived, {len(failed)} failed in {time.monotonic() - began:.0f} s"
        + ("" if alive else "; the process is dead")
    )
    if options.report:
        options.report.parent.mkdir(parents=True, exist_ok=True)
        options.report.write_text(report(verdicts))
    return 1 if failed else 0


def report(verdicts: list[Verdict]) -> str:
    """A Markdown table of what came of each attack."""
    rows = [
        f"| {verdict.attack} | {'; '.join(verdict.complaints) or 'survived'} | {verdict.peak / (1 << 20):.1f} |"
        for verdict in verdicts
    ]
    return "\n".join(["| attack | outcome | MB taken meanwhile |", "| --- | --- | --- |", *rows, ""])


if __name__ == "__main__":
    sys.exit(main())
