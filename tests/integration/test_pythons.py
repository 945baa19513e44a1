"""The newer Pythons that we promise: the package installs there, and its demo checks itself."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def interpreter(version: str) -> str | None:
    """A Python of that version on this machine: one of pyenv's, or on the PATH, where pyenv puts some that are none."""
    places = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [*map(str, sorted(places.glob(f"{version}.*/bin/python{version}"))), shutil.which(f"python{version}")]
    works = (one for one in found if one and subprocess.run([one, "-V"], capture_output=True).returncode == 0)
    return next(works, None)


@pytest.mark.timeout(360)
@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_it_installs_and_serves_on_newer_pythons(version: str, tmp_path: Path) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    programs, folder = tmp_path / "bin", tmp_path / "installed"
    programs.mkdir()
    (programs / "python3").write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
    (programs / "python3").chmod(0o755)
    environ = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    environ.pop("PYTHONPATH", None)
    install = [ROOT / "docker" / "install.sh", folder]
    done = subprocess.run(install, capture_output=True, text=True, env=environ, timeout=300)
    if done.returncode != 0 and "No matching distribution" in done.stderr:
        pytest.skip(f"packages cannot be had: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    demo = [folder / "bin" / "orthanc-proxy", "demo", "--once"]
    done = subprocess.run(demo, capture_output=True, text=True, env=environ, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "All checks passed." in done.stdout
