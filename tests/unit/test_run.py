"""The bootstrap: which way it takes where something is missing."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """Nothing is run, all is noted; every command succeeds."""
    noted: list[list[str]] = []

    def note(command: list[Any], **_options: object) -> subprocess.CompletedProcess[str]:
        noted.append([str(word) for word in command])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(run.subprocess, "run", note)
    monkeypatch.setattr(run, "VENV", tmp_path / "venv")
    monkeypatch.setattr(run, "PYTHON", tmp_path / "venv" / "bin" / "python")
    monkeypatch.setattr(run, "POLICY", tmp_path / "policy-rc.d")
    (tmp_path / "venv").mkdir()
    return noted


def missing(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Behave as a Python that lacks these modules."""
    works = run._works
    monkeypatch.setattr(run, "_has", lambda module: module not in modules)
    monkeypatch.setattr(
        run, "_works", lambda command: works(command) and not any(f"import {name}" in command[-1] for name in modules)
    )


def test_every_target_of_the_makefile_is_known() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (targets,) = re.findall(r"^(.+):\n\t@\$\(PYTHON\) run\.py \$@", makefile, re.MULTILINE)
    assert set(targets.split()) <= set(run.TARGETS)
    for target in re.findall(r"run\.py (\w+)", makefile):
        assert target in run.TARGETS


