"""How many associations are open in all worker processes together, and the bounds on them.

Every association holds one slot in a small file that all workers map. The kernel's record lock guards it and is
given back when a process dies, however it dies; the slots of the dead are found by their process id and start
time and are taken back when a bound is hit.
"""

import fcntl
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from mmap import mmap
from pathlib import Path

from proxy.config import LimitsSettings

CAPACITY = 10_000  # as many as [limits] associations may be set to

_HEADER = struct.Struct("<Q")  # one past the highest slot ever in use
_SLOT = struct.Struct("<QQ16s16s")  # process id (0 = free), its start time, calling AE title, address
_SIZE = _HEADER.size + CAPACITY * _SLOT.size


class Occupancy:
    """The slots. Thread-safe; any number of processes may open the same file. `file` is a path or a descriptor."""

    def __init__(self, file: Path | int) -> None:
        self._fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) if isinstance(file, Path) else file
        if os.fstat(self._fd).st_size < _SIZE:
            os.ftruncate(self._fd, _SIZE)
        self._map = mmap(self._fd, _SIZE)
        self._thread_lock = threading.Lock()
        self._me = os.getpid(), _started(os.getpid())

    def __repr__(self) -> str:
        return f"<Occupancy {self.count()} associations>"

    def claim(self, calling_aet: str, address: str, limits: LimitsSettings) -> int | str:
        """Take a slot: its number, or the name of the setting whose bound is hit."""
        key = _title(calling_aet), _address(address)
        with self._locked():
            found = self._find(key, limits)
            if isinstance(found, str) and self._sweep():
                found = self._find(key, limits)
            if isinstance(found, int):
                self._write(found, _SLOT.pack(*self._me, *key))
                (highest,) = _HEADER.unpack_from(self._map)
                _HEADER.pack_into(self._map, 0, max(highest, found + 1))
            return found

    def release(self, slot: int) -> None:
        """Give a slot back."""
        with self._locked():
            self._write(slot, bytes(_SLOT.size))

    def count(self) -> int:
        """How many slots are taken, those of dead processes included until the next sweep."""
        with self._locked():
            return sum(1 for pid, *_ in self._slots() if pid)

    def sweep(self) -> int:
        """Take back the slots of processes that are gone; returns how many."""
        with self._locked():
            return self._sweep()

    def close(self) -> None:
        """Unmap the file. What this process holds stays claimed until it ends."""
        self._map.close()
        os.close(self._fd)

    def _find(self, key: tuple[bytes, bytes], limits: LimitsSettings) -> int | str:
        """The first free slot, or the bound that is hit."""
        taken, same_title, same_address, free = 0, 0, 0, -1
        index = -1
        for index, (pid, _, title, address) in enumerate(self._slots()):
            if not pid:
                free = index if free < 0 else free
                continue
            taken += 1
            same_title += title == key[0]
            same_address += address == key[1]
        if taken >= limits.associations:
            return "associations"
        if 0 < limits.associations_per_aet <= same_title:
            return "associations_per_aet"
        if 0 < limits.associations_per_address <= same_address:
            return "associations_per_address"
        return free if free >= 0 else index + 1

    def _sweep(self) -> int:
        alive: dict[tuple[int, int], bool] = {self._me: True}
        swept = 0
        for index, (pid, started, *_) in enumerate(list(self._slots())):
            owner = (pid, started)
            if pid and not alive.setdefault(owner, _started(pid) == started):
                self._write(index, bytes(_SLOT.size))
                swept += 1
        return swept

    def _slots(self) -> Iterator[tuple[int, int, bytes, bytes]]:
        (highest,) = _HEADER.unpack_from(self._map)
        used = min(highest, CAPACITY) * _SLOT.size
        return _SLOT.iter_unpack(self._map[_HEADER.size : _HEADER.size + used])

    def _write(self, index: int, slot: bytes) -> None:
        at = _HEADER.size + index * _SLOT.size
        self._map[at : at + _SLOT.size] = slot

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._thread_lock:  # a record lock belongs to the process: it does not hold threads apart
            fcntl.lockf(self._fd, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN)


def _started(pid: int) -> int:
    """When a process started, in the kernel's ticks: tells a process from a later one with the same id. 0 = gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    return 0 if fields[0] in ("Z", "X") else int(fields[19])


def _title(calling_aet: str) -> bytes:
    return calling_aet.strip().lower().encode("ascii", "replace")[:16].ljust(16, b"\0")


def _address(address: str) -> bytes:
    try:
        packed = ip_address(address.partition("%")[0]).packed
    except ValueError:
        packed = address.encode("utf-8")[:16]
    return packed.ljust(16, b"\0")
