"""Connections whose association is over, until the peer has closed or time is up (Sta13, PS3.8 Table 9-10).

Closing at once would reset the connection where bytes are still on their way to us, and the peer would lose the
A-ABORT or A-RELEASE-RP that it was sent last.
"""

import contextlib
import selectors
import socket
import time

_DISCARDED = 1 << 20  # bytes read from a peer that does not stop talking


class Departures:
    """Waits for peers to close, at most `seconds` for each and for `bound` of them; past it the oldest is cut off."""

    def __init__(self, selector: selectors.BaseSelector, *, seconds: float, bound: int) -> None:
        self._selector = selector
        self._seconds = seconds
        self._bound = bound
        self._deadlines: dict[socket.socket, float] = {}  # the oldest first
        self._discarded: dict[socket.socket, int] = {}

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, connected: socket.socket) -> None:
        """See this one out."""
        try:
            connected.setblocking(False)
            self._selector.register(connected, selectors.EVENT_READ, lambda: self._discard(connected))
        except (OSError, ValueError, KeyError):  # dead already
            connected.close()
            return
        self._deadlines[connected] = time.monotonic() + self._seconds
        if len(self) > self._bound:
            self.drop_oldest()

    def deadline(self) -> float | None:
        """When the next of them has had its time."""
        return next(iter(self._deadlines.values()), None)

    def expire(self, now: float) -> None:
        """Close those that have had their time."""
        while (deadline := self.deadline()) is not None and deadline <= now:
            self.drop_oldest()

    def drop_oldest(self) -> bool:
        """Close the oldest. False when there is none."""
        oldest = next(iter(self._deadlines), None)
        if oldest is not None:
            self._close(oldest)
        return oldest is not None

    def close(self) -> None:
        """Close them all."""
        while self.drop_oldest():
            pass

    def _discard(self, connected: socket.socket) -> None:
        try:
            count = len(connected.recv(65536))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            count = 0
        self._discarded[connected] = self._discarded.get(connected, 0) + count
        if not count or self._discarded[connected] > _DISCARDED:
            self._close(connected)

    def _close(self, connected: socket.socket) -> None:
        self._deadlines.pop(connected, None)
        self._discarded.pop(connected, None)
        with contextlib.suppress(KeyError, ValueError, OSError):
            self._selector.unregister(connected)
        with contextlib.suppress(OSError):
            connected.close()
