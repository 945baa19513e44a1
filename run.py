#!/usr/bin/env python3
"""Sets up all that is needed and runs a target: `python3 run.py demo`, `make test`. Standard library only.

On a fresh Debian 12 nothing but Python and pip need be there: the virtual environment is made also where
`python3 -m venv` lacks ensurepip, and Debian's orthanc and dcmtk are installed when they are absent and we are root;
for the tests also a browser, and the programs that check what lies under config/ and docker/.
"""

import argparse
import ctypes
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("PROXY_VENV", ROOT / ".venv")).absolute()
PYTHON = VENV / "bin" / "python"
CONSTRAINTS = ROOT / "constraints.txt"
POLICY = Path("/usr/sbin/policy-rc.d")
TOOLS = {"Orthanc": "orthanc", "dcmdump": "dcmtk"}  # program -> Debian's package
TEST_TOOLS = {  # or library
    "chromium": "chromium",  # looks at the status page
    "libatomic.so.1": "libatomic1",  # for the driver that Playwright brings
    "promtool": "prometheus",
    "docker-compose": "docker-compose",
    "systemd-analyze": "systemd",
}
SERVICES = {"orthanc", "prometheus"}  # of these packages; nobody asked for them

IN_PARALLEL = "--numprocesses 3 --dist loadfile"  # most of their time tests wait for somebody
ALL_SERVICES = 'pipelines.dicom_scp.services=["echo","find","get","move","store","commitment"]'

TARGETS = {  # programs of the environment with their arguments
    "setup": [],
    "demo": ["orthanc-proxy demo"],
    "test": [f"python -m pytest {IN_PARALLEL}"],
    "unit": ["python -m pytest tests/unit"],
    "integration": [f"python -m pytest {IN_PARALLEL} tests/integration"],
    "check": ["ruff check .", "ruff format --check .", "mypy", "lint-imports"],
    "docs": [
        "orthanc-proxy config docs --write docs/configuration.md",
        f"orthanc-proxy conformance --config config/config.toml --set {ALL_SERVICES} --write CONFORMANCE.md",
    ],
    "bench": ["python -m benchmarks"],
    "fuzz": ["python -m tests.fuzz"],
    "soak": ["python -m tests.soak"],
    "audit": ["python scripts/audit.py"],
    "lock": ["python scripts/lock.py"],
    "run": ["python"],
}
WITHOUT_TOOLS = {"setup", "check", "docs", "audit", "lock", "run", "unit"}
WITH_TEST_TOOLS = {"test", "integration"}
EXTRAS = {"demo": "", "docs": "", "audit": "audit", "lock": "test,dev,codecs"}  # of pyproject.toml; else `DEVELOPMENT`
DEVELOPMENT = "test,dev"


def main() -> int:
    """Set up, then run the target; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=TARGETS, help="`run` hands its arguments to the environment's Python")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="handed on to the target")
    given = parser.parse_args()
    if sys.version_info < (3, 11):
        return _say(f"orthanc-proxy needs Python 3.11 or newer; this is {sys.version.split()[0]}")
    os.chdir(ROOT)
    if not make_environment() or not install(EXTRAS.get(given.target, DEVELOPMENT)):
        return 1
    if given.target not in WITHOUT_TOOLS and not install_tools(TOOLS) and given.target == "demo":
        return 1
    if given.target in WITH_TEST_TOOLS:
        install_tools(TEST_TOOLS)  # apart: where one of these cannot be had, Orthanc still can
    return run([[*command.split(), *given.arguments] for command in TARGETS[given.target]])


def run(commands: list[list[str]]) -> int:
    """Run them all; the first exit status that is not 0."""
    statuses = [0]
    for number, (program, *arguments) in enumerate(commands, 1):
        command = [str(VENV / "bin" / program), *arguments]
        if number == len(commands) and not any(statuses):
            os.execv(command[0], command)  # so that Ctrl-C and SIGTERM reach it, and it alone
        statuses.append(subprocess.run(command, check=False).returncode)
    return next(filter(None, statuses), 0)


def make_environment() -> bool:
    """Make .venv, unless a working one is there."""
    if PYTHON.exists() and _works([PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]):
        return True
    shutil.rmtree(VENV, ignore_errors=True)
    if not _has("ensurepip") and not _has("pip") and not apt_install("python3-venv"):
        _say("Python has neither ensurepip nor pip; as root: apt-get install python3-venv")
        return False
    # Without ensurepip (Debian keeps it in python3-venv) the environment gets no pip of its own: see `pip`
    options = [] if _works([sys.executable, "-c", "import ensurepip"]) else ["--without-pip"]
    _say(f"making {VENV}")
    return _run([sys.executable, "-m", "venv", *options, VENV])


def install(extras: str) -> bool:
    """Install the package, editable, with what it needs; nothing when that was done before."""
    wanted = hashlib.sha256(b"\0".join(path.read_bytes() for path in (ROOT / "pyproject.toml", CONSTRAINTS)))
    wanted.update(sys.version.encode())
    stamps = [VENV / f".installed-{name}" for name in ([extras] if extras else [extras, DEVELOPMENT])]
    if any(stamp.exists() and stamp.read_text() == wanted.hexdigest() for stamp in stamps):
        return True
    _say("installing Python packages")
    package = f".[{extras}]" if extras else "."
    if not _run([*pip(), "install", "-qq", "-c", CONSTRAINTS, "-e", package]):
        return False
    (VENV / f".installed-{extras}").write_text(wanted.hexdigest())
    return True


def pip() -> list[str | Path]:
    """pip for the environment: its own, or the system's aimed at it, which PEP 668 does not forbid."""
    quiet = ["--disable-pip-version-check", "--no-input"]
    if _works([PYTHON, "-c", "import pip"]):
        return [PYTHON, "-m", "pip", *quiet]
    return [sys.executable, "-m", "pip", "--python", PYTHON, *quiet]


def install_tools(tools: dict[str, str]) -> bool:
    """Those of `tools` that are absent, from Debian's packages; False, and said, where some cannot be had."""
    missing = [package for name, package in tools.items() if not _is_there(name)]
    if not missing:
        return True
    if apt_install(*missing):
        return True
    _say(f"missing: {', '.join(missing)}; as root: apt-get install --no-install-recommends {' '.join(missing)}")
    return False


def apt_install(*packages: str) -> bool:
    """Install Debian packages, where we may; services that come with them are neither started nor left enabled."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    _say(f"installing {', '.join(packages)} with apt")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    ours = not POLICY.exists()
    if ours:  # what invoke-rc.d asks before it starts a service
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        _apt(["update"], environment)
        done = _apt(["install", "-y", "--no-install-recommends", *packages], environment)
    finally:
        if ours:
            POLICY.unlink(missing_ok=True)
    if shutil.which("systemctl"):
        for service in sorted(SERVICES.intersection(packages)):
            _works(["systemctl", "disable", "--now", service])
    return done


def _is_there(name: str) -> bool:
    """A program on the PATH, or a library that can be loaded."""
    if name.startswith("lib"):
        try:
            return bool(ctypes.CDLL(name))
        except OSError:
            return False
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    return shutil.which(name, path=path) is not None


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _works(command: list[str | Path]) -> bool:
    return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0


def _apt(arguments: list[str], environment: dict[str, str]) -> bool:
    """apt-get, whose long story is told only when it ends badly."""
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=120", "-qq", *arguments]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        _say(f"{' '.join(command)}:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.returncode == 0


def _run(command: list[str | Path]) -> bool:
    """Run it, its output to standard error; what fails has said why itself."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
    return done.returncode == 0


def _say(words: str) -> int:
    print(words, file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
