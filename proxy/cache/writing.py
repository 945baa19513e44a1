"""Where a download goes while it comes: into a cache file, or past a disk that does not work.

A cache file that cannot be written any further (disk full) hands over what it has to memory, in mid-download: the
receiver never notices.
"""

import contextlib
import mmap
import os
import tempfile
from typing import IO, Protocol

import xxhash

from proxy.cache.files import CacheFiles, key_of
from proxy.cache.footer import Footer
from proxy.dicom.messages import Located
from proxy.dicom.part10 import read_meta
from proxy.dicom.structure import StructureError, Walker
from proxy.errors import OrthancUnavailable

_IN_MEMORY = 16 << 20  # bytes; longer ones go to an unlinked temporary file


_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_HEAD = 4096  # bytes of a data set that hold its first elements
_LOOK = 256  # bytes looked at in one go; mostly the first will do
_DEPTH = 32


class WrongInstance(ValueError):
    """Raised when a file holds another instance than the one that was asked for."""


class Writer(Protocol):
    """Takes one download. `size` is its length in bytes, `failed` tells that the cache's disk did not play along."""

    size: int
    failed: bool

    @property
    def is_cached(self) -> bool: ...
    def begin(self, length: int) -> None: ...
    def write(self, piece: memoryview) -> None: ...
    def finish(self) -> tuple[memoryview, mmap.mmap | None]: ...
    def footer(self, whole: memoryview, located: Located) -> Footer: ...
    def publish(self, footer: Footer) -> None: ...
    def abandon(self) -> None: ...


class MemoryWriter:
    """Keeps the download in memory, a long one in a temporary file that nobody else sees."""

    is_cached = False

    def __init__(self) -> None:
        self.size = 0
        self.failed = False
        self._memory = bytearray()
        self._file: IO[bytes] | None = None

    def begin(self, length: int) -> None:
        """Start, or start again."""
        self.abandon()
        self.size = length
        self._memory = bytearray()
        if length > _IN_MEMORY:
            try:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115
            except OSError as error:
                raise OrthancUnavailable("no room for a temporary file") from error

    def write(self, piece: memoryview) -> None:
        """Take the next bytes."""
        if self._file is None:
            self._memory += piece
            return
        try:
            self._file.write(piece)
        except OSError as error:
            raise OrthancUnavailable("no room for a temporary file") from error

    def finish(self) -> tuple[memoryview, mmap.mmap | None]:
        """All that came."""
        if self._file is None:
            return memoryview(self._memory), None
        try:
            self._file.flush()
        except OSError as error:
            raise OrthancUnavailable("no room for a temporary file") from error
        mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return memoryview(mapped), mapped

    def footer(self, whole: memoryview, located: Located) -> Footer:
        """What the file says of itself. Raises ValueError, WrongInstance."""
        return footer_of(whole, self.size, located)

    def publish(self, footer: Footer) -> None:  # noqa: ARG002
        """There is nothing to publish; the mapping keeps a temporary file alive."""
        if self._file is not None:
            self._file.close()

    def abandon(self) -> None:
        """Drop everything."""
        if self._file is not None:
            self._file.close()
            self._file = None


class FileWriter:
    """Writes a file that gets its name `path` once it is whole; falls back to `MemoryWriter` when the disk fails."""

    def __init__(self, path: str, files: CacheFiles) -> None:
        self.size = 0
        self.failed = False
        self._path = path
        self._files = files
        self._part = files.part()
        self._descriptor = files.create(self._part)
        self._hasher = xxhash.xxh3_128()
        self._fallback: MemoryWriter | None = None

    @property
    def is_cached(self) -> bool:
        """Did the file get into the cache?"""
        return self._fallback is None and not self.failed

    def begin(self, length: int) -> None:
        """Start, or start again."""
        self.size = length
        if self._fallback is not None:
            self._fallback.begin(length)
            return
        self.restart()
        os.ftruncate(self._descriptor, 0)

    def restart(self) -> None:
        """Write from the beginning again."""
        self._hasher = xxhash.xxh3_128()
        os.lseek(self._descriptor, 0, os.SEEK_SET)

    def write(self, piece: memoryview) -> None:
        """Take the next bytes."""
        if self._fallback is not None:
            self._fallback.write(piece)
            return
        self._hasher.update(piece)
        done = 0
        try:
            while done < len(piece):
                done += os.write(self._descriptor, piece[done:])
        except OSError:
            self._fall_back(piece[done:])

    def finish(self) -> tuple[memoryview, mmap.mmap | None]:
        """All that came."""
        if self._fallback is not None:
            return self._fallback.finish()
        mapped = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ)
        return memoryview(mapped), mapped

    def footer(self, whole: memoryview, located: Located) -> Footer:
        """What the file says of itself. Raises ValueError, WrongInstance."""
        return footer_of(whole, self.size, located)

    def publish(self, footer: Footer) -> None:
        """Complete the file and give it its name; a failure leaves the instance served and uncached."""
        if self._fallback is not None:
            self._fallback.publish(footer)
            return
        try:
            tail = footer.pack(self._hasher)
            if os.write(self._descriptor, tail) != len(tail):
                raise OSError("disk full")
            self._files.publish(self._part, self._path)
        except (OSError, ValueError):
            self.failed = True
            self._remove()
        else:
            self._close()

    def abandon(self) -> None:
        """Leave nothing behind."""
        if self._fallback is not None:
            self._fallback.abandon()
        self._remove()

    def _fall_back(self, rest: memoryview) -> None:
        self.failed = True
        self._fallback = MemoryWriter()
        self._fallback.begin(self.size)
        left = os.lseek(self._descriptor, 0, os.SEEK_CUR)  # the file itself may be longer
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        while left and (piece := os.read(self._descriptor, min(left, 1 << 20))):
            self._fallback.write(memoryview(piece))
            left -= len(piece)
        self._fallback.write(rest)
        self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._part)
        self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def footer_of(whole: memoryview, length: int, located: Located) -> Footer:
    """What the file is. The data set says which instance, not the file meta information: some writers confuse them."""
    meta = read_meta(whole)
    offset = meta.dataset_offset
    key = key_of(located)
    if located.sop_class_uid and _stands_in(bytes(whole[offset : offset + _HEAD]), located.sop_instance_uid):
        return Footer(key, located.sop_class_uid, located.sop_instance_uid, meta.transfer_syntax, offset, length)
    walker = Walker(meta.transfer_syntax, _DEPTH, (_SOP_CLASS, _SOP_INSTANCE))
    with contextlib.suppress(StructureError):
        for at in range(offset, offset + _HEAD, _LOOK):
            walker.feed(whole[at : at + _LOOK])
            if _SOP_INSTANCE in walker.found:
                break
    found = {tag: value.decode("ascii", "replace").rstrip("\0 ") for tag, value in walker.found.items()}
    if found.get(_SOP_INSTANCE, located.sop_instance_uid) != located.sop_instance_uid:
        raise WrongInstance
    sop_class = located.sop_class_uid or found.get(_SOP_CLASS) or meta.sop_class_uid
    return Footer(key, sop_class, located.sop_instance_uid, meta.transfer_syntax, offset, length)


def _stands_in(head: bytes, sop_instance_uid: str) -> bool:
    """Does an element SOP Instance UID with this value stand there, in little endian? Quicker than reading them all."""
    value = sop_instance_uid.encode("ascii", "replace")
    value += b"\0" * (len(value) % 2)
    tag, length = b"\x08\x00\x18\x00", len(value).to_bytes(2, "little")
    return tag + b"UI" + length + value in head or tag + length + b"\0\0" + value in head
