"""When to try again: told by numbers alone, no clock involved."""

import pytest

from proxy.spool.breaker import Breaker, delay


@pytest.mark.parametrize(
    ("attempt", "chance", "seconds"), [(1, 1, 1), (2, 1, 2), (5, 1, 16), (20, 1, 300), (2000, 1, 300), (3, 0, 2)]
)
def test_pauses_double_up_to_the_longest_and_are_jittered_downwards(
    attempt: int, chance: float, seconds: float
) -> None:
    assert delay(attempt, 1, 300, lambda: chance) == seconds


def test_the_breaker_opens_lets_one_probe_through_and_closes() -> None:
    breaker = Breaker(1, 300, lambda: 1)
    assert [breaker.failed(now, "away") for now in (0, 0, 0)] == [False, False, True]
    assert not breaker.allows(0.9)
    assert breaker.allows(1.0)
    assert not breaker.allows(1.0), "one probe at a time"
    assert not breaker.failed(1.0, "still away")
    assert breaker.retry_at == 3.0
    assert (breaker.allows(2.9), breaker.allows(3.0)) == (False, True)
    assert breaker.succeeded()
    assert breaker.allows(3.0)
    assert breaker.allows(3.0)
    assert not breaker.succeeded()


def test_a_target_is_asked_every_half_minute_however_long_it_was_away() -> None:
    breaker = Breaker(1, 300, lambda: 1)
    for now in range(1000):
        breaker.failed(now, "away")
    assert breaker.retry_at is not None
    assert breaker.retry_at - 999 <= 30


def test_single_failures_between_successes_never_open_it() -> None:
    breaker = Breaker(1, 300, lambda: 1)
    for now in range(100):
        assert not breaker.failed(now, "poison")
        assert not breaker.succeeded()


def test_a_probe_that_found_nothing_to_do_is_given_back() -> None:
    breaker = Breaker(1, 300, lambda: 1)
    for _ in range(3):
        breaker.failed(0, "away")
    assert breaker.allows(1)
    breaker.given_up()
    assert breaker.allows(1)
