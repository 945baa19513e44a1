"""Hot instances on this machine: the only door to cached bytes.

The key is what Orthanc's listing just named (instance id and FileUuid), so a stale file cannot be asked for. Every
file is checked against its hash when it is read back; a damaged one is dropped and downloaded again. However many
ask for an instance, it is downloaded once. A disk that is full, read-only or broken costs time only: the instance
then lives in memory or in an unlinked temporary file until it is sent.
"""

import contextlib
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from proxy.cache.behind import WriteBehind
from proxy.cache.cached import CachedInstance, cached_instance
from proxy.cache.claims import Claims
from proxy.cache.coming import Ask, Asked, Coming
from proxy.cache.files import CacheFiles, Usage, key_of
from proxy.cache.footer import Footer
from proxy.cache.growing import GrowingWriter, Started
from proxy.cache.reading import Reader
from proxy.cache.writing import FileWriter, MemoryWriter, Writer, WrongInstance, footer_of
from proxy.config import CacheSettings
from proxy.dicom.messages import Located
from proxy.errors import OrthancError, OrthancUnavailable
from proxy.events import CacheChanged
from proxy.journal import Journal

_SMALL = 1 << 20  # bytes; files up to here are written after they were handed out
_TOUCH_EVERY = 60.0  # seconds between two notes that a series is in use
_TOUCHED_MOST = 10_000
_CHECK_EVERY = 20  # the budget is checked after each 1/20th of it was written


class Download(Protocol):
    """Downloads the file of an instance. Raises OrthancError."""

    def __call__(
        self,
        located: Located,
        write: Callable[[memoryview], None],
        begin: Callable[[int], None],
        patience: float = 0.0,
    ) -> None:
        """`begin` is told the length at the start of each attempt and drops what came before; `write` gets pieces.

        With `patience` there is one attempt, which must be over after so many seconds.
        """


