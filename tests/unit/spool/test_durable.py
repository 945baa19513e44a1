"""The order of system calls that a power cut cannot undo: data, name, folder, and the folders above."""

import os
from pathlib import Path

import pytest

from proxy.spool.durable import Folders, write_file
from tests.fakes.received import SERIES, STUDY, open_spool, service, store


class Recorder:
    """What reaches the disk, in order, as `fsync dimse/1.2`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.calls: list[str] = []
        self._root = root
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self._on_descriptor(name, getattr(os, name)))
        monkeypatch.setattr(os, "rename", self._on_rename(os.rename))
        monkeypatch.setattr(os, "mkdir", self._on_mkdir(os.mkdir))

    def _place(self, path: object) -> str:
        return os.path.relpath(str(path), self._root)

    def _on_descriptor(self, name, function):
        def call(descriptor: int) -> None:
            self.calls.append(f"{name} {self._place(Path(f'/proc/self/fd/{descriptor}').readlink())}")
            function(descriptor)

        return call

    def _on_rename(self, function):
        def call(source: str, target: str, **keys: int) -> None:
            folder = Path(f"/proc/self/fd/{keys['dst_dir_fd']}").readlink() if keys else ""
            self.calls.append(f"rename {self._place(Path(folder) / target)}")
            function(source, target, **keys)

        return call

    def _on_mkdir(self, function):
        def call(path: object, *args: object, **keys: object) -> None:
            function(path, *args, **keys)
            self.calls.append(f"mkdir {self._place(path)}")

        return call


def test_invariant_4_data_then_name_then_folders_are_synced_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool(tmp_path)
    recorder = Recorder(monkeypatch, spool.root)
    assert store(service(spool), "1.2.3") == 0
    part = f".incoming/{spool.ledger.slot:03d}-0.part"
    assert recorder.calls == [
        f"fdatasync {part}",
        f"mkdir {STUDY}",
        "fsync .",
        f"mkdir {STUDY}/{SERIES}",
        f"fsync {STUDY}",
        f"rename {STUDY}/{SERIES}/1.2.3.dcm",
        f"fsync {STUDY}/{SERIES}",
    ]
    recorder.calls.clear()
    assert store(service(spool), "1.2.4") == 0
    assert recorder.calls == [
        f"fdatasync .incoming/{spool.ledger.slot:03d}-1.part",
        f"rename {STUDY}/{SERIES}/1.2.4.dcm",
        f"fsync {STUDY}/{SERIES}",
    ]


def test_folders_that_another_process_made_are_synced_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "file").write_bytes(b"x")
    recorder = Recorder(monkeypatch, tmp_path)
    Folders(tmp_path).rename(str(tmp_path / "file"), "a/b", "name")
    assert [call for call in recorder.calls if not call.startswith("mkdir")] == [
        "fsync .",
        "fsync a",
        "rename a/b/name",
    ]


def test_only_so_many_folders_are_kept_open(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(200):
        folders.sync(f"a/{number}")
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= 64
    folders.close()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_a_source_that_is_not_there_is_an_error_and_no_loop(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Folders(tmp_path).rename(str(tmp_path / "nothing"), "a/b", "name")


def test_a_whole_file_appears_at_once_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file.json"
    write_file(target, b"first")
    recorder = Recorder(monkeypatch, tmp_path)
    write_file(target, b"second")
    assert [call.split()[0] for call in recorder.calls] == ["fdatasync", "rename", "fsync"]

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(OSError, match="Input/output"):
        write_file(target, b"third")
    assert target.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [target]
