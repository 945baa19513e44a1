"""The demo: a real Orthanc with samples, the proxy before it, a self-check, and command lines to try."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from proxy.config.reference import toml
from proxy.demo.check import Row, SelfCheck
from proxy.demo.commands import command_lines
from proxy.demo.orthanc import Orthanc, OrthancFailed, dying_with_us
from proxy.demo.receiver import Receiver
from proxy.demo.samples import SyntheticSeries, pydicom_files
from proxy.echo import Address

AET = "HARMONY_SCP"
DESTINATION = "DEST_AET"
_PORTS = {"proxy": 11112, "destination": 11113, "admin": 9090}


class DemoFailed(RuntimeError):
    """Raised when the demo cannot go on; says why."""


@dataclass(frozen=True)
class Ports:
    """Where everybody listens on loopback."""

    proxy: int
    destination: int
    admin: int


def run_demo(*, once: bool, keep: Path | None, console: Console) -> int:
    """Run it; the exit status. With `once` it ends after the self-check. `keep` is a folder that stays."""
    with contextlib.ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, _end))
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orthanc-proxy-demo-")))
        ports = _choose_ports(console)
        try:
            orthanc = Orthanc(folder / "orthanc")
            stack.callback(orthanc.stop if keep else orthanc.kill)  # a polite end takes it seconds
            _start(orthanc, ports)
            series = SyntheticSeries()
            _load(orthanc, series, console)
            receiver = stack.enter_context(Receiver(DESTINATION, ports.destination))
            stack.enter_context(_proxy(folder, orthanc, ports))
            target = Address(AET, "127.0.0.1", ports.proxy)
            well = _self_check(SelfCheck(target, orthanc, series, receiver), console)
        except (DemoFailed, OrthancFailed) as error:
            console.print(f"[red]The demo cannot go on:[/] {error}", soft_wrap=True, highlight=False)
            return 1
        except KeyboardInterrupt:
            return 130
        if not once:
            lines = command_lines(target, Address(DESTINATION, "127.0.0.1", ports.destination), orthanc, series)
            console.print(lines, soft_wrap=True, highlight=False, markup=False)
            console.print(f"Status page: http://127.0.0.1:{ports.admin}/   Files: {folder}", soft_wrap=True)
            _stay(receiver, console)
        return 0 if well else 1


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _choose_ports(console: Console) -> Ports:
    """The usual ports, or the next free ones, which is said."""
    chosen: dict[str, int] = {}
    for who, usual in _PORTS.items():
        port = next(port for port in range(usual, 65536) if port not in chosen.values() and _is_free(port))
        if port != usual:
            console.print(f"Port {usual} is in use by another program: the {who} takes {port}.", highlight=False)
        chosen[who] = port
    return Ports(**chosen)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _start(orthanc: Orthanc, ports: Ports) -> None:
    """Start Orthanc and tell it of the proxy (to query it), the destination and itself (to be sent to)."""
    orthanc.start()
    orthanc.put("/modalities/harmony", [AET, "127.0.0.1", ports.proxy])
    orthanc.put("/modalities/destination", [DESTINATION, "127.0.0.1", ports.destination])
    orthanc.put("/modalities/self", [orthanc.aet, "127.0.0.1", orthanc.dicom_port])


def _load(orthanc: Orthanc, series: SyntheticSeries, console: Console) -> None:
    version = orthanc.get("/system")["Version"]
    console.print(f"Orthanc {version} runs: {orthanc.url}", highlight=False)
    files = pydicom_files()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("Loading samples", total=len(files) + series.slices)
        refused = 0
        for path in files:
            refused += orthanc.upload(path.read_bytes()) is None
            progress.advance(task)
        for file in series.files():
            orthanc.upload(file)
            progress.advance(task)
    there = orthanc.get("/statistics")
    holds = f"{there['CountInstances']} instances, {there['CountStudies']} studies, {there['CountPatients']} patients"
    console.print(f"{holds}; {refused} broken samples were refused", highlight=False)


def write_configuration(folder: Path, orthanc: Orthanc, ports: Ports) -> Path:
    """The proxy's configuration for the demo; the path of its main file."""
    tables: dict[str, dict[str, object]] = {
        "proxy": {"id": "demo"},
        "listener": {"bind_address": "127.0.0.1", "bind_port": ports.proxy},
        "storage": {"path": folder / "proxy"},
        "admin": {"bind_port": ports.admin},
        "pipelines.dicom_scp": {"aet": AET},
        "backends.orthanc": {"url": orthanc.url},
        f"destinations.{DESTINATION}": {"aet": DESTINATION, "host": "127.0.0.1", "port": ports.destination},
    }
    path = folder / "config.toml"
    lines = [
        f"[{name}]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in t.items()) for name, t in tables.items()
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@contextlib.contextmanager
def _proxy(folder: Path, orthanc: Orthanc, ports: Ports) -> Iterator[None]:
    """`orthanc-proxy serve` as a child process, from ready to drained."""
    ready, log = folder / "ready.json", folder / "proxy.log"
    ready.unlink(missing_ok=True)
    config = write_configuration(folder, orthanc, ports)
    command = [*dying_with_us(), sys.executable, "-m", "proxy", "serve", "--config", str(config)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ORTHANC_PROXY_")}
    with log.open("ab") as output:
        child = subprocess.Popen(
            [*command, "--ready-file", str(ready)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environ,
            start_new_session=True,  # Ctrl-C is for us: we end it in order
        )
    try:
        _wait_ready(child, ready, log)
        yield
    finally:
        child.terminate()
        try:
            child.wait(40)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait_ready(child: subprocess.Popen[bytes], ready: Path, log: Path, timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while not ready.exists():
        if child.poll() is not None or time.monotonic() > deadline:
            words = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            raise DemoFailed(f"the proxy did not start:\n{words}")
        time.sleep(0.05)
    json.loads(ready.read_text(encoding="utf-8"))


def _self_check(check: SelfCheck, console: Console) -> bool:
    """Print the table row by row as results come; True when all is well."""
    console.print(f"\nSelf-check of {check.target}, compared with Orthanc's REST API", highlight=False)
    rows: list[Row] = []
    with console.status("asking") as status:
        for row in check.rows():
            rows.append(row)
            status.update(f"done: {row.what}")
    table = Table("check", "REST says", "DICOM says", "seconds", "MB/s", "", box=None, pad_edge=False)
    for row in rows:
        mark = "[green]ok[/]" if row.well else "[red]FAILED[/]"
        table.add_row(
            row.what, row.expected, row.got, f"{row.seconds:.2f}", f"{row.rate:.0f}" if row.rate else "", mark
        )
    console.print(table, soft_wrap=True)
    well = all(row.well for row in rows)
    console.print("[green]All checks passed.[/]" if well else "[red]Some checks failed.[/]")
    return well


def _stay(receiver: Receiver, console: Console) -> None:
    """Until Ctrl-C; what the destination receives is told."""
    console.print("\nCtrl-C ends the demo.")
    receiver.clear()
    told = 0
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(0.5)
            if (count := receiver.count) != told:
                told = count
                console.print(f"{receiver.aet} has received {count} instances", highlight=False)
    console.print("Ending.")
