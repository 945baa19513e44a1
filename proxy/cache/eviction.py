"""Which series leave the cache: the longest unused first, until the rest fits."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_SLACK = 0.9  # evict down to this share of the budget, so that not every new file has to make room


@dataclass(frozen=True, slots=True)
class CachedSeries:
    """One series folder: `size` in bytes, `used` in seconds since the epoch."""

    name: str
    size: int
    used: float


def victims(series: Iterable[CachedSeries], budget: int) -> Iterator[CachedSeries]:
    """The series to drop so that the rest stays within `budget` bytes; none while everything fits."""
    oldest_first = sorted(series, key=lambda one: one.used)
    total = sum(one.size for one in oldest_first)
    if total <= budget:
        return
    for one in oldest_first:
        if total <= budget * _SLACK:
            return
        total -= one.size
        yield one
