"""Waiting for what must come about, without sleeping for luck."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    """Return as soon as `condition` holds. Raises AssertionError after `seconds`."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"it did not come about within {seconds:g} s"
        time.sleep(0.02)
