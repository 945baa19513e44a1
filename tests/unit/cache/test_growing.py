"""An instance that is sent while it is downloaded: as soon as it is known, and never another one."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.cache.growing import GrowingInstance
from proxy.cache.instances import InstanceCache
from proxy.config import CacheSettings
from proxy.dicom.messages import Located
from proxy.errors import OrthancUnavailable
from proxy.journal import Journal
from tests.fakes.archive import Archive, dicom_file
from tests.fakes.received import CT, EXPLICIT, data_set

PIXELS = bytes(range(256)) * (5 << 12)  # 5 MiB
Attempt = Callable[[Callable[[memoryview], None], Callable[[int], None]], None]


class Download:
    """A download in attempts, each of which is a function; and a receiver that takes what comes."""

    def __init__(self, folder: Path, *attempts: Attempt) -> None:
        self.archive = Archive()
        self.located = self.archive.add("1.2.3", PIXELS)
        self.file = self.archive.files[self.located.file_uuid]
        self.attempts = attempts
        self.received: list[bytes] = []
        self.lost: list[OrthancUnavailable] = []
        self.started = threading.Event()
        self._thread: threading.Thread | None = None
        settings = CacheSettings.model_validate({"min_free_bytes": 0})
        self.cache = InstanceCache(folder, settings, Journal(), self._download)

    def _download(
        self,
        located: Located,
        write: Callable[[memoryview], None],
        begin: Callable[[int], None],
        patience: float = 0.0,
    ) -> None:
        for attempt in self.attempts:
            attempt(write, begin)

    def start(self, growing: GrowingInstance) -> None:
        """Called in mid-download."""
        assert (growing.sop_class_uid, growing.sop_instance_uid, growing.transfer_syntax) == (CT, "1.2.3", EXPLICIT)
        assert growing.size == len(data_set("1.2.3", pixels=PIXELS))
        self._thread = threading.Thread(target=self._receive, args=(growing,), daemon=True)
        self._thread.start()
        self.started.set()

    def _receive(self, growing: GrowingInstance) -> None:
        try:
            for piece in growing.pieces():
                self.received.append(bytes(piece))
        except OrthancUnavailable as error:
            self.lost.append(error)
        growing.close()

    def run(self) -> bytes:
        """Fetch it; what the fetch itself brings."""
        instance = self.cache.fetch(self.located, started=self.start)
        data = bytes(instance.data)
        instance.close()
        self.join()
        return data

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join(10)
            assert not self._thread.is_alive(), "the receiver waits for ever"


def all_of(file: bytes, step: int = 100_000, until: int | None = None) -> Attempt:
    """An attempt that brings `file`, or its beginning."""

    def attempt(write: Callable[[memoryview], None], begin: Callable[[int], None]) -> None:
        begin(len(file))
        view = memoryview(file)[:until]
        for at in range(0, len(view), step):
            write(view[at : at + step])

    return attempt


def away(write: Callable[[memoryview], None], begin: Callable[[int], None]) -> None:
    raise OrthancUnavailable("away")


FILE = dicom_file("1.2.3", PIXELS)
DATA = data_set("1.2.3", pixels=PIXELS)


@pytest.mark.parametrize("step", [1000, 100_000, 10 << 20])
def test_the_receiver_gets_all_of_it_in_order_and_the_cache_keeps_it(tmp_path: Path, step: int) -> None:
    download = Download(tmp_path, all_of(FILE, step))
    assert download.run() == DATA
    assert b"".join(download.received) == DATA
    cached = download.cache.lookup(download.located)
    assert cached is not None
    assert bytes(cached.data) == DATA


def test_it_begins_before_the_last_byte_has_come(tmp_path: Path) -> None:
    download = Download(tmp_path)

    def halting(write: Callable[[memoryview], None], begin: Callable[[int], None]) -> None:
        begin(len(FILE))
        write(memoryview(FILE)[: 1 << 20])
        assert download.started.wait(10), "nobody was told that it has begun"
        write(memoryview(FILE)[1 << 20 :])

    download.attempts = (halting,)
    assert download.run() == DATA
    assert b"".join(download.received) == DATA


def test_a_second_attempt_that_brings_the_same_goes_on_where_the_first_was_lost(tmp_path: Path) -> None:
    download = Download(tmp_path, all_of(FILE, until=2 << 20), all_of(FILE, until=1 << 20), all_of(FILE))
    assert download.run() == DATA
    assert b"".join(download.received) == DATA
    assert download.lost == []


@pytest.mark.parametrize(
    "second",
    [
        all_of(dicom_file("1.2.3", b"?" + PIXELS[1:])),  # another version of it
        all_of(dicom_file("1.2.3", PIXELS + b"??")),
        all_of(dicom_file("1.2.4", PIXELS)),
        away,
    ],
)
def test_a_second_attempt_that_brings_another_file_ends_it_for_the_receiver(tmp_path: Path, second: Attempt) -> None:
    download = Download(tmp_path, all_of(FILE, until=2 << 20), second)
    with pytest.raises(OrthancUnavailable):
        download.run()
    download.join()
    assert len(download.lost) == 1
    assert DATA.startswith(b"".join(download.received))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_another_instance_is_never_begun_with(tmp_path: Path) -> None:
    download = Download(tmp_path, all_of(dicom_file("1.2.4", PIXELS)))
    with pytest.raises(OrthancUnavailable):
        download.run()
    assert not download.started.is_set()


def test_without_room_on_the_disk_it_is_not_begun_early_but_sent_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    download = Download(tmp_path, all_of(FILE))
    assert download.run() == DATA
    assert not download.started.is_set()