class InstanceCache:
    """Thread-safe; other processes may use the same folder at the same time."""

    def __init__(
        self, folder: Path, settings: CacheSettings, journal: Journal, download: Download, ask: Ask = lambda _: None
    ) -> None:
        self._files = CacheFiles(folder)
        self._behind = WriteBehind(self._files, self._written_behind)
        self._settings = settings
        self._journal = journal
        self._download = download
        self._ask = ask
        self._lock = threading.Lock()
        self._claims = Claims()
        self._touched: dict[str, float] = {}
        self._reader = Reader(verify=settings.verify)
        self._written = 0

    def __repr__(self) -> str:
        return f"<InstanceCache {self._files.folder}>"

    def start(self) -> None:
        """Remove what a crash left behind, and what exceeds the budget. Never raises."""
        if self._settings.enabled:
            with contextlib.suppress(OSError):
                self._files.sweep()
                self._evict()

    def lookup(self, located: Located) -> CachedInstance | None:
        """The instance if it is cached and sound. Never raises."""
        if not self._settings.enabled or not located.file_uuid:
            return None
        try:
            path = self._files.path(located)
        except ValueError:
            return None
        try:
            instance = self._reader.open(path, located)
        except OSError:
            return self._waiting(path)
        except ValueError:
            self._drop(path)
            return None
        self._touch(located.series_id)
        self._journal.emit(CacheChanged(hits=1))
        return instance

    def _waiting(self, path: str) -> CachedInstance | None:
        """One whose file is about to be written."""
        waiting = self._behind.get(path)
        if waiting is None:
            return None
        self._journal.emit(CacheChanged(hits=1))
        footer, file = waiting
        return cached_instance(footer, memoryview(file), None, was_hit=True)

    def fetch(self, located: Located, patience: float = 0.0, started: Started | None = None) -> CachedInstance:
        """The instance, downloaded where it is not cached; within `patience` seconds, if not 0. Raises OrthancError.

        `started` is told in mid-download as soon as the instance can be sent, where that is possible.
        """
        claim = self._claims.claim(key_of(located))
        if claim is None:
            return self._follow(located, patience)
        with claim:  # whoever had it before may have downloaded it since the caller looked
            return self.lookup(located) or self._lead(located, patience, started)

    def ask(self, located: Located) -> Coming | None:
        """Ask Orthanc for an instance that will be wanted next. Never raises.

        None where nothing is gained by it: the instance is cached, too large, on its way to somebody else.
        """
        if not 0 < located.size <= _SMALL or self._is_cached(located):
            return None
        claim = self._claims.claim(key_of(located))
        if claim is None:
            return None
        claim.is_idle = True
        with contextlib.suppress(OrthancError):
            asked = self._ask(located)
            if asked is not None:
                return Coming(located, asked, claim, self._take)
        with claim:
            return None

    def close(self) -> None:
        """Wait until everything that was handed out is on disk, too."""
        self._behind.close()

    def usage(self) -> Usage:
        """What is cached now. Raises OSError."""
        return self._files.usage()

    def clear(self) -> None:
        """Drop everything."""
        self._files.clear()

    def _is_cached(self, located: Located) -> bool:
        if not self._settings.enabled or not located.file_uuid:
            return False
        try:
            path = self._files.path(located)
        except ValueError:
            return False
        return self._behind.get(path) is not None or os.access(path, os.R_OK)

    def _follow(self, located: Located, patience: float) -> CachedInstance:
        """Wait for who downloads it already; download it again only where the cache could not take it."""
        try:
            self._claims.wait(key_of(located), patience or None)
        except TimeoutError as error:
            raise OrthancUnavailable("Orthanc does not answer in time") from error
        instance = self.lookup(located)
        if instance is not None:
            self._journal.emit(CacheChanged(coalesced=1))
            return instance
        return self._lead(located, patience)

    def _lead(self, located: Located, patience: float, started: Started | None = None) -> CachedInstance:
        has_room = self._has_room(located)
        is_small = 0 < located.size <= _SMALL
        writer = self._writer(located, started) if has_room and not is_small else MemoryWriter()
        try:
            self._download(located, writer.write, writer.begin, patience)
            footer, whole, mapped = self._finished(located, writer)
        except BaseException:
            writer.abandon()
            raise
        self._journal.emit(CacheChanged(misses=1, written_bytes=writer.size if writer.is_cached else 0))
        if writer.failed:
            self._journal.emit(CacheChanged(failures=1))
        if writer.is_cached:
            self._wrote(writer.size)
        elif has_room and is_small:
            whole_too = memoryview(whole)  # a view that outlives the other
            self._behind.put(self._files.path(located), footer, whole_too, hurried=patience > 0)
        return cached_instance(footer, whole, mapped, was_hit=False)

    def _take(self, located: Located, asked: Asked, patience: float) -> CachedInstance:
        """What was asked for, within `patience` seconds. Raises OrthancError."""
        try:
            whole = asked.read(patience)
            with _judged():
                footer = footer_of(whole, len(whole), located)
        except OrthancUnavailable:
            return self._lead(located, patience)  # which tells the reason, if there is one
        self._journal.emit(CacheChanged(misses=1))
        if self._has_room(located):
            self._behind.put(self._files.path(located), footer, memoryview(whole), hurried=True)
        return cached_instance(footer, whole, None, was_hit=False)

    def _writer(self, located: Located, started: Started | None) -> Writer:
        """Into the cache, else into memory or a temporary file."""
        try:
            if started is not None:
                return GrowingWriter(self._files.path(located), self._files, located, started)
            return FileWriter(self._files.path(located), self._files)
        except (OSError, ValueError):
            return MemoryWriter()

    def _has_room(self, located: Located) -> bool:
        """May this instance be cached?"""
        if not self._settings.enabled or not located.file_uuid or located.size > self._settings.max_bytes:
            return False
        try:
            self._files.path(located)
            disk = self._files.disk()
        except (OSError, ValueError):
            return False
        return disk.f_bavail * disk.f_frsize - located.size > self._settings.min_free_bytes

    def _written_behind(self, size: int) -> None:
        self._journal.emit(CacheChanged(failures=1) if size < 0 else CacheChanged(written_bytes=size))
        if size >= 0:
            self._wrote(size)

    @staticmethod
    def _finished(located: Located, writer: Writer) -> tuple[Footer, memoryview, mmap.mmap | None]:
        """Check what came against what was located. Raises OrthancUnavailable."""
        with _judged():
            whole, mapped = writer.finish()
            footer = writer.footer(whole, located)
        writer.publish(footer)
        return footer, whole, mapped

    def _drop(self, path: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(path)
        self._journal.emit(CacheChanged(damaged=1))

    def _touch(self, series_id: str) -> None:
        """Note that a series is in use, at most once a minute."""
        now = time.monotonic()
        if now - self._touched.get(series_id, float("-inf")) < _TOUCH_EVERY:
            return
        if len(self._touched) > _TOUCHED_MOST:
            self._touched.clear()
        self._touched[series_id] = now
        with contextlib.suppress(OSError):
            os.utime(self._files.folder / series_id)

    def _wrote(self, size: int) -> None:
        with self._lock:
            self._written += size
            if self._written < self._settings.max_bytes // _CHECK_EVERY:
                return
            self._written = 0
        threading.Thread(target=self._evict, name="evict", daemon=True).start()

    def _evict(self) -> None:
        with contextlib.suppress(OSError):
            dropped = self._files.evict(self._settings.max_bytes)
            if dropped:
                self._journal.emit(CacheChanged(evicted=len(dropped), evicted_bytes=sum(one.size for one in dropped)))


@contextlib.contextmanager
def _judged() -> Iterator[None]:
    """Around a look at what came. Raises OrthancUnavailable."""
    try:
        yield
    except WrongInstance as error:
        raise OrthancUnavailable("Orthanc sent the file of another instance") from error
    except ValueError as error:
        raise OrthancUnavailable("Orthanc sent something that is no DICOM file") from error
