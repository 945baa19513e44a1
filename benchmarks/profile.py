"""Where the proxy's time goes during hot retrieves: py-spy's samples, folded to the functions that use most."""

import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import timed
from benchmarks.studies import Study
from benchmarks.systems import System
from benchmarks.works import get_command
from tests.support.dcmtk import environment

_SECONDS = 8


def profile(system: System, study: Study, target: Path, tell: Callable[[str], None]) -> str:
    """Sample the proxy while one client retrieves again and again; Markdown lines of what was on top.

    The folded stacks are left in `target` for a flame graph.
    """
    program = shutil.which("py-spy") or str(Path(sys.executable).parent / "py-spy")
    if not Path(program).exists():
        return "py-spy is not installed (pip install py-spy)"
    tell(f"sampling {system.name} during {study.name}")
    over = threading.Event()

    def load() -> None:
        while not over.is_set():
            command = get_command(system.port, system.aet, study, 16384)
            timed([command], dict(environment(nodelay=False)), system.pid)

    loader = threading.Thread(target=load)
    loader.start()
    options = ["--pid", str(system.pid), "--subprocesses", "--format", "raw", "--rate", "250", "--gil"]
    done = subprocess.run(
        [program, "record", *options, "--duration", str(_SECONDS), "--output", str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    over.set()
    loader.join()
    if not target.exists():
        return f"py-spy: {done.stderr.strip()[-200:]}"
    return "\n".join(top(target.read_text(), 15))


def top(folded: str, count: int) -> list[str]:
    """The functions in which most samples ended, with their share, from py-spy's raw format."""
    own: Counter[str] = Counter()
    for line in folded.splitlines():
        stack, _, samples = line.rpartition(" ")
        if stack and samples.isdigit():
            own[stack.split(";")[-1]] += int(samples)
    total = sum(own.values()) or 1
    return [f"| {100 * samples / total:.1f} % | `{name}` |" for name, samples in own.most_common(count)]
