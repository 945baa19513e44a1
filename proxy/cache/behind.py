"""Cache files that are written after their bytes were handed out: making a small file costs more than sending it.

One thread writes, in the order of arrival. What waits for it is bounded; beyond, whoever downloads writes for itself.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import xxhash

from proxy.cache.files import CacheFiles
from proxy.cache.footer import Footer

_MOST = 32 << 20  # bytes that wait
Waiting = tuple[Footer, memoryview]


class WriteBehind:
    """Writes into `files`. `wrote` is told the length of each file, or -1 for a failure."""

    def __init__(self, files: CacheFiles, wrote: Callable[[int], None]) -> None:
        self._files = files
        self._wrote = wrote
        self._lock = threading.Lock()
        self._waiting: dict[str, Waiting] = {}
        self._bytes = 0
        self._thread: ThreadPoolExecutor | None = None

    def put(self, path: str, footer: Footer, file: memoryview) -> None:
        """Have `file`, a whole DICOM file, at `path` soon. Never raises."""
        with self._lock:
            is_late = self._bytes + len(file) > _MOST
            if not is_late:
                self._waiting[path] = (footer, file)
                self._bytes += len(file)
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache-writer")
        if is_late:
            self._write(path, footer, file)
            return
        try:
            self._thread.submit(self._next, path, footer, file)
        except RuntimeError:  # closed
            self._next(path, footer, file)

    def close(self) -> None:
        """Wait until all is written; what comes later is written at once."""
        if self._thread is not None:
            self._thread.shutdown()

    def get(self, path: str) -> Waiting | None:
        """What waits to be written to `path`."""
        return self._waiting.get(path)

    def _next(self, path: str, footer: Footer, file: memoryview) -> None:
        self._write(path, footer, file)
        with self._lock:
            self._waiting.pop(path, None)
            self._bytes -= len(file)

    def _write(self, path: str, footer: Footer, file: memoryview) -> None:
        part = self._files.part()
        try:
            tail = footer.pack(xxhash.xxh3_128(file))
            descriptor = self._files.create(part)
            try:
                if os.writev(descriptor, (file, tail)) != len(file) + len(tail):
                    raise OSError("disk full")
            finally:
                os.close(descriptor)
            self._files.publish(part, path)
        except (OSError, ValueError):
            with contextlib.suppress(OSError):
                os.unlink(part)
            self._wrote(-1)
        else:
            self._wrote(len(file))
