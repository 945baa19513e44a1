"""The cache on disk: `<folder>/<series>/<instance>.<file_uuid>`, written beside and renamed.

The files are the truth; there is no index. Any number of processes may read, write and evict at the same time: a
rename is atomic, a file that vanishes is a miss, and one that is mapped stays readable until it is unmapped.
"""

import contextlib
import fcntl
import itertools
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.cache.eviction import CachedSeries, victims
from proxy.dicom.messages import Located

_PART = ".part"
_NAME = re.compile(r"[0-9a-fA-F-]{1,64}/[0-9a-fA-F-]{1,64}\.[0-9a-fA-F-]{1,64}")
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Usage:
    """What the cache holds; sizes in bytes."""

    instances: int
    series: int
    size: int


class CacheFiles:
    """Paths, listing and removal. Raises OSError where the disk does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, located: Located) -> str:
        """Where that very file of that instance belongs. Raises ValueError for ids that are no names."""
        name = f"{located.series_id}/{located.instance_id}.{located.file_uuid}"
        if not _NAME.fullmatch(name):
            raise ValueError("not an id of Orthanc's")
        return f"{self.folder}/{name}"

    def part(self, path: str) -> str:
        """A name to write to before `path` is whole; holds our process id, so that leftovers are known as such."""
        return f"{path}.{os.getpid()}-{next(_numbers)}{_PART}"

    def series(self) -> Iterator[CachedSeries]:
        """Every series folder with its size and last use."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as folders:
            for folder in folders:
                if folder.is_dir(follow_symlinks=False):
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
                instances += sum(1 for entry in os.scandir(self.folder / one.name) if not entry.name.endswith(_PART))
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
        for part in self.folder.glob(f"*/*{_PART}"):
            pid = part.name.removesuffix(_PART).rpartition(".")[2].partition("-")[0]
            if not pid.isdecimal() or not Path(f"/proc/{pid}").exists():
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
