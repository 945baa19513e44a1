"""Associations as bars on a time axis, laid out in lanes so that none hides another."""

from collections.abc import Iterable
from dataclasses import dataclass

from proxy.admin.facts import AdvisedStory

WINDOW = 600.0
WIDTH = 1000.0
_LANES = 10
_NARROWEST = 4.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One association: `x` and `width` out of `WIDTH`, `lane` from 0."""

    x: float
    width: float
    lane: int
    state: str
    words: str


def bars(stories: Iterable[AdvisedStory], now: float, window: float = WINDOW) -> list[Bar]:
    """Those of the last `window` seconds; more at once than there are lanes share the last one."""
    busy_until: list[float] = []
    made = []
    recent = [one.story for one in stories if (one.story.ended or now) > now - window]
    for story in sorted(recent, key=lambda story: story.opened):
        begin = max(0.0, (story.opened - now + window) / window) * WIDTH
        end = min(1.0, ((story.ended or now) - now + window) / window) * WIDTH
        width = max(end - begin, _NARROWEST)
        begin = min(begin, WIDTH - width)
        lane = next((lane for lane, until in enumerate(busy_until) if until <= begin), len(busy_until))
        if lane == len(busy_until):
            if lane < _LANES:
                busy_until.append(0.0)
            else:
                lane -= 1
        busy_until[lane] = begin + width + 2
        state = "failed" if story.state in ("open", "released") and story.failures else story.state.split()[0]
        words = f"{story.label}: {story.state}" + (f", {story.why}" if story.why else "")
        made.append(Bar(round(begin, 1), round(width, 1), lane, state, words))
    return made
