"""The demo: a real Orthanc with samples, the proxy before it, a self-check, and command lines to try."""

import contextlib
import signal
import tempfile
import time
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from proxy.demo.check import Row, SelfCheck
from proxy.demo.commands import command_lines
from proxy.demo.orthanc import Orthanc, OrthancFailed
from proxy.demo.receiver import Receiver
from proxy.demo.samples import SyntheticSeries, pydicom_files
from proxy.demo.serving import AET, DESTINATION, Ports, ProxyFailed, choose_ports, serving, write_configuration
from proxy.echo import Address


def run_demo(*, once: bool, keep: Path | None, console: Console) -> int:
    """Run it; the exit status. With `once` it ends after the self-check. `keep` is a folder that stays."""
    with contextlib.ExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):  # a shell's background job ignores SIGINT
            stack.callback(signal.signal, number, signal.signal(number, _end))
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orthanc-proxy-demo-")))
        try:
            return _run(stack, folder, console, once=once, is_kept=keep is not None)
        except (ProxyFailed, OrthancFailed) as error:
            console.print(f"The demo cannot go on: {error}", soft_wrap=True, highlight=False, markup=False)
            return 1
        except KeyboardInterrupt:
            return 130


def _run(stack: contextlib.ExitStack, folder: Path, console: Console, *, once: bool, is_kept: bool) -> int:
    ports, sentences = choose_ports()
    for sentence in sentences:
        console.print(sentence, highlight=False)
    orthanc, series = Orthanc(folder / "orthanc"), SyntheticSeries()
    stack.callback(orthanc.stop if is_kept else orthanc.kill)  # a polite end takes it seconds
    _start(orthanc, ports)
    _load(orthanc, series, console)
    receiver = stack.enter_context(Receiver(DESTINATION, ports.destination))
    stack.enter_context(serving(folder, write_configuration(folder, orthanc, ports)))
    target = Address(AET, "127.0.0.1", ports.proxy)
    well = _self_check(SelfCheck(target, orthanc, series, receiver), console)
    if not once:
        lines = command_lines(target, Address(DESTINATION, "127.0.0.1", ports.destination), orthanc, series)
        console.print(lines, soft_wrap=True, highlight=False, markup=False)
        console.print(f"Status page: http://127.0.0.1:{ports.admin}/   Files: {folder}", soft_wrap=True)
        _stay(receiver, console)
    return 0 if well else 1


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


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


def _self_check(check: SelfCheck, console: Console) -> bool:
    """Print the table; True when all is well."""
    console.print(f"\nSelf-check of {check.target}; retrieves: the synthetic CT study", highlight=False)
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
    receiver.clear()
    told = 0
    with contextlib.suppress(KeyboardInterrupt):
        console.print("\nCtrl-C ends the demo.")
        while True:
            time.sleep(0.5)
            if (count := receiver.count) != told:
                told = count
                console.print(f"{receiver.aet} has received {count} instances", highlight=False)
    console.print("Ending.")
