"""Events on their way from a worker to the supervisor: gathered and sent in batches by a thread of their own.

The queue is bounded and never waited for: when the supervisor is slow, events are dropped and counted, and no
association notices (invariant 5).
"""

import threading
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import fields
from multiprocessing.connection import Connection

from proxy.events import CacheChanged, Event, Trouble

_QUEUED = 20_000
_COUNTS = tuple(field.name for field in fields(CacheChanged) if field.name != "at")
_GATHER = 0.05  # seconds: one write for a burst instead of one for each


class Upstream:
    """A journal subscriber that sends events up the control pipe."""

    def __init__(self, pipe: Connection, lock: threading.Lock) -> None:
        self._pipe = pipe
        self._pipe_lock = lock
        self._queue: deque[Event] = deque(maxlen=_QUEUED)
        self._dropped = 0
        self._something = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send what is left, then end."""
        self._stopped.set()
        self._something.set()
        self._thread.join(2.0)

    def __call__(self, event: Event) -> None:
        """Queue one event."""
        if len(self._queue) == _QUEUED:
            self._dropped += 1
        self._queue.append(event)
        if not self._something.is_set():
            self._something.set()

    def _run(self) -> None:
        while True:
            self._something.wait()
            stopping = self._stopped.wait(_GATHER)
            self._something.clear()
            if not self._send() or (stopping and not self._queue):
                return

    def _send(self) -> bool:
        batch = _merged(self._queue.popleft() for _ in range(len(self._queue)))
        if self._dropped:
            batch.append(Trouble(where="worker", what=f"{self._dropped} events were dropped: the supervisor is slow"))
            self._dropped = 0
        try:
            with self._pipe_lock:
                self._pipe.send(("events", batch))
        except OSError:
            return False
        return True


def _merged(events: Iterable[Event]) -> list[Event]:
    """The same with what the cache did added up: there is an event for every instance that is sent."""
    others: list[Event] = []
    counts: Counter[str] = Counter()
    for event in events:
        if isinstance(event, CacheChanged):
            for name in _COUNTS:
                counts[name] += getattr(event, name)
        else:
            others.append(event)
    return [*others, CacheChanged(**counts)] if any(counts.values()) else others
