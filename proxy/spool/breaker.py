"""When to try again, and when to leave a target alone. Pure: time and chance come in.

A few failures in a row open the breaker; then one delivery at a time is let through, after pauses that double, until
one succeeds. Pauses stay below half a minute, so that a target that comes back is found soon, however long it was away.
"""

from collections.abc import Callable

_IN_A_ROW = 3
_LONGEST_PAUSE = 30.0  # seconds


def delay(attempt: int, initial: float, maximum: float, chance: Callable[[], float]) -> float:
    """Seconds to wait after the `attempt`th failure: doubling up to `maximum`, shortened by up to half by `chance`.

    `chance` gives numbers from 0 to 1; without it, all that failed together would come back together.
    """
    full: float = min(maximum, initial * 2.0 ** min(attempt - 1, 30))
    return full * (0.5 + chance() / 2)


class Breaker:
    """One target's. All times are monotonic seconds."""

    def __init__(self, initial: float, maximum: float, chance: Callable[[], float]) -> None:
        self._initial = initial
        self._maximum = min(maximum, _LONGEST_PAUSE)
        self._chance = chance
        self._failures = 0
        self._probing = False
        self.why = ""
        self.retry_at: float | None = None  # None = closed

    def __repr__(self) -> str:
        return f"<Breaker {'closed' if self.retry_at is None else 'open'} {self._failures} failures>"

    def allows(self, now: float) -> bool:
        """May a delivery start? Where the breaker is open this is the probe: tell how it ended."""
        if self.retry_at is None:
            return True
        if self._probing or now < self.retry_at:
            return False
        self._probing = True
        return True

    def succeeded(self) -> bool:
        """The target works; True when it did not before."""
        recovered = self.retry_at is not None
        self._failures, self._probing, self.retry_at, self.why = 0, False, None, ""
        return recovered

    def failed(self, now: float, why: str) -> bool:
        """The target did not work; True when that opens the breaker."""
        opened = False
        self._failures += 1
        self._probing = False
        if self._failures >= _IN_A_ROW:
            opened = self.retry_at is None
            pauses = self._failures - _IN_A_ROW + 1
            self.retry_at = now + delay(pauses, self._initial, self._maximum, self._chance)
            self.why = why
        return opened

    def given_up(self) -> None:
        """A delivery ended without saying anything about the target."""
        self._probing = False
