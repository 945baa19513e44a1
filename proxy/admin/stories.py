"""Recent associations, each with what was done in it: the time line of the status page."""

import threading
from collections import OrderedDict, deque
from copy import copy
from dataclasses import dataclass, field

from proxy import events
from proxy.dicom.words import failed, rejection_words, status_code, status_words


@dataclass(slots=True)
class Problem:
    """Something that went wrong; `count` times, the last time `at`."""

    at: float
    where: str
    what: str
    severity: str
    count: int = 1


@dataclass(slots=True)
class Deed:
    """Operations of one kind in a row: 200 C-STOREs with the same outcome are one deed."""

    at: float
    command: str
    level: str
    destination: str
    status: int
    comment: str
    count: int = 1
    duration: float = 0.0
    bytes: int = 0
    matches: int = 0
    completed: int = 0
    failed: int = 0
    warning: int = 0

    @property
    def bad(self) -> bool:
        """True where an administrator would want to look."""
        return failed(self.status) or self.failed > 0

    @property
    def outcome(self) -> str:
        """The status, as `0x0000 Success`."""
        return f"{status_code(self.status)} {status_words(self.status, self.command)}"


@dataclass(slots=True)
class Story:
    """One association from request to end, or a refusal. `state`: open, released, aborted, lost, ..., refused."""

    id: str
    label: str
    calling_aet: str
    called_aet: str
    address: str
    opened: float
    pipeline: str = ""
    implementation: str = ""
    tls: bool = False
    state: str = "open"
    why: str = ""
    ended: float | None = None
    operations: int = 0
    failures: int = 0
    bytes: int = 0
    repeats: int = 1
    result: int = 0
    source: int = 0
    reason: int = 0
    deeds: deque[Deed] = field(default_factory=lambda: deque(maxlen=12))

    @property
    def rejection(self) -> str:
        """The A-ASSOCIATE-RJ in words, for a refusal."""
        return rejection_words(self.result, self.source, self.reason)


class Stories:
    """Those still open, and the last few hundred that are over."""

    def __init__(self, keep: int = 200, open_limit: int = 10_000) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[str, Story] = OrderedDict()
        self._over: deque[Story] = deque(maxlen=keep)
        self._open_limit = open_limit

    def opened(self, event: events.AssociationOpened) -> None:
        """An association was accepted."""
        with self._lock:
            self._open[event.association_id] = Story(
                event.association_id, event.label, event.calling_aet, event.called_aet, event.address, event.at,
                event.pipeline, event.implementation_version, event.tls,
            )  # fmt: skip
            while len(self._open) > self._open_limit:
                self._open.popitem(last=False)

    def operation(self, event: events.OperationEnded) -> None:
        """An operation got its final response."""
        with self._lock:
            story = self._open.get(event.association_id)
            if story is None:
                return
            deed = Deed(
                event.at, event.command, event.level, event.destination, event.status, event.comment, 1,
                event.duration, event.bytes, event.matches, event.completed, event.failed, event.warning,
            )  # fmt: skip
            story.operations += 1
            story.failures += deed.bad
            story.bytes += event.bytes
            last = story.deeds[-1] if story.deeds else None
            if last is None or _kind(last) != _kind(deed):
                story.deeds.append(deed)
                return
            last.at, last.count = deed.at, last.count + 1
            for name in ("duration", "bytes", "matches", "completed", "failed", "warning"):
                setattr(last, name, getattr(last, name) + getattr(deed, name))

    def ended(self, event: events.AssociationEnded) -> None:
        """An association is over."""
        with self._lock:
            story = self._open.pop(event.association_id, None)
            if story is not None:
                story.ended, story.state, story.why = event.at, event.how, event.why
                self._over.append(story)

    def refused(self, event: events.AssociationRefused) -> None:
        """An association was rejected; the same again within the last few is counted, not repeated."""
        key = (event.calling_aet, event.called_aet, event.address, event.why)
        with self._lock:
            for story in list(self._over)[-8:]:
                if story.state == "refused" and key == (
                    story.calling_aet, story.called_aet, story.address, story.why
                ):  # fmt: skip
                    story.repeats, story.ended = story.repeats + 1, event.at
                    return
            label = f"{event.calling_aet or '?'}->{event.called_aet or '?'}"
            self._over.append(
                Story(
                    "",
                    label,
                    event.calling_aet,
                    event.called_aet,
                    event.address,
                    event.at,
                    state="refused",
                    why=event.why,
                    ended=event.at,
                    result=event.result,
                    source=event.source,
                    reason=event.reason,
                )
            )

    def latest(self, limit: int = 60) -> list[Story]:
        """The open ones (newest first, at most half of `limit`), then those over, the last one first."""
        with self._lock:
            current = [_snapshot(story) for story in list(self._open.values())[-limit // 2 :]]
            over = [_snapshot(story) for story in list(self._over)[-limit:]]
        return [*reversed(current), *sorted(over, key=lambda story: -(story.ended or 0))][:limit]


def _kind(deed: Deed) -> tuple[str, str, str, int, str]:
    return (deed.command, deed.level, deed.destination, deed.status, deed.comment)


def _snapshot(story: Story) -> Story:
    twin = copy(story)
    twin.deeds = deque((copy(deed) for deed in story.deeds), maxlen=story.deeds.maxlen)
    return twin
