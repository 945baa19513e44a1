"""A real Orthanc as a child process, in a folder of its own, on ports that were free: for the demo and for tests."""

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from proxy.demo.programs import find_program

Modality = tuple[str, str, int]
"""AE title, host, port: an entry of DicomModalities."""

_ATTEMPTS = 3


class OrthancFailed(RuntimeError):
    """Raised when Orthanc does not start, or answers a call with something else than 200; says which and why."""

    def __init__(self, message: str, http_status: int = 0) -> None:
        super().__init__(message)
        self.http_status = http_status


def find_orthanc() -> str | None:
    """The path of an installed Orthanc, or None."""
    return find_program("Orthanc")


def dying_with_us() -> list[str]:
    """A command prefix that ends a child when we are killed and cannot; nothing where util-linux lacks it."""
    return ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that was free a moment ago, chosen by the kernel."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return port


class Orthanc:
    """One Orthanc: `start`, use, `stop`; both may be repeated, the ports and the stored instances stay.

    `modalities` maps Orthanc's names to (AE title, host, port). `options` are further keys of its configuration
    file and win over ours. `command` starts another build of it, e.g. in a chroot.
    """

    def __init__(
        self,
        folder: Path,
        *,
        aet: str = "ORTHANC",
        modalities: Mapping[str, Modality] | None = None,
        options: Mapping[str, object] | None = None,
        command: Sequence[str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.aet = aet
        self.http_port = 0
        self.dicom_port = 0
        self.name = f"demo-{uuid.uuid4().hex[:12]}"
        self._modalities = dict(modalities or {})
        self._options = dict(options or {})
        self._command = list(command) if command else None
        self._environ = dict(environ) if environ is not None else None
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Orthanc {self.url} dicom {self.aet}@127.0.0.1:{self.dicom_port}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address of the REST API."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def log(self) -> Path:
        """What it wrote to standard output and error."""
        return self.folder / "orthanc.log"

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, timeout: float = 30.0) -> None:
        """Start it and wait until it answers. Raises OrthancFailed."""
        if self.pid is not None:
            return
        chosen_before = self.http_port != 0
        for attempt in range(_ATTEMPTS):
            if not chosen_before:
                self.http_port, self.dicom_port = free_port(), free_port()
            try:
                self._start_once(timeout)
                return
            except OrthancFailed:
                self.stop()
                if chosen_before or attempt == _ATTEMPTS - 1:
                    raise

    def stop(self, timeout: float = 15.0) -> None:
        """End it: SIGTERM, and SIGKILL when that did not help in time."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C: no more patience
            process.wait(timeout)
        process.kill()
        process.wait()

    def kill(self) -> None:
        """SIGKILL: what a power failure looks like to its clients."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """One REST call: HTTP status and body. Raises OSError or http.client.HTTPException."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)
        try:
            connection.request(method, path, body, {"Accept-Encoding": "identity"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """The JSON at `path`. Raises OrthancFailed."""
        return json.loads(self._good("GET", path))

    def get_bytes(self, path: str) -> bytes:
        """The bytes at `path`. Raises OrthancFailed."""
        return self._good("GET", path)

    def post(self, path: str, body: object) -> Any:
        """The JSON answer to a JSON body. Raises OrthancFailed."""
        answer = self._good("POST", path, json.dumps(body).encode())
        return json.loads(answer) if answer else None

    def put(self, path: str, body: object) -> None:
        """PUT a JSON body. Raises OrthancFailed."""
        self._good("PUT", path, json.dumps(body).encode())

    def delete(self, path: str) -> None:
        """DELETE. Raises OrthancFailed."""
        self._good("DELETE", path)

    def upload(self, file: bytes) -> str | None:
        """Store a DICOM file: its instance id, or None when Orthanc does not take it. Raises OrthancFailed."""
        status, answer = self.call("POST", "/instances", file)
        if status in (400, 404):  # not DICOM; without the UIDs that it files instances by
            return None
        if status != 200:
            raise OrthancFailed(f"POST /instances: HTTP {status}", status)
        instance_id: str = json.loads(answer)["ID"]
        return instance_id

    def _good(self, method: str, path: str, body: bytes | None = None) -> bytes:
        status, answer = self.call(method, path, body)
        if status != 200:
            raise OrthancFailed(f"{method} {path}: HTTP {status}", status)
        return answer

    def _configuration(self) -> dict[str, object]:
        return {
            "Name": self.name,
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "Plugins": [],
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAet": self.aet,
            "DicomPort": self.dicom_port,
            "DicomModalities": {name: list(entry) for name, entry in self._modalities.items()},
            **self._options,
        }

    def _start_once(self, timeout: float) -> None:
        command = self._command or [*dying_with_us(), find_orthanc() or ""]
        if not command[-1]:
            raise OrthancFailed("Orthanc is not installed; on Debian: apt-get install orthanc")
        (self.folder / "storage").mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "orthanc.json"
        configuration.write_text(json.dumps(self._configuration(), indent=2), encoding="utf-8")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
                start_new_session=True,  # Ctrl-C is for us: we stop it when everything else has ended
            )
        self._wait(self._process, time.monotonic() + timeout)

    def _wait(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise OrthancFailed(f"Orthanc ended at once ({process.returncode}): {self._last_words()}")
            with contextlib.suppress(OSError, http.client.HTTPException, OrthancFailed, ValueError):
                if self.get("/system").get("Name") == self._configuration()["Name"]:
                    return
            time.sleep(0.05)
        raise OrthancFailed(f"Orthanc does not answer on {self.url}: {self._last_words()}")

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line for line in lines if line.startswith("E")]
        return (errors or lines or ["it said nothing"])[-1]
