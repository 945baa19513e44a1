"""One instance while it arrives: gathered in memory, then written to a part file, with a hash over all of it.

Small instances reach the disk in one write, large ones in steps, so memory per instance stays within `flush_at`.
Space is reserved before it is written, in steps of 1 MiB.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import xxhash

from proxy.errors import SpoolFull
from proxy.spool.envelope import Envelope, bare_head, write_head
from proxy.spool.parcel import Parcel, mapped

RESERVED_STEP = 1 << 20
FLUSH_AT = 64 << 10
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Incoming:
    """A part file to be. `reserve(bytes)` raises SpoolFull; `release(bytes)` gives back what was reserved.

    After an error nothing more is written; whoever owns this then calls `discard`.
    """

    def __init__(
        self,
        envelope: Envelope,
        path: Path,
        reserve: Callable[[int], None],
        release: Callable[[int], None],
        flush_at: int = FLUSH_AT,
    ) -> None:
        self.envelope = envelope
        self.path = path
        self.size = 0  # of the data set
        self.over = False
        self.named = False  # the file has got its name: it is not ours any more
        self._reserve = reserve
        self._release = release
        self._flush_at = flush_at
        self._hash = xxhash.xxh3_128()
        self._head = write_head(envelope)
        self._buffer = bytearray(self._head)
        self._file: int | None = None
        self._written = 0
        self.reserved = 0
        self._grow(RESERVED_STEP)

    def write(self, fragment: memoryview) -> None:
        """Take the next bytes of the data set. Raises SpoolFull, OSError."""
        self._buffer += fragment
        self.size += len(fragment)
        self._hash.update(fragment)
        if len(self._buffer) >= self._flush_at:
            self._flush()

    def complete(self, study: str, series: str, modality: str) -> Envelope:
        """All has come, and this is what it says; the envelope is whole now."""
        self.envelope = self.envelope.complete(study, series, modality, self.size, self._hash.hexdigest())
        return self.envelope

    def sync(self) -> None:
        """Bring head and data to the disk, for good. Raises SpoolFull, OSError."""
        head = write_head(self.envelope, len(self._head))
        if self._written == 0:
            self._buffer[: len(head)] = head
        else:
            os.pwrite(self._open(), head, 0)
        self._flush()
        os.fdatasync(self._open())
        self._close()

    @contextlib.contextmanager
    def parcel(self) -> Iterator[Parcel]:
        """The whole instance, complete but not synced, to be delivered now. Raises SpoolFull, OSError."""
        head = bare_head(self.envelope)
        if self._file is None:
            yield Parcel(self.envelope, head, memoryview(bytes(self._buffer))[len(self._head) :])
            return
        self._flush()
        with mapped(self._file, len(self._head)) as data:
            yield Parcel(self.envelope, head, data)

    @property
    def length(self) -> int:
        """Bytes of the file so far."""
        return self._written + len(self._buffer)

    def discard(self) -> None:
        """Leave nothing behind. Never raises."""
        with contextlib.suppress(OSError):
            self._close()
        if not self.named:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
        self._buffer = bytearray()
        self._release(self.reserved)
        self.reserved, self.over = 0, True

    def _flush(self) -> None:
        total = self._written + len(self._buffer)
        while total > self.reserved:
            self._grow(RESERVED_STEP)
        file = self._open()
        view = memoryview(self._buffer)
        try:
            while view:
                written = os.write(file, view)
                self._written += written
                view = view[written:]
        except OSError as error:
            if error.errno in _FULL:
                raise SpoolFull("the disk of the spool is full") from error
            raise
        finally:
            view.release()
        self._buffer.clear()

    def _grow(self, step: int) -> None:
        self._reserve(step)
        self.reserved += step

    def _open(self) -> int:
        if self._file is None:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)
