"""What is compared: Orthanc, DCMTK's archive, the proxy in several states; all running side by side."""

import contextlib
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.studies import Study, load
from proxy.demo.orthanc import Orthanc, find_orthanc
from proxy.demo.programs import find_program
from tests.support.dcmtk import environment
from tests.support.destinations import StoreScp, dcmqrscp, storescp
from tests.support.proxy_process import Proxy, settings

ORTHANC, ORTHANC_NODELAY, ARCHIVE = "Orthanc as installed", "Orthanc, TCP_NODELAY=1", "dcmqrscp, TCP_NODELAY=1"
HOT, COLD, STOCK, FLOOR = "proxy, hot", "proxy, cold", "proxy, stock wire (hot)", "floor"
SPOOL, THROUGH = "proxy, spool", "proxy, through"


@dataclass(frozen=True)
class System:
    """One server under test. `slow`: it takes most of a minute, so fewer runs must do."""

    name: str
    port: int
    aet: str
    pid: int
    before: Callable[[], None] = lambda: None
    slow: bool = False
    nodelay_client: bool = False


@dataclass
class Bench:
    """Everything that runs during the benchmark."""

    folder: Path
    orthancs: dict[str, Orthanc] = field(default_factory=dict)
    proxies: dict[str, Proxy] = field(default_factory=dict)
    destinations: dict[str, StoreScp] = field(default_factory=dict)
    systems: dict[str, System] = field(default_factory=dict)
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)


def orthanc(folder: Path, *, nodelay: bool, modalities: Mapping[str, StoreScp], aet: str = "ORTHANC") -> Orthanc:
    """An Orthanc (not started) that lets everybody do everything."""
    guard = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
    return Orthanc(
        folder,
        aet=aet,
        modalities={name: (scp.aet, "127.0.0.1", scp.port) for name, scp in modalities.items()},
        options={
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowGet": True,
            "DicomAlwaysAllowMove": True,
            "DicomCheckCalledAet": False,
        },
        command=[*guard, find_orthanc() or "Orthanc"],
        environ=dict(environment(nodelay=nodelay)),
    )


@contextlib.contextmanager
def everything(
    folder: Path, studies: Sequence[Study], pdu: int, wanted: set[str], tell: Callable[[str], None]
) -> Iterator[Bench]:
    """Start all systems that are wanted, hold `studies` in each, and stop them at the end."""
    bench = Bench(folder)
    with bench.stack as stack:
        for name, nodelay in (("PLAIN", False), ("NODELAY", True)):
            options = ("--ignore", "-pdu", str(pdu))
            bench.destinations[name] = stack.enter_context(storescp(folder, name, *options, nodelay=nodelay))
        for name, nodelay in ((ORTHANC, False), (ORTHANC_NODELAY, True)):
            tell(f"filling {name}")
            made = orthanc(folder / f"orthanc-{nodelay}", nodelay=nodelay, modalities=bench.destinations)
            stack.callback(made.kill)
            made.start()
            for study in studies:
                load(made, study)
            bench.orthancs[name] = made
            bench.systems[name] = System(
                name, made.dicom_port, made.aet, made.pid or 0, slow=not nodelay, nodelay_client=nodelay
            )
        if ARCHIVE in wanted:
            tell(f"filling {ARCHIVE}")
            files = [file for study in studies for file in study.files]
            knows = {scp.aet: ("localhost", scp.port) for scp in bench.destinations.values()}
            archive = stack.enter_context(dcmqrscp(folder, files=files, knows=knows))
            bench.systems[ARCHIVE] = System(ARCHIVE, archive.port, archive.aet, archive.child.pid, nodelay_client=True)
        for name in (HOT, COLD, STOCK):
            if name in wanted:
                start_proxy(bench, name)
        yield bench


def start_proxy(bench: Bench, name: str, *overrides: Mapping[str, object], behind: str = ORTHANC) -> System:
    """A proxy before one of the Orthancs, with its own cache and as many workers as it likes."""
    folder = bench.folder / f"proxy-{len(bench.proxies)}"
    storage = folder / "storage"
    known = {scp.aet: {"aet": scp.aet, "host": "127.0.0.1", "port": scp.port} for scp in bench.destinations.values()}
    base = settings(
        bench.orthancs[behind].url,
        storage,
        {"destinations": known, "listener": {"wire": "stock" if name == STOCK else "fast"}},
        *overrides,
    )
    base["proxy"] = {key: value for key, value in dict(base["proxy"]).items() if key != "workers"}  # type: ignore[call-overload]
    proxy = Proxy(base, folder)
    bench.stack.callback(proxy.kill)
    proxy.start()
    bench.proxies[name] = proxy
    before = (lambda: empty_cache(proxy)) if name == COLD else (lambda: None)
    bench.systems[name] = System(name, proxy.dicom_port, proxy.aet, proxy.child.pid, before, slow=name == STOCK)
    return bench.systems[name]


def empty_cache(proxy: Proxy) -> None:
    """Take away all cached files; the next retrieve is cold.

    They are deleted when the benchmark ends: ext4 without a journal looks long for a free inode where many files have
    just been deleted, and the next cache files would be made there.
    """
    cache = proxy.storage / "cache"
    with contextlib.suppress(FileNotFoundError):
        cache.rename(proxy.storage / f"cache-{time.monotonic_ns()}")


def versions() -> dict[str, str]:
    """What was measured on what."""

    def first_line(*command: str) -> str:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
            return (done.stdout or done.stderr).strip().splitlines()[0]
        return "unknown"

    return {
        "Python": platform.python_version(),
        "kernel": platform.release(),
        "cores": str(os.cpu_count()),
        "Orthanc": first_line(find_orthanc() or "Orthanc", "--version"),
        "DCMTK": first_line(find_program("getscu") or "getscu", "--version"),
    }
