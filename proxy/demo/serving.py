"""The demo's proxy: its ports, its configuration, and `orthanc-proxy serve` as a child process."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.config.reference import toml
from proxy.demo.orthanc import Orthanc, dying_with_us

AET = "HARMONY_SCP"
DESTINATION = "DEST_AET"
_USUAL = {"proxy": 11112, "destination": 11113, "admin": 9090}


class ProxyFailed(RuntimeError):
    """Raised when the proxy does not start; says why."""


@dataclass(frozen=True)
class Ports:
    """Where everybody listens on loopback."""

    proxy: int
    destination: int
    admin: int


def choose_ports() -> tuple[Ports, list[str]]:
    """The usual ports, or the next free ones, and a sentence on each that is not the usual."""
    chosen: dict[str, int] = {}
    sentences = []
    for who, usual in _USUAL.items():
        port = next(port for port in range(usual, 65536) if port not in chosen.values() and _is_free(port))
        if port != usual:
            sentences.append(f"Port {usual} is in use by another program: the {who} takes {port}.")
        chosen[who] = port
    return Ports(**chosen), sentences


def _is_free(port: int) -> bool:
    """Whether nobody listens there on any address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
            probe.listen(1)
        except OSError:
            return False
    return True


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
    with path.open("w", encoding="utf-8") as file:
        for name, keys in tables.items():
            file.write(f"[{name}]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in keys.items()) + "\n")
    return path


@contextlib.contextmanager
def serving(folder: Path, config: Path) -> Iterator[None]:
    """`orthanc-proxy serve`, from ready to drained. Raises ProxyFailed."""
    ready, log = folder / "ready.json", folder / "proxy.log"
    ready.unlink(missing_ok=True)
    command = [*dying_with_us(), sys.executable, "-m", "proxy", "serve", "--config", str(config)]
    with log.open("ab") as output:
        child = subprocess.Popen(
            [*command, "--ready-file", str(ready)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={name: value for name, value in os.environ.items() if not name.startswith("ORTHANC_PROXY_")},
            start_new_session=True,  # Ctrl-C is for us: we end it in order
        )
    try:
        _wait_ready(child, ready, log)
        yield
    finally:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C: no more patience
            child.wait(40)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _wait_ready(child: subprocess.Popen[bytes], ready: Path, log: Path, timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while not ready.exists():
        if child.poll() is not None or time.monotonic() > deadline:
            words = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            raise ProxyFailed(f"the proxy did not start:\n{words}")
        time.sleep(0.05)
