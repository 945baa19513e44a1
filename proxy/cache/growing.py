"""Instances that are sent while they are downloaded: long ones, whose receiver need not wait for the last byte.

What is handed out early are bytes of the part file, mapped; they become readable one after the other. The room on the
disk is taken beforehand, so that nothing but Orthanc's going away can end it halfway. A download that is tried again
must bring the same bytes again as far as they were handed out.
"""

import contextlib
import mmap
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from proxy.cache.files import CacheFiles
from proxy.cache.footer import Footer
from proxy.cache.writing import FileWriter, WrongInstance, footer_of
from proxy.dicom.messages import Located
from proxy.errors import OrthancUnavailable

_HEAD = 16 << 10  # bytes that hold the file meta information and what tells which instance it is
_STEP = 256 << 10  # bytes; a waiting sender is woken for no less


@dataclass(eq=False, slots=True)
class GrowingInstance:
    """An instance of which the beginning is there. `size` is the length of its data set in bytes."""

    footer: Footer
    _file: memoryview
    _available: int = 0
    _failed: bool = False
    _change: threading.Condition = field(default_factory=threading.Condition)

    @property
    def sop_class_uid(self) -> str:
        """As the cached instance will tell it."""
        return self.footer.sop_class_uid

    @property
    def sop_instance_uid(self) -> str:
        """As the cached instance will tell it."""
        return self.footer.sop_instance_uid

    @property
    def transfer_syntax(self) -> str:
        """As the cached instance will tell it."""
        return self.footer.transfer_syntax

    @property
    def size(self) -> int:
        """Bytes of the data set."""
        return self.footer.length - self.footer.dataset_offset

    def pieces(self) -> Iterator[memoryview]:
        """The data set, as it comes. Raises OrthancUnavailable where the rest does not."""
        sent = self.footer.dataset_offset
        while sent < self.footer.length:
            available = self._more_than(sent)
            yield self._file[sent:available]
            sent = available

    def advance(self, available: int) -> None:
        """So many bytes of the file are there."""
        if available - self._available >= _STEP or available >= self.footer.length:
            with self._change:
                self._available = available
                self._change.notify()

    def fail(self) -> None:
        """The rest will not come."""
        with self._change:
            self._failed = True
            self._change.notify()

    def close(self) -> None:
        """Give the bytes back, once nobody uses one of `pieces` any more."""
        with contextlib.suppress(BufferError):
            self._file.release()

    def _more_than(self, sent: int) -> int:
        with self._change:
            self._change.wait_for(lambda: self._available > sent or self._failed)
            if self._available <= sent:
                raise OrthancUnavailable("Orthanc ended a file too soon")
            return self._available


Started = Callable[[GrowingInstance], None]
"""Is told, in the downloading thread, as soon as it is known what is coming."""


class GrowingWriter(FileWriter):
    """Writes a cache file and hands the instance out as soon as its beginning is there."""

    def __init__(self, path: str, files: CacheFiles, located: Located, started: Started) -> None:
        super().__init__(path, files)
        self._located = located
        self._started = started
        self._instance: GrowingInstance | None = None
        self._map: mmap.mmap | None = None
        self._position = 0
        self._handed_out = 0  # bytes of earlier attempts that somebody may have sent

    def begin(self, length: int) -> None:
        """Start, or start again. Raises OrthancUnavailable where it is another file than was begun."""
        if self._instance is None:
            super().begin(length)
            self._reserve(length)
            return
        if length != self.size:
            raise OrthancUnavailable("Orthanc sent a file of another length than before")
        self._handed_out = max(self._handed_out, self._position)
        self._position = 0
        self.restart()

    def write(self, piece: memoryview) -> None:
        """Take the next bytes. Raises OrthancUnavailable where they are not the same as before."""
        if self._map is None:
            super().write(piece)
            return
        again = min(len(piece), self._handed_out - self._position)
        if again > 0 and self._map[self._position : self._position + again] != piece[:again]:
            raise OrthancUnavailable("Orthanc sent another file than before")
        super().write(piece)
        self._position += len(piece)
        if self._instance is not None:
            if self.failed:
                raise OrthancUnavailable("no room for an instance that is being sent")
            self._instance.advance(self._position)
        elif self._position >= min(_HEAD, self.size):
            self._hand_out(self._map)

    def finish(self) -> tuple[memoryview, mmap.mmap | None]:
        """All that came."""
        if self._map is None or self.failed:
            return super().finish()
        return memoryview(self._map), self._map

    def abandon(self) -> None:
        """Leave nothing behind; whoever sends it already is told."""
        if self._instance is not None:
            self._instance.fail()
        super().abandon()

    def _reserve(self, length: int) -> None:
        """Take the room; where there is none, the instance is not handed out early."""
        self._map = None
        try:
            os.posix_fallocate(self._descriptor, 0, length)
            self._map = mmap.mmap(self._descriptor, length, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            super().begin(length)

    def _hand_out(self, mapped: mmap.mmap) -> None:
        """Unless it is not what was asked for: then it is left to the end of the download to say so."""
        whole = memoryview(mapped)
        try:
            footer = footer_of(whole, self.size, self._located)
        except (ValueError, WrongInstance):
            self._map = None
            return
        self._instance = GrowingInstance(footer, whole)
        self._instance.advance(self._position)
        self._started(self._instance)
