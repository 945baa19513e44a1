"""News of arrivals, from the processes that receive to the one that forwards: lines in a named pipe.

Only news: what is lost (nobody listens, the pipe is full, a line is cut by a crash) lies in the spool all the same,
and the ledger's `missed` tells the forwarder to look.
"""

import contextlib
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

_READ = 1 << 16


class Teller:
    """The receiving processes' end. Safe for threads; never blocks."""

    def __init__(self, pipe: Path) -> None:
        self._path = pipe
        self._lock = threading.Lock()
        self._pipe: int | None = None

    def tell(self, line: bytes) -> bool:
        """Send one line without newline; False when it did not go out whole."""
        with self._lock:
            try:
                if self._pipe is None:
                    self._pipe = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                return os.write(self._pipe, line + b"\n") == len(line) + 1
            except BlockingIOError:
                return False
            except OSError:  # nobody listens any more, or yet
                self._close()
                return False

    def close(self) -> None:
        """Close the pipe."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                os.close(self._pipe)
            self._pipe = None


class Listener:
    """The forwarder's end. Raises OSError where the pipe cannot be made."""

    def __init__(self, pipe: Path) -> None:
        if pipe.exists() and not pipe.is_fifo():  # a copy of the spool may have made a file of it
            pipe.unlink()
        with contextlib.suppress(FileExistsError):
            os.mkfifo(pipe, 0o600)
        # Open for writing, too: then there is no end of file when the last receiving process goes
        self._pipe = os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._rest = b""

    def lines(self, timeout: float) -> Iterator[bytes]:
        """What has come, after waiting up to `timeout` seconds for the first."""
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        poll.poll(timeout * 1000)
        while True:
            try:
                data = os.read(self._pipe, _READ)
            except BlockingIOError:
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            yield from filter(None, lines)

    def wake(self) -> None:
        """End the waiting of `lines`, in another thread."""
        with contextlib.suppress(BlockingIOError):  # full: then nobody waits
            os.write(self._pipe, b"\n")

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._pipe)
