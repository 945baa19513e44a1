"""One target of the forwarder: what waits for it, in which order, and whether it works."""

import contextlib
import os
import threading
import time
from dataclasses import dataclass, field

from proxy.spool.backlog import Backlog, Item
from proxy.spool.breaker import Breaker
from proxy.spool.parcel import Target

_NICE = 10
_LULL = 0.1  # seconds without an arrival end a burst
_HELD_BACK = 2.0  # seconds that nobody waits longer for a burst


@dataclass(frozen=True, slots=True)
class LaneState:
    """`oldest_age` in seconds; `retry_at` (wall clock) while the target is left alone, `why` says for what."""

    target: str
    waiting: int
    bytes: int
    oldest_age: float
    why: str = ""
    retry_at: float | None = None


@dataclass(slots=True)
class Lane:
    """Not safe for threads: the forwarder's lock guards it."""

    target: Target
    breaker: Breaker
    backlog: Backlog = field(default_factory=Backlog)
    threads: list[threading.Thread] = field(default_factory=list)
    closed: bool = False

    @property
    def name(self) -> str:
        """Its target's."""
        return self.target.name

    def take(self, now: float) -> Item | None:
        """An item that may go out now (monotonic); None where there is none, or the target is left alone."""
        if not self.backlog.count or not self.breaker.allows(now):
            return None
        item = self.backlog.take(now)
        if item is None:
            self.breaker.given_up()
        return item

    def pause(self, now: float) -> float | None:
        """Seconds until `take` may have more to give, unless something happens before; None = only then."""
        times = [at for at in (self.backlog.next_at(), self.breaker.retry_at) if at is not None and at > now]
        return max(0.001, min(times) - now) if times else None

    def state(self, now: float) -> LaneState:
        """For the status page."""
        oldest, retry_at = self.backlog.oldest(), self.breaker.retry_at
        return LaneState(
            target=self.name,
            waiting=self.backlog.count,
            bytes=self.backlog.bytes,
            oldest_age=now - oldest if oldest is not None else 0.0,
            why=self.breaker.why,
            retry_at=time.time() + retry_at - now if retry_at is not None else None,
        )


def burst_pause(now: float, arrived_at: float, oldest: float | None) -> float:
    """Seconds to hold back while a burst of instances arrives, so that disk and processors answer its sender first.

    All times are monotonic; `oldest`: since when the longest waiting waits. 0 or less = do not.
    """
    if oldest is None:
        return 0.0
    return min(arrived_at + _LULL - now, oldest + _HELD_BACK - now)


def let_others_go_first() -> None:
    """This thread runs at a lower priority: where processors are short, senders are answered before we forward."""
    with contextlib.suppress(OSError, AttributeError):  # Linux gives each thread a priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
