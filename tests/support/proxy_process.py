"""The proxy itself, started as its users start it, on ports that the kernel chose."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from proxy.demo.orthanc import Orthanc
from tests.support.child import Child

AET = "HARMONY_SCP"


def settings(orthanc_url: str, storage: Path, *overrides: Mapping[str, object]) -> dict[str, object]:
    """A whole configuration: one pipeline before one Orthanc; each of `overrides` is merged in, table by table."""
    merged: dict[str, object] = {
        "proxy": {"id": "under-test", "workers": 1, "drain_timeout": 10, "log_level": "info"},
        "listener": {"bind_address": "127.0.0.1", "bind_port": 0},
        "storage": {"path": str(storage)},
        "admin": {"bind_port": 0},
        "cache": {"min_free_bytes": "64 MiB"},
        "spool": {"min_free_bytes": "64 MiB"},
        "pipelines": {
            "under_test": {"aet": AET, "services": ["echo", "find", "get", "move", "store", "commitment"]},
        },
        "backends": {"orthanc": {"url": orthanc_url}},
    }
    for override in overrides:
        merged = _merge(merged, override)
    return merged


def _merge(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merge(under, value) if isinstance(under, dict) and isinstance(value, Mapping) else value
    return merged


def toml(table: Mapping[str, object], path: tuple[str, ...] = ()) -> str:
    """The table as TOML: scalars, lists, tables and lists of tables."""
    plain, nested = [], []
    for key, value in table.items():
        name = (*path, json.dumps(key) if not key.replace("_", "").isalnum() else key)
        if isinstance(value, Mapping):
            nested.append(toml(value, name))
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            nested.extend(f"[[{'.'.join(name)}]]\n{toml(item)}" for item in value)
        else:
            plain.append(f"{name[-1]} = {json.dumps(value, ensure_ascii=False)}\n")
    header = f"[{'.'.join(path)}]\n" if path and (plain or not nested) else ""
    return header + "".join(plain) + ("\n" if plain else "") + "".join(nested)


class Proxy:
    """One `orthanc-proxy serve`; `start` returns when it serves."""

    def __init__(self, configuration: Mapping[str, object], folder: Path, *, wrapper: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.configuration = configuration
        self.aet = AET
        self.dicom_port = 0
        self.tls_port: int | None = None
        self.admin_port: int | None = None
        self._wrapper = wrapper
        self._child: Child | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def child(self) -> Child:
        assert self._child is not None, "the proxy was not started"
        return self._child

    @property
    def config_file(self) -> Path:
        return self.folder / "config.toml"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def storage(self) -> Path:
        storage = self.configuration["storage"]
        assert isinstance(storage, dict)
        return Path(storage["path"])

    @property
    def log(self) -> str:
        """What it wrote to standard error."""
        return self.child.output(200_000)

    def start(self, *, timeout: float = 30.0, environment: Mapping[str, str] | None = None) -> "Proxy":
        """Start it (again, on the same storage; ports may change). Raises AssertionError with its log."""
        self.config_file.write_text(toml(self.configuration))
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "proxy", "serve"]
        self._child = Child(
            "proxy",
            [*self._wrapper, *command, "--config", str(self.config_file), "--ready-file", str(ready)],
            self.folder,
            environment={"PYTHONUNBUFFERED": "1", "COLUMNS": "200", **(environment or {})},
            cwd=Path(__file__).parents[2],
        )
        deadline = time.monotonic() + timeout
        while not ready.exists() or not ready.read_text().strip():
            assert self._child.running, f"the proxy ended at once ({self._child.process.returncode}):\n{self.log}"
            assert time.monotonic() < deadline, f"the proxy is not ready after {timeout} s:\n{self.log}"
            time.sleep(0.02)
        told = json.loads(ready.read_text())
        self.dicom_port, self.tls_port, self.admin_port = told["dicom"], told.get("tls"), told.get("admin")
        return self

    def admin(self, path: str) -> httpx.Response:
        """GET a path of the admin server."""
        return httpx.get(self.admin_url + path, timeout=10)

    def stop(self, *, timeout: float = 25.0) -> None:
        """SIGTERM; assert that it exits 0 and leaves no process behind."""
        child = self.child
        if not child.running:
            return
        child.signal(15)
        status = child.process.wait(timeout)
        left = child.leftovers()
        child.kill()
        assert status == 0, f"the proxy ended with status {status}:\n{self.log}"
        assert not left, f"the proxy left processes behind: {left}\n{self.log}"

    def kill(self) -> None:
        """SIGKILL for all its processes at once."""
        self.child.kill()


class ProxyPool:
    """Proxies that many tests share, by what they stand before and how they are set."""

    def __init__(self, folder: Callable[[str], Path]) -> None:
        self._folder = folder
        self._running: dict[str, Proxy] = {}

    def get(self, orthanc: Orthanc, *overrides: Mapping[str, object]) -> Proxy:
        """The proxy before `orthanc` with these settings, started when it is not there yet."""
        key = repr((orthanc.url, overrides))
        if key not in self._running:
            folder = self._folder("proxy")
            proxy = Proxy(settings(orthanc.url, folder / "storage", *overrides), folder)
            self._running[key] = proxy.start()
        return self._running[key]

    def close(self) -> None:
        """Stop all; the first that does not end well raises, when all are gone."""
        try:
            for proxy in self._running.values():
                proxy.stop()
        finally:
            for proxy in self._running.values():
                proxy.kill()
