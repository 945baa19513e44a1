"""Bounds of the spool, each with its own words."""

import pytest

from proxy.config import SpoolSettings
from proxy.spool.room import lack_of_room

SETTINGS = SpoolSettings.model_validate({"max_bytes": 1000, "min_free_bytes": 100, "max_instances": 5})


@pytest.mark.parametrize(
    ("used", "count", "free", "words"),
    [
        (900, 5, 200, ""),
        (901, 1, 200, "the spool is full"),
        (0, 1, 199, "the disk of the spool is nearly full"),
        (0, 6, 1000, "the spool holds too many instances"),
    ],
)
def test_each_bound_is_told_exactly_at_its_edge(used: int, count: int, free: int, words: str) -> None:
    assert lack_of_room(SETTINGS, used=used, count=count, free=free, wanted=100) == words
