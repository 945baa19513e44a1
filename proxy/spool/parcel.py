"""An instance on its way to a target, and what a target is."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Protocol

import xxhash

from proxy.errors import OrthancRefused, ProxyError
from proxy.spool.envelope import Envelope, bare_head, read_head


class Damaged(Exception):
    """Raised when a spool file is not what was received: the disk, or somebody, has changed it."""


class NotForThisTarget(ProxyError):
    """Raised when a target will never take this instance, or has not kept it as it was sent."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """`head` is preamble and file meta information as targets get them, `data` the data set as it was received."""

    envelope: Envelope
    head: bytes
    data: memoryview

    def __len__(self) -> int:
        return len(self.head) + len(self.data)


class Target(Protocol):
    """A backend or destination. Used by several threads at once."""

    name: str

    def deliver(self, parcel: Parcel) -> str:
        """Deliver one instance; in words what is worth logging about it, "" = nothing.

        Returns only when the target has confirmed that it holds the instance. Raises ProxyError: see `is_final`.
        """


_HEAD_READ = 16 << 10
_PIECE = 1 << 18


@contextmanager
def opened(path: Path) -> Iterator[Parcel]:
    """The instance of a spool file, checked against what was received. Raises OSError, Damaged."""
    with path.open("rb") as file:
        try:
            envelope, offset = read_head(file.read(_HEAD_READ))
        except ValueError as error:
            raise Damaged(str(error)) from error
        if _sum_of(file, offset) != (envelope.size, envelope.digest):
            raise Damaged("the file has changed since it was received")
        with mapped(file.fileno(), offset) as data:
            yield Parcel(envelope, bare_head(envelope), data)


def _sum_of(file: BufferedReader, offset: int) -> tuple[int, str]:
    """Length and hash of what follows `offset`: read, for a disk error in a mapped file would end the process."""
    size, hasher, piece = 0, xxhash.xxh3_128(), memoryview(bytearray(_PIECE))
    file.seek(offset)
    while count := file.readinto(piece):
        hasher.update(piece[:count])
        size += count
    return size, hasher.hexdigest()


@contextmanager
def mapped(file: int, offset: int) -> Iterator[memoryview]:
    """What follows `offset` in a file that is not empty. Raises OSError."""
    mapping = mmap(file, 0, access=ACCESS_READ)
    whole = memoryview(mapping)
    data = whole[offset:]
    try:
        yield data
    finally:
        # An exception on its way out may still hold parts of it in its traceback; then the mapping ends with that
        with suppress(BufferError):
            data.release()
            whole.release()
            mapping.close()


# Bad file format or request, inexistent tag, too large, not a media type it takes
_FOR_GOOD = frozenset({400, 413, 415, 422})
_BAD_FILE, _INEXISTENT_TAG = 15, 21


def is_final(error: BaseException) -> bool:
    """Will this target refuse this instance for ever? A wrong password or a full disk may be mended."""
    if isinstance(error, NotForThisTarget):
        return True
    if not isinstance(error, OrthancRefused):
        return False
    if error.orthanc_status == _BAD_FILE:
        return True
    return error.http_status in _FOR_GOOD or (error.http_status == 404 and error.orthanc_status == _INEXISTENT_TAG)
