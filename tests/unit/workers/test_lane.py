"""A burst is answered before it is forwarded, but nobody waits long for that."""

import pytest

from proxy.workers.lane import burst_pause


@pytest.mark.parametrize(
    ("arrived_at", "oldest", "held"),
    [
        (100.0, 100.0, True),  # it comes just now
        (100.0, 98.5, True),  # more come all the time
        (100.0, 97.9, False),  # ... for too long
        (99.8, 99.5, False),  # the burst is over
        (float("-inf"), 100.0, False),  # found at the start
        (100.0, None, False),  # nothing waits for this target
    ],
)
def test_forwarding_follows_a_burst_at_its_end_or_after_two_seconds(
    arrived_at: float, oldest: float | None, held: bool
) -> None:
    pause = burst_pause(100.0, arrived_at, oldest)
    assert (pause > 0) == held
    assert pause <= 0.1 + 1e-9
