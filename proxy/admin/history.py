"""Samples over time for the plots: the last hour every five seconds, the last day every minute."""

import threading
from collections import deque
from collections.abc import Mapping

SERIES = ("bytes_in", "bytes_out", "hits", "misses", "requests", "failed", "associations", "spooled", "cached")
_RATES = frozenset({"bytes_in", "bytes_out"})


class _Ring:
    """One resolution. Counts of the samples that fall into one step are summed, gauges keep the latest."""

    def __init__(self, step: float, length: int) -> None:
        self.step = step
        self.samples: deque[list[float]] = deque(maxlen=length)  # [time, seconds covered, *series]

    def add(self, now: float, seconds: float, values: Mapping[str, float]) -> None:
        slot = now // self.step * self.step
        if not self.samples or self.samples[-1][0] < slot:
            self.samples.append([slot, 0.0, *([0.0] * len(SERIES))])
        latest = self.samples[-1]
        latest[1] += seconds
        for position, name in enumerate(SERIES, start=2):
            if name in ("associations", "spooled", "cached"):
                latest[position] = values.get(name, 0.0)
            else:
                latest[position] += values.get(name, 0.0)


class History:
    """Two rings, an hour and a day; about 1 MB of memory at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rings = {"hour": _Ring(5.0, 720), "day": _Ring(60.0, 1440)}

    def add(self, now: float, seconds: float, counts: Mapping[str, float], gauges: Mapping[str, float]) -> None:
        """One interval of `seconds` that ended `now`."""
        values = {**counts, **gauges}
        with self._lock:
            for ring in self._rings.values():
                ring.add(now, seconds, values)

    def total(self, name: str, span: str = "hour") -> float:
        """The sum of one series of counts. Raises KeyError or ValueError."""
        position = SERIES.index(name) + 2
        with self._lock:
            return sum(sample[position] for sample in self._rings[span].samples)

    def columns(self, span: str = "hour") -> dict[str, list[float | None]]:
        """The samples by column: `time`, then every series; bytes as bytes per second. Raises KeyError."""
        with self._lock:
            samples = [list(sample) for sample in self._rings[span].samples]
        columns: dict[str, list[float | None]] = {"time": [sample[0] for sample in samples]}
        for position, name in enumerate(SERIES, start=2):
            if name in _RATES:
                columns[name] = [round(sample[position] / max(sample[1], 1e-3), 1) for sample in samples]
            else:
                columns[name] = [sample[position] for sample in samples]
        hits, misses = columns["hits"], columns["misses"]
        columns["hit_ratio"] = [_ratio(hit, miss) for hit, miss in zip(hits, misses, strict=True)]
        return columns


def _ratio(hits: float | None, misses: float | None) -> float | None:
    """Per cent, or None where nothing was asked: the plot shows a gap, not a zero."""
    total = (hits or 0) + (misses or 0)
    return round(100 * (hits or 0) / total, 1) if total else None
