"""Where cache files lie, how they get their names, and what is swept, dropped and counted."""

import os
import subprocess
from pathlib import Path

import pytest

from proxy.cache import files as files_module
from proxy.cache.files import CacheFiles, Usage
from proxy.dicom.messages import Located

LOCATED = Located("aaaa-1", "bbbb-2", "cccc-3", "1.2.3")


@pytest.fixture
def files(tmp_path: Path) -> CacheFiles:
    return CacheFiles(tmp_path / "cache")


def write(files: CacheFiles, path: str, content: bytes) -> None:
    part = files.part()
    descriptor = files.create(part)
    os.write(descriptor, content)
    os.close(descriptor)
    files.publish(part, path)


def fill(files: CacheFiles, series: str, *sizes: int, used: float | None = None) -> None:
    for number, size in enumerate(sizes):
        write(files, f"{files.folder}/{series}/{number}.0", bytes(size))
    if used is not None:
        os.utime(files.folder / series, (used, used))


def test_a_file_is_named_by_series_instance_and_attachment(files: CacheFiles) -> None:
    assert files.path(LOCATED) == f"{files.folder}/cccc-3/aaaa-1.bbbb-2"


@pytest.mark.parametrize("wrong", ["", "..", "a/b", "../../etc", "x" * 65, "a\0", ".evicting", "g"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_no_id_of_orthancs_becomes_no_path(files: CacheFiles, wrong: str, place: int) -> None:
    ids = ["aaaa-1", "bbbb-2", "cccc-3"]
    ids[place] = wrong
    with pytest.raises(ValueError):
        files.path(Located(*ids, "1.2.3"))


def test_a_file_gets_its_name_whole_and_replaces_one_of_that_name(files: CacheFiles) -> None:
    path = files.path(LOCATED)
    write(files, path, b"first")
    write(files, path, b"second")
    assert Path(path).read_bytes() == b"second"
    assert list((files.folder / ".parts").iterdir()) == []


def test_a_series_that_is_dropped_while_one_of_it_is_written_is_there_again(files: CacheFiles) -> None:
    path = files.path(LOCATED)
    write(files, path, b"first")
    part = files.part()
    os.close(files.create(part))
    files.drop(LOCATED.series_id)
    files.publish(part, path)
    assert Path(path).exists()


def test_what_is_there_is_counted_without_parts_and_locks(files: CacheFiles) -> None:
    assert files.usage() == Usage(0, 0, 0)
    fill(files, "a", 100, 200)
    fill(files, "b", 300)
    os.close(files.create(files.part()))
    files.evict(1000)
    assert files.usage() == Usage(instances=3, series=2, size=600)
    files.clear()
    assert files.usage() == Usage(0, 0, 0)


def test_past_the_budget_the_longest_unused_series_go_whole(files: CacheFiles) -> None:
    for number, series in enumerate("abc"):
        fill(files, series, 100, 100, used=1000.0 + number)
    dropped = files.evict(450)
    assert [one.name for one in dropped] == ["a"]
    assert sorted(path.name for path in files.folder.iterdir() if not path.name.startswith(".")) == ["b", "c"]


def test_only_one_process_evicts_at_a_time(files: CacheFiles) -> None:
    fill(files, "a", 100)
    with files._only_one() as mine:
        assert mine
        assert CacheFiles(files.folder).evict(0) == []
    assert len(files.evict(0)) == 1


def test_half_written_files_of_the_dead_are_swept_and_those_of_the_living_are_not(
    files: CacheFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    ours = files.part()
    monkeypatch.setattr(files_module, "_SINCE", "01234567")
    of_an_earlier_process_with_our_id = files.part()
    monkeypatch.undo()
    names = [f"{gone.pid}-89abcdef-0", f"{os.getppid()}-89abcdef-0", "rubbish"]
    dead, living, rubbish = (f"{files.folder}/.parts/{name}" for name in names)
    for part in (ours, of_an_earlier_process_with_our_id, dead, living, rubbish):
        os.close(files.create(part))
    files.sweep()
    left = {str(path) for path in (files.folder / ".parts").iterdir()}
    assert left == {ours, living}
