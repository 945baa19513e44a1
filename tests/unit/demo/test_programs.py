import sysconfig
from pathlib import Path

import pytest

from proxy.demo.programs import dcmtk_program, find_program


def _program(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_programs_of_python_packages_named_like_dcmtks_are_passed_over(tmp_path, monkeypatch):
    ours, debians = tmp_path / "venv", tmp_path / "usr"
    _program(ours, "echoscu")
    wanted = _program(debians, "echoscu")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(ours))
    monkeypatch.setenv("PATH", f"{ours}:{debians}")
    assert find_program("echoscu") == str(wanted)


def test_a_missing_tool_is_told_with_the_way_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="apt-get install dcmtk"):
        dcmtk_program("no-such-tool")
