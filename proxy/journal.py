"""Where events go: whoever has something to tell calls `emit`; log, metrics and status page subscribe.

A subscriber that fails is silenced for that event: telling must never disturb doing (invariant 5).
"""

import contextlib
from collections.abc import Callable

from proxy.events import Event

Subscriber = Callable[[Event], None]


class Journal:
    """Fans events out to its subscribers, in the caller's thread; subscribers must be quick and thread-safe."""

    def __init__(self, *subscribers: Subscriber) -> None:
        self._subscribers: tuple[Subscriber, ...] = subscribers

    def subscribe(self, subscriber: Subscriber) -> None:
        """Add one more listener; events emitted before are not repeated."""
        self._subscribers = (*self._subscribers, subscriber)

    def emit(self, event: Event) -> None:
        """Tell all subscribers. Never raises."""
        for subscriber in self._subscribers:
            with contextlib.suppress(Exception):
                subscriber(event)
