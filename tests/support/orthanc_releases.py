"""The Orthanc releases that the tests run against, and how to get the one that Debian 12 does not have.

Orthanc 1.12 comes from Debian 13, unpacked into `.cache/orthanc-1.12` and run with its own loader and libraries:
no root, no chroot, nothing installed. `python -m tests.support.orthanc_releases` fetches it ahead of time.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proxy.demo.orthanc import Orthanc
from proxy.demo.programs import find_program
from tests.support.dcmtk import environment

_CACHE = Path(__file__).parents[2] / ".cache" / "orthanc-1.12"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class NotToBeHad(Exception):
    """Raised when a release cannot be run on this machine; the message says why."""


@dataclass(frozen=True)
class Release:
    """How to run one Orthanc."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def installed() -> Release:
    """The Orthanc that is installed here (1.10.1 on Debian 12). Raises NotToBeHad."""
    program = find_program("Orthanc")
    if program is None:
        raise NotToBeHad("Orthanc is not installed (apt-get install orthanc)")
    return Release("installed", (program,))


def newer() -> Release:
    """Orthanc 1.12 from Debian 13, downloaded when it is not yet in the cache. Raises NotToBeHad."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (_CACHE / "complete").exists():
            _unpack(_download())
            (_CACHE / "complete").touch()
    root = _CACHE / "root"
    libraries = root / "usr/lib/x86_64-linux-gnu"
    dictionaries = root / "usr/share/dcmtk"
    return Release(
        "newer",
        (
            str(libraries / "ld-linux-x86-64.so.2"),
            "--library-path",
            f"{libraries}:{libraries}/blas:{libraries}/lapack",
            str(root / "usr/sbin/Orthanc"),
        ),
        {"DCMDICTPATH": f"{dictionaries}/dicom.dic:{dictionaries}/private.dic"},
    )


def _download() -> Path:
    """Debian 13's orthanc and all that it needs, by an apt that sees an empty machine; the folder of packages."""
    if os.uname().machine != "x86_64" or shutil.which("apt-get") is None or not _KEYRING.exists():
        raise NotToBeHad("Orthanc 1.12 of Debian 13 needs apt-get, Debian's keyring and an x86-64 machine")
    apt = _CACHE / "apt"
    for folder in ("state/lists/partial", "cache/archives/partial", "sources"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    (apt / "sources/trixie.sources").write_text(
        f"Types: deb\nURIs: {_mirror()}\nSuites: trixie\nComponents: main\nSigned-By: {_KEYRING}\n"
    )
    options = {
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": apt / "sources",
        "APT::Architecture": "amd64",
        "APT::Architectures": "amd64",
        "APT::Sandbox::User": "",
        "Acquire::Retries": "3",
    }
    arguments = [argument for key, value in options.items() for argument in ("-o", f"{key}={value}")]
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "--download-only", "orthanc"]):
        done = subprocess.run(
            ["apt-get", *arguments, *command], capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode != 0:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise NotToBeHad(f"Debian 13's packages cannot be downloaded: {' '.join(last)}")
    return apt / "cache/archives"


def _mirror() -> str:
    """Where this machine gets Debian from: the first address in its own apt sources."""
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    if sources.exists():
        for line in sources.read_text().splitlines():
            if line.startswith("URIs:"):
                return line.split()[1]
    listed = Path("/etc/apt/sources.list")
    for line in listed.read_text().splitlines() if listed.exists() else ():
        words = [word for word in line.split() if word.startswith("http")]
        if line.startswith("deb ") and words:
            return words[0]
    raise NotToBeHad("apt's sources name no Debian mirror")


def _unpack(packages: Path) -> None:
    root = _CACHE / "root"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for package in sorted(packages.glob("*.deb")):
        done = subprocess.run(["dpkg-deb", "-x", package, root], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NotToBeHad(f"{package.name} cannot be unpacked: {done.stderr.strip()}")
    shutil.rmtree(_CACHE / "apt")


def make_orthanc(release: Release, folder: Path, **options: object) -> Orthanc:
    """An Orthanc (not yet started) that lets everybody in; `options` are keys of its configuration."""
    defaults: dict[str, object] = {
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomCheckCalledAet": False,
        "OverwriteInstances": False,
        "HttpThreadsCount": 50,
    }
    guard = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
    return Orthanc(
        folder,
        options={**defaults, **options},
        command=[*guard, *release.command],
        environ={**environment(nodelay=True), **release.environment},
    )


if __name__ == "__main__":
    try:
        print(" ".join(newer().command))
    except NotToBeHad as reason:
        print(f"Orthanc 1.12 is left out: {reason}")
        sys.exit(1)
