"""A disk that forgets what was not synced: what would be left of a folder if the power went out now.

The test goes on with its real files; beside them this remembers what each fsync and fdatasync would make durable.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_SYNCS = ("fsync", "fdatasync")
_STEPS = ("open", "write", "pwrite", "posix_fallocate", "mkdir", "rmdir", "rename", "unlink", *_SYNCS)


class Power:
    """Watches `root`, which is durable itself. `each_step` is called after every call that changes or syncs it."""

    def __init__(self, root: Path, each_step: Callable[[], None]) -> None:
        self.steps = 0
        self._root = root
        self._each_step = each_step
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {root.stat().st_ino: {}}
        self._folders: set[int] = {root.stat().st_ino}
        self._held: dict[int, int] = {}  # inode -> a descriptor that keeps its number from being used again
        self._looking = False

    @contextmanager
    def watched(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Inside, every step is noticed."""
        with monkeypatch.context() as patched:
            for name in _STEPS:
                patched.setattr(os, name, self._watching(name, getattr(os, name)))
            yield
        for descriptor in self._held.values():
            os.close(descriptor)

    def cut(self, into: Path, left: str) -> None:
        """What is left, as a copy: of what is not synced "nothing", the "names" with nothing in them, or "all"."""
        if left == "nothing":
            self._durable(self._root.stat().st_ino, into)
        else:
            self._as_it_is(self._root, into, with_contents=left == "all")

    def _watching(self, name: str, function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **keys: object) -> object:
            result = None if name in _SYNCS else function(*args, **keys)
            if not self._looking:
                self._looking = True
                try:
                    if name in _SYNCS:
                        self._sync(int(args[0]))  # type: ignore[call-overload]
                    self._hold()
                    self.steps += 1
                    self._each_step()
                finally:
                    self._looking = False
            return result

        return call

    def _sync(self, descriptor: int) -> None:
        told = os.fstat(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}")
        if stat.S_ISDIR(told.st_mode):
            self._names[told.st_ino] = {entry.name: entry.inode() for entry in os.scandir(path)}
        else:
            self._contents[told.st_ino] = path.read_bytes()

    def _hold(self) -> None:
        for path in self._root.rglob("*"):
            told = path.lstat()
            if told.st_ino not in self._held:
                self._held[told.st_ino] = os.open(path, os.O_PATH)
            if stat.S_ISDIR(told.st_mode):
                self._folders.add(told.st_ino)

    def _durable(self, inode: int, into: Path) -> None:
        if inode not in self._folders:
            into.write_bytes(self._contents.get(inode, b""))
            return
        into.mkdir()
        for name, child in self._names.get(inode, {}).items():
            self._durable(child, into / name)

    def _as_it_is(self, path: Path, into: Path, *, with_contents: bool) -> None:
        if path.is_fifo():
            return
        if path.is_dir():
            into.mkdir()
            for child in path.iterdir():
                self._as_it_is(child, into / child.name, with_contents=with_contents)
        elif with_contents:
            shutil.copyfile(path, into)
        else:
            into.write_bytes(self._contents.get(path.stat().st_ino, b""))
