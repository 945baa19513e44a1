import threading
import time
from pathlib import Path

import pytest

from proxy.cache import behind
from proxy.cache.behind import WriteBehind
from proxy.cache.files import CacheFiles
from proxy.cache.footer import Footer, read_footer

FOOTER = Footer("a.b", "1.2", "1.2.3", "1.2.840.10008.1.2.1", 0, 4)


class Files(CacheFiles):
    """Counts what is written, and can be made to wait or to fail."""

    def __init__(self, folder):
        super().__init__(folder)
        self.gate = threading.Event()
        self.gate.set()
        self.writers = []
        self.broken = False

    def create(self, part):
        self.gate.wait(10)
        self.writers.append(threading.current_thread().name)
        if self.broken:
            raise OSError(28, "No space left on device")
        return super().create(part)


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def put(written, files, name="series/a.b", content=b"abcd", **how):
    path = f"{files.folder}/{name}"
    written.put(path, FOOTER, memoryview(content), **how)
    return path


def is_there(path):
    return Path(path).exists()


def wait_for(condition):
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_a_file_is_there_soon_and_until_then_to_be_had(files):
    sizes = []
    written = WriteBehind(files, sizes.append)
    files.gate.clear()
    path = put(written, files)
    footer, waiting = written.get(path)
    assert (footer, bytes(waiting)) == (FOOTER, b"abcd")
    files.gate.set()
    wait_for(lambda: written.get(path) is None)
    with open(path, "rb") as file:
        assert read_footer(memoryview(file.read()), verify=True) == FOOTER
    assert sizes == [4]
    assert files.writers == ["cache-writer"]


def test_nothing_is_written_while_a_burst_lasts(files, monkeypatch):
    monkeypatch.setattr(behind, "_LULL", 60)
    written = WriteBehind(files, lambda _: None)
    paths = [put(written, files, f"series/{number}.b") for number in range(5)]
    assert not any(map(is_there, paths))
    written.close()
    assert all(map(is_there, paths)), "closing waits for all"


def test_when_much_waits_it_is_written_although_more_comes(files, monkeypatch):
    monkeypatch.setattr(behind, "_LULL", 60)
    monkeypatch.setattr(behind, "_MANY", 8)
    written = WriteBehind(files, lambda _: None)
    first, second = (put(written, files, f"series/{number}.b") for number in range(2))
    wait_for(lambda: is_there(first))
    assert not is_there(second)
    written.close()


def test_beyond_the_bound_the_caller_writes_or_leaves_it_when_hurried(files, monkeypatch):
    monkeypatch.setattr(behind, "_MOST", 4)
    monkeypatch.setattr(behind, "_LULL", 60)
    written = WriteBehind(files, lambda _: None)
    waiting = put(written, files, "series/1.b")
    left = put(written, files, "series/2.b", hurried=True)
    here = put(written, files, "series/3.b")
    assert not is_there(waiting)
    assert not is_there(left)
    assert written.get(left) is None
    assert is_there(here)
    assert files.writers == [threading.current_thread().name]
    written.close()


def test_the_same_file_waits_once(files, monkeypatch):
    monkeypatch.setattr(behind, "_LULL", 60)
    sizes = []
    written = WriteBehind(files, sizes.append)
    put(written, files)
    put(written, files)
    written.close()
    assert sizes == [4]


def test_a_disk_that_fails_is_told_and_leaves_nothing(files):
    sizes = []
    written = WriteBehind(files, sizes.append)
    files.broken = True
    put(written, files)
    written.close()
    assert sizes == [-1]
    assert not [path for path in files.folder.rglob("*") if path.is_file()]


def test_after_the_end_the_caller_writes(files):
    written = WriteBehind(files, lambda _: None)
    written.close()
    assert Path(put(written, files)).exists()
    written.close()
