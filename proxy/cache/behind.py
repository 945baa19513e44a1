"""Cache files that are written after their bytes were handed out: making a small file costs more than sending it.

One thread writes, in the order of arrival and at the lowest priority. It lets a burst pass before it begins, for
beside the one who sends it would take the interpreter, and where cores are few one of them. What waits is bounded.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable

import xxhash

from proxy.cache.files import CacheFiles
from proxy.cache.footer import Footer

_MOST = 64 << 20  # bytes that wait
_MANY = _MOST // 4  # from here on it is written although more comes
_LULL = 0.02  # seconds without news: the burst is over
_LOWEST = 19  # as of nice(1)
Waiting = tuple[Footer, memoryview]


class WriteBehind:
    """Writes into `files`. `wrote` is told the length of each file, or -1 for a failure."""

    def __init__(self, files: CacheFiles, wrote: Callable[[int], None]) -> None:
        self._files = files
        self._wrote = wrote
        self._changed = threading.Condition()
        self._waiting: dict[str, Waiting] = {}
        self._bytes = 0
        self._last = 0.0  # when something came
        self._closed = False
        self._thread: threading.Thread | None = None

    def put(self, path: str, footer: Footer, file: memoryview, *, hurried: bool = False) -> None:
        """Have `file`, a whole DICOM file, at `path` soon. Never raises.

        Where too much waits already it is written here and now, or not at all when the caller is `hurried`.
        """
        with self._changed:
            is_late = self._closed or self._bytes + len(file) > _MOST
            if not is_late and path not in self._waiting:
                self._keep(path, footer, file)
        if is_late and not hurried:
            self._write(path, footer, file)

    def close(self) -> None:
        """Wait until all is written; what comes later is written at once."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def get(self, path: str) -> Waiting | None:
        """What waits to be written to `path`."""
        return self._waiting.get(path)

    def _keep(self, path: str, footer: Footer, file: memoryview) -> None:
        self._waiting[path] = (footer, file)
        self._bytes += len(file)
        self._last = time.monotonic()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="cache-writer", daemon=True)
            self._thread.start()
        elif len(self._waiting) == 1 or self._bytes >= _MANY:  # or it is awake anyway, soon enough
            self._changed.notify()

    def _run(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # threads have priorities of their own on Linux alone
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)
        while (path := self._next()) is not None:
            footer, file = self._waiting[path]
            self._write(path, footer, file)
            with self._changed:
                del self._waiting[path]
                self._bytes -= len(file)

    def _next(self) -> str | None:
        """Wait for the next to write; None when all is written and nothing more will come."""
        with self._changed:
            while True:
                if not self._waiting:
                    if self._closed:
                        return None
                    self._changed.wait()
                elif self._closed or self._bytes >= _MANY or (lull := time.monotonic() - self._last) >= _LULL:
                    return next(iter(self._waiting))
                else:
                    self._changed.wait(_LULL - lull)

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