def test_a_complete_python_makes_an_ordinary_environment(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing(monkeypatch)
    assert run.make_environment()
    assert commands[-1][1:] == ["-m", "venv", str(run.VENV)]


def test_without_ensurepip_the_environment_is_made_without_pip_and_filled_by_the_systems(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing(monkeypatch, "ensurepip")
    assert run.make_environment()
    assert commands[-1][1:] == ["-m", "venv", "--without-pip", str(run.VENV)]
    missing(monkeypatch, "pip")  # in the environment
    assert run.pip()[:5] == [run.sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"] or (
        "--python" in run.pip()
    )


def test_with_neither_ensurepip_nor_pip_debians_package_is_installed_as_root_only(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing(monkeypatch, "ensurepip", "pip")
    monkeypatch.setattr(run.os, "geteuid", lambda: 1000)
    assert not run.make_environment()
    assert "as root: apt-get install python3-venv" in capsys.readouterr().err
    monkeypatch.setattr(run.os, "geteuid", lambda: 0)
    monkeypatch.setattr(run.shutil, "which", lambda name, path=None: f"/usr/bin/{name}")
    assert run.make_environment()
    assert any(command[0] == "apt-get" and "python3-venv" in command for command in commands)


def test_packages_are_installed_once_and_again_when_the_pins_change(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pins = tmp_path / "constraints.txt"
    pins.write_text("a==1\n")
    monkeypatch.setattr(run, "CONSTRAINTS", pins)

    def installations() -> int:
        return sum("install" in command for command in commands)

    assert run.install("test,dev")
    assert run.install("test,dev")
    assert run.install(""), "the test environment has all that the program needs"
    assert installations() == 1
    pins.write_text("a==2\n")
    assert run.install("test,dev")
    assert installations() == 2


@pytest.mark.parametrize(
    ("tools", "services"), [(run.TOOLS, ["orthanc"]), (run.TEST_TOOLS, ["prometheus"])], ids=["demo", "tests"]
)
def test_services_that_come_with_debians_packages_are_neither_started_nor_left_enabled(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, tools: dict[str, str], services: list[str]
) -> None:
    policies: list[bool] = []
    monkeypatch.setattr(run.os, "geteuid", lambda: 0)
    monkeypatch.setattr(run, "_is_there", lambda name: False)
    monkeypatch.setattr(run.shutil, "which", lambda name, path=None: f"/usr/bin/{name}")
    apt = run._apt
    monkeypatch.setattr(
        run, "_apt", lambda *given: policies.append(run.POLICY.stat().st_mode & 0o111 != 0) or apt(*given)
    )
    assert run.install_tools(tools)
    assert policies == [True, True], "while apt works, nothing may be started"
    assert not run.POLICY.exists()
    disabled = [command[-1] for command in commands if command[:3] == ["systemctl", "disable", "--now"]]
    assert disabled == services


def test_a_policy_of_the_machines_own_is_left_as_it_is(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run.POLICY.write_text("#!/bin/sh\nexit 101\n# ours\n")
    monkeypatch.setattr(run.os, "geteuid", lambda: 0)
    monkeypatch.setattr(run, "_is_there", lambda name: False)
    monkeypatch.setattr(run.shutil, "which", lambda name, path=None: f"/usr/bin/{name}")
    assert run.install_tools(run.TOOLS)
    assert run.POLICY.read_text().endswith("# ours\n")


def no_library(name: str) -> None:
    raise OSError(f"{name}: cannot open shared object file")


@pytest.fixture
def bare(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[set[str]]]:
    """Run a target as root on a machine with apt and nothing else: the packages of each installation, in order."""
    monkeypatch.setattr(run.os, "geteuid", lambda: 0)
    monkeypatch.setattr(run.os, "chdir", lambda _folder: None)
    monkeypatch.setattr(run, "make_environment", lambda: True)
    monkeypatch.setattr(run, "install", lambda _extras: True)
    monkeypatch.setattr(run, "run", lambda _commands: 0)
    monkeypatch.setattr(run.shutil, "which", lambda name, path=None: "/usr/bin/apt-get" if name == "apt-get" else None)
    monkeypatch.setattr(run.ctypes, "CDLL", no_library)

    def installed(target: str) -> list[set[str]]:
        monkeypatch.setattr(run.sys, "argv", ["run.py", target])
        assert run.main() == 0
        options = ["install", "-y", "--no-install-recommends"]
        return [
            set(command[command.index("install") + len(options) :])
            for command in commands
            if command[0] == "apt-get" and "install" in command
        ]

    return installed


@pytest.mark.parametrize("target", run.TARGETS)
def test_only_what_a_target_needs_is_installed(bare: Callable[[str], list[set[str]]], target: str) -> None:
    needed = {
        "demo": [{"orthanc", "dcmtk"}],
        "bench": [{"orthanc", "dcmtk"}],
        "fuzz": [{"orthanc", "dcmtk"}],
        "soak": [{"orthanc", "dcmtk"}],
        "test": [{"orthanc", "dcmtk"}, {"chromium", "libatomic1", "prometheus", "docker-compose", "systemd"}],
    }
    needed["integration"] = needed["test"]
    assert bare(target) == needed.get(target, [])


def test_what_is_installed_is_said(bare: Callable[[str], list[set[str]]], capsys: pytest.CaptureFixture[str]) -> None:
    bare("test")
    told = capsys.readouterr().err
    assert "installing orthanc, dcmtk with apt" in told
    assert "installing chromium, libatomic1, prometheus, docker-compose, systemd with apt" in told


def test_what_is_missing_is_said_to_those_who_are_not_root(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(run.shutil, "which", lambda name, path=None: None)
    assert not run.install_tools(run.TOOLS)
    assert commands == []
    assert "as root: apt-get install --no-install-recommends orthanc dcmtk" in capsys.readouterr().err


def test_the_last_program_replaces_the_bootstrap_so_that_signals_reach_it(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced: list[list[str]] = []
    monkeypatch.setattr(run.os, "execv", lambda _program, command: replaced.append(command))
    run.run([["ruff", "check"], ["mypy"]])
    assert [command[0] for command in commands] == [str(run.VENV / "bin" / "ruff"), *([str(run.VENV / "bin" / "mypy")])]
    assert replaced == [[str(run.VENV / "bin" / "mypy")]]


def test_programs_are_looked_for_on_the_path_and_libraries_are_loaded() -> None:
    assert run._is_there("sh")
    assert run._is_there("libc.so.6")
    assert not run._is_there("no-such-program")
    assert not run._is_there("libnosuchlibrary.so.1")
