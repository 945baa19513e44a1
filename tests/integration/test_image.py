"""The image's recipe, as far as it can be checked where no container engine is: its steps, replayed."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from proxy.config.file import read

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
BUILD, FINAL = DOCKERFILE.split("\nFROM ")[-2:]


def environment() -> dict[str, str]:
    """What the image sets."""
    return dict(re.findall(r"^ENV (\w+)=(.*)$", FINAL, re.MULTILINE))


def copies(stage: str) -> list[list[str]]:
    """The COPY lines of a stage that take files from the tree: sources, and the target last."""
    return [line.split() for line in re.findall(r"^COPY (?!--from)(.*)$", stage, re.MULTILINE)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment made by the steps of the build stage, from nothing but what that stage copies."""
    source = tmp_path_factory.mktemp("image") / "src"
    source.mkdir()
    for *names, target in copies(BUILD):
        for name in names:
            place = source / name if target == "./" else source / target
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, place)
    runs = re.findall(r"^RUN (.*)$", BUILD, re.MULTILINE)
    assert runs == ["docker/install.sh /opt/orthanc-proxy"], "a step that is not replayed here"
    folder = source.parent / "opt"
    done = subprocess.run([source / "docker" / "install.sh", folder], capture_output=True, text=True, timeout=300)
    if done.returncode != 0 and "No matching distribution" in done.stderr:
        pytest.skip(f"packages cannot be had: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.timeout(360)
def test_the_steps_of_the_image_install_a_program_that_runs(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "pipelines").mkdir()
    for file in ("config.toml", "pipelines/dicom-scp.toml"):
        shutil.copy(ROOT / "config" / file, tmp_path / file)
    environ = {
        "PATH": os.defpath,
        **environment(),
        "ORTHANC_PROXY_CONFIG": str(tmp_path / "config.toml"),
        "ORTHANC_PROXY__STORAGE__PATH": str(tmp_path / "data"),
    }
    for command in (["version"], ["check"], ["config", "show"]):
        done = subprocess.run(
            [installed / "bin" / "orthanc-proxy", *command], capture_output=True, text=True, env=environ, cwd="/"
        )
        assert done.returncode == 0, done.stderr
    assert 'aet = "HARMONY_SCP"' in done.stdout
    assert "log_to_file = false  # ORTHANC_PROXY__LOGGING__LOG_TO_FILE" in done.stdout


@pytest.mark.timeout(360)
def test_what_the_program_needs_beside_its_code_is_installed_with_it(installed: Path) -> None:
    (packages,) = (installed / "lib").glob("python3*/site-packages")
    there = {path.relative_to(packages) for path in (packages / "proxy").rglob("*") if path.is_file()}
    source = installed.parent / "src"
    shipped = {
        path.relative_to(source)
        for path in (source / "proxy").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped - there == set()


def test_the_image_runs_as_nobody_special_and_checks_its_health_by_dicom() -> None:
    (user,) = re.findall(r"^USER (\d+):(\d+)$", FINAL, re.MULTILINE)
    assert all(int(number) >= 10000 for number in user)
    (health,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", FINAL, re.MULTILINE)
    assert json.loads(health) == ["orthanc-proxy", "healthcheck"]


def test_the_settings_of_image_and_compose_file_are_known_ones() -> None:
    compose = (ROOT / "docker" / "compose.yml").read_text(encoding="utf-8")
    given = dict(re.findall(r"^ +(ORTHANC_PROXY__\w+): (.*)$", compose, re.MULTILINE))
    environ = {name: re.sub(r"\$\{\w+:\?[^}]*\}", "x", text).strip("'\"") for name, text in given.items()}
    assert len(environ) >= 5
    settings = read(ROOT / "config" / "config.toml", {**environment(), **environ}).settings
    assert settings.backends["orthanc"].url == "http://orthanc:8042"
    assert settings.destinations["WORKSTATION"].port == 104
    assert str(settings.storage.path) == "/var/lib/orthanc-proxy"


def test_all_that_the_image_copies_is_there_and_not_ignored() -> None:
    ignored = (ROOT / "docker" / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    for *names, _ in copies(BUILD) + copies(FINAL):
        for name in names:
            assert (ROOT / name).exists()
            assert f"!{name}" in ignored
