"""Which series go: the longest unused, whole, and no more than needed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.eviction import CachedSeries, victims


def series(*sizes: int) -> list[CachedSeries]:
    """The first is the longest unused."""
    return [CachedSeries(str(number), size, float(number)) for number, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "budget", "dropped"),
    [
        ((), 0, ""),
        ((50, 50), 100, ""),
        ((50, 51), 100, "0"),
        ((10, 50, 41), 100, "01"),  # down to nine tenths, so that the next file need not make room again
        ((11, 50, 40), 100, "0"),
        ((500,), 100, "0"),
        ((10, 500, 10), 100, "01"),
        ((1, 1), 0, "01"),
    ],
)
def test_the_longest_unused_go_first_until_the_rest_fits(sizes: tuple[int, ...], budget: int, dropped: str) -> None:
    assert "".join(one.name for one in victims(series(*sizes), budget)) == dropped


@given(
    st.lists(st.builds(CachedSeries, st.uuids().map(str), st.integers(0, 100), st.floats(0, 10))),
    st.integers(0, 2000),
)
def test_what_is_left_fits_and_nothing_that_is_left_was_used_before_what_went(
    there: list[CachedSeries], budget: int
) -> None:
    gone = list(victims(there, budget))
    left = [one for one in there if one not in gone]
    assert sum(one.size for one in left) <= budget
    if gone and left:
        assert max(one.used for one in gone) <= min(one.used for one in left)
