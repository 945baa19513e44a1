"""What waits for one target, and in which order: as it came, but one at a time of each SOP Instance UID. Pure.

Instances of one UID form a line of their own; only its head can be taken, and only when none of the line is out. An
instance that failed comes back after its own pause and holds up nobody but its line.
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from proxy.spool.waiting import Waiting

Key = tuple[str, str, str]


@dataclass(slots=True)
class Item:
    """A waiting instance as the forwarder holds it; `left` names the targets that still need it."""

    waiting: Waiting
    left: set[str]
    since: float  # monotonic
    attempts: dict[str, int] = field(default_factory=dict)


class Backlog:
    """The items that wait for one target. Not safe for threads."""

    def __init__(self) -> None:
        self._lines: dict[Key, list[Item]] = {}  # nearly always of one
        self._ready: OrderedDict[Key, None] = OrderedDict()
        self._pausing: list[tuple[float, int, Key]] = []
        self._numbers = count()
        self.count = 0
        self.bytes = 0

    def __iter__(self) -> Iterator[Item]:
        for line in self._lines.values():
            yield from line

    def add(self, item: Item) -> None:
        """One more, behind those of its UID that came before it."""
        key = item.waiting.name.key
        line = self._lines.get(key)
        self.count += 1
        self.bytes += item.waiting.size
        if line is None:
            self._lines[key] = [item]
            self._ready[key] = None
            return
        line.append(item)
        # The head may be out and stays where it is; the others stand in order of arrival
        line[1:] = sorted(line[1:], key=lambda waiting: waiting.waiting.name.number)

    def take(self, now: float) -> Item | None:
        """The next that may go out; give it back with `done` or `again`."""
        while self._pausing and self._pausing[0][0] <= now:
            self._ready[heapq.heappop(self._pausing)[2]] = None
        if not self._ready:
            return None
        key, _ = self._ready.popitem(last=False)
        return self._lines[key][0]

    def put_back(self, item: Item) -> None:
        """It was not tried: it stays first."""
        self._ready[item.waiting.name.key] = None
        self._ready.move_to_end(item.waiting.name.key, last=False)

    def done(self, item: Item) -> None:
        """It is over with this one; the next of its UID may go."""
        key = item.waiting.name.key
        line = self._lines[key]
        del line[0]
        self.count -= 1
        self.bytes -= item.waiting.size
        if line:
            self._ready[key] = None
        else:
            del self._lines[key]

    def again(self, item: Item, at: float) -> None:
        """It failed: not before `at` (monotonic)."""
        heapq.heappush(self._pausing, (at, next(self._numbers), item.waiting.name.key))

    def hurry(self) -> None:
        """The target works again: nobody needs to pause any longer."""
        while self._pausing:
            self._ready[heapq.heappop(self._pausing)[2]] = None

    def next_at(self) -> float | None:
        """When a pause ends (monotonic); None where nobody pauses."""
        return self._pausing[0][0] if self._pausing else None

    def oldest(self) -> float | None:
        """Since when the longest waiting waits (monotonic); the first of all lines is nearly always it."""
        line = next(iter(self._lines.values()), None)
        return line[0].since if line else None
