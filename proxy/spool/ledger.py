"""What the processes that share a spool must agree on: how much is in it, and how much is promised to open instances.

A small mapped file. `used` and `count` say what lies in the spool, dead letters included; every process has a slot of
its own for what its open instances have reserved, so nothing stays reserved for a process that was killed: its slot's
lock is free then, and whoever finds that clears the slot. The numbers are a convenience that is counted anew when the
supervisor starts (`settle`); the files in the spool are the truth.

The lock of the file itself is the spool's mutex: names are given out and taken back only under it.
"""

import contextlib
import fcntl
import mmap
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

_SLOTS = 256
_HEAD = struct.Struct("<qqq")  # used, count, missed
_SLOT = struct.Struct("<qq")  # bytes reserved, open instances
_FIRST_SLOT = 64
_SIZE = _FIRST_SLOT + _SLOTS * _SLOT.size
_ALL_SLOTS = struct.Struct(f"<{2 * _SLOTS}q")


class Ledger:
    """The shared numbers of the spool at `folder`, and this process's slot in them.

    Raises OSError when it cannot be opened, or all slots are taken.
    """

    def __init__(self, folder: Path) -> None:
        self._threads = threading.RLock()
        self._held = 0
        self._file = os.open(folder / "ledger", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._map = self._mapped()
        self._locks = folder
        self.slot, self._slot_lock = self._take_slot()

    def _mapped(self) -> mmap.mmap:
        """The file, with its blocks: a page that finds none on a full disk would end the process (SIGBUS)."""
        try:
            told = os.fstat(self._file)
            if told.st_size < _SIZE or told.st_blocks * 512 < _SIZE:
                os.posix_fallocate(self._file, 0, _SIZE)
            return mmap.mmap(self._file, _SIZE)
        except OSError:
            os.close(self._file)
            raise

    def close(self) -> None:
        """Give the slot back."""
        with self.mutex():
            _SLOT.pack_into(self._map, self._at(self.slot), 0, 0)
        self._map.close()
        os.close(self._slot_lock)
        os.close(self._file)

    @contextlib.contextmanager
    def mutex(self) -> Iterator[None]:
        """Alone among all threads of all processes that use this spool. May be nested."""
        with self._threads:
            if not self._held:
                fcntl.flock(self._file, fcntl.LOCK_EX)
            self._held += 1
            try:
                yield
            finally:
                self._held -= 1
                if not self._held:
                    fcntl.flock(self._file, fcntl.LOCK_UN)

    def abandoned(self) -> Iterator[int]:
        """The slots that no living process holds; each is cleared once its user is done with it."""
        for slot in range(_SLOTS):
            if slot == self.slot or not self._lock_path(slot).exists():
                continue
            lock = self._try_lock(slot)
            if lock is not None:
                yield slot
                self._clear(slot)
                os.close(lock)

    @property
    def used(self) -> int:
        """Bytes in the spool."""
        return self._head()[0]

    @property
    def count(self) -> int:
        """Instances in the spool."""
        return self._head()[1]

    @property
    def missed(self) -> int:
        """How often news of an arrival, or of a process's death, may not have reached the forwarder."""
        return self._head()[2]

    def settle(self, used: int, count: int) -> None:
        """Set what was counted. Call under the mutex."""
        _HEAD.pack_into(self._map, 0, used, count, self.missed)

    def add(self, size: int, count: int) -> None:
        """Something came (or, with negative numbers, went)."""
        with self.mutex():
            used, present, missed = self._head()
            _HEAD.pack_into(self._map, 0, max(0, used + size), max(0, present + count), missed)

    def miss(self) -> None:
        """The forwarder must look for itself."""
        with self.mutex():
            used, count, missed = self._head()
            _HEAD.pack_into(self._map, 0, used, count, missed + 1)

    def reserve(self, size: int, instances: int) -> None:
        """Add to (or take from) what this process's open instances hold."""
        with self.mutex():
            reserved, opened = _SLOT.unpack_from(self._map, self._at(self.slot))
            _SLOT.pack_into(self._map, self._at(self.slot), max(0, reserved + size), max(0, opened + instances))

    def reserved(self) -> tuple[int, int]:
        """Bytes and open instances, over all processes."""
        numbers = _ALL_SLOTS.unpack_from(self._map, _FIRST_SLOT)
        return sum(numbers[0::2]), sum(numbers[1::2])

    def _head(self) -> tuple[int, int, int]:
        used, count, missed = _HEAD.unpack_from(self._map, 0)
        return used, count, missed

    @staticmethod
    def _at(slot: int) -> int:
        return _FIRST_SLOT + slot * _SLOT.size

    def _clear(self, slot: int) -> None:
        with self.mutex():
            if any(_SLOT.unpack_from(self._map, self._at(slot))):
                self.miss()  # killed in the middle: perhaps between giving a name and telling it
            _SLOT.pack_into(self._map, self._at(slot), 0, 0)

    def _lock_path(self, slot: int) -> Path:
        return self._locks / f"{slot:03d}.lock"

    def _try_lock(self, slot: int) -> int | None:
        try:
            lock = os.open(self._lock_path(slot), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError:  # another user's: root has used a command beside us
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return None
        return lock

    def _take_slot(self) -> tuple[int, int]:
        with self.mutex():
            for slot in range(_SLOTS):
                lock = self._try_lock(slot)
                if lock is not None:
                    self._clear(slot)
                    return slot, lock
        raise OSError("too many processes use this spool")
