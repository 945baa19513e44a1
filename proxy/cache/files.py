"""The cache on disk: `<folder>/<series>/<instance>.<file_uuid>`, written elsewhere and renamed.

The files are the truth; there is no index. Any number of processes may read, write and evict at the same time: a
rename is atomic, a file that vanishes is a miss, and one that is mapped stays readable until it is unmapped. What is
being written lies in a folder of its own: making a file locks its folder, and a look for another one would wait.
"""

import contextlib
import fcntl
import itertools
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.cache.eviction import CachedSeries, victims
from proxy.dicom.messages import Located

_PARTS = ".parts"
_NAME = re.compile(r"[0-9a-fA-F-]{1,64}/[0-9a-fA-F-]{1,64}\.[0-9a-fA-F-]{1,64}")
_SINCE = secrets.token_hex(4)  # tells this process from an earlier one with the same id
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Usage:
    """What the cache holds; sizes in bytes."""

    instances: int
    series: int
    size: int


def key_of(located: Located) -> str:
    """Names a file of Orthanc's: it has another FileUuid as soon as its content is another one."""
    return f"{located.instance_id}.{located.file_uuid}"


class CacheFiles:
    """Paths, listing and removal. Raises OSError where the disk does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, located: Located) -> str:
        """Where that very file of that instance belongs. Raises ValueError for ids that are no names."""
        name = f"{located.series_id}/{key_of(located)}"
        if not _NAME.fullmatch(name):
            raise ValueError("not an id of Orthanc's")
        return f"{self.folder}/{name}"

    def disk(self) -> os.statvfs_result:
        """The file system that the cache is on."""
        try:
            return os.statvfs(self.folder)
        except FileNotFoundError:
            self.folder.mkdir(parents=True, exist_ok=True)
            return os.statvfs(self.folder)

    def part(self) -> str:
        """A new name to write to until a file is whole; it names our process, so that leftovers are known as such."""
        return f"{self.folder}/{_PARTS}/{os.getpid()}-{_SINCE}-{next(_numbers)}"

    def create(self, part: str) -> int:
        """A new file of that name, open for reading and writing."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            return os.open(part, flags, 0o640)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(part), exist_ok=True)
            return os.open(part, flags, 0o640)

    def publish(self, part: str, path: str) -> None:
        """Give a whole file its name."""
        try:
            os.rename(part, path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.rename(part, path)

    def series(self) -> Iterator[CachedSeries]:
        """Every series folder with its size and last use."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as folders:
            for folder in folders:
                if folder.is_dir(follow_symlinks=False) and folder.name != _PARTS:
                    with contextlib.suppress(OSError):
                        size = sum(entry.stat().st_size for entry in os.scandir(folder.path))
                        yield CachedSeries(folder.name, size, folder.stat().st_mtime)

    def usage(self) -> Usage:
        """What is there now."""
        instances = series = size = 0
        for one in self.series():
            series += 1
            size += one.size
            with contextlib.suppress(OSError):
                instances += sum(1 for _ in os.scandir(self.folder / one.name))
        return Usage(instances, series, size)

    def evict(self, budget: int) -> list[CachedSeries]:
        """Drop what exceeds `budget`, unless another process is at it; what was dropped."""
        with self._only_one() as mine:
            if not mine:
                return []
            dropped = list(victims(self.series(), budget))
            for one in dropped:
                self.drop(one.name)
            return dropped

    def drop(self, series_id: str) -> None:
        """Remove a series."""
        shutil.rmtree(self.folder / series_id, ignore_errors=True)

    def clear(self) -> None:
        """Remove everything."""
        for one in list(self.series()):
            self.drop(one.name)

    def sweep(self) -> None:
        """Remove half-written files of processes that are gone."""
        for part in self.folder.glob(f"{_PARTS}/*"):
            pid, _, rest = part.name.partition("-")
            was_ours = pid == str(os.getpid()) and rest.partition("-")[0] != _SINCE  # in containers ids come again
            if was_ours or not pid.isdecimal() or not Path(f"/proc/{pid}").exists():
                with contextlib.suppress(OSError):
                    part.unlink()

    @contextlib.contextmanager
    def _only_one(self) -> Iterator[bool]:
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.folder / ".evicting", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(lock)
