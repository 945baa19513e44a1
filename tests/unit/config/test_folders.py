"""Folders that must be writable."""

import os
from pathlib import Path

import pytest

from proxy.config import Backend, LoggingSettings, Settings, StorageSettings
from proxy.config.folders import unwritable


def settings(storage: Path, log: Path, *, log_to_file: bool = True) -> Settings:
    return Settings(
        backends={"orthanc": Backend(url="http://x")},
        storage=StorageSettings(path=storage),
        logging=LoggingSettings(log_to_file=log_to_file, log_file_path=log),
    )


def test_folders_that_can_be_made_are_fine_and_not_made_yet(tmp_path: Path) -> None:
    assert list(unwritable(settings(tmp_path / "a" / "b", tmp_path / "c" / "x.log"))) == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert list(unwritable(settings(file / "below", file / "x.log"))) == [
        f"storage.path: {file} is not a folder",
        f"logging.log_file_path: {file} is not a folder",
    ]
    assert list(unwritable(settings(tmp_path, file / "x.log", log_to_file=False))) == []


def test_a_folder_of_somebody_else_is_told_with_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode, **how: False)
    (told,) = unwritable(settings(tmp_path, tmp_path / "x.log", log_to_file=False))
    assert told == f"storage.path: user {os.getuid()} may not write to {tmp_path}, which belongs to user {os.getuid()}"


def test_a_read_only_file_system_is_called_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = os.statvfs(tmp_path)
    fields = [*told[:8], told.f_flag | os.ST_RDONLY, *told[9:]]
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(fields))
    assert list(unwritable(settings(tmp_path, tmp_path / "x.log", log_to_file=False))) == [
        f"storage.path: {tmp_path} is on a file system that is mounted read-only"
    ]
