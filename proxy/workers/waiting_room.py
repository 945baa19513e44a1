"""All waiting instances as the forwarder holds them: which lanes they are in, and what becomes of their files.

Everything here is called with the forwarder's lock.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from proxy.config import Pipeline
from proxy.spool.backlog import Item, Key
from proxy.spool.deadletters import DeadLetters
from proxy.spool.names import Name
from proxy.spool.progress import Progress, ProgressFiles
from proxy.spool.routing import targets_of
from proxy.spool.spool import Spool
from proxy.spool.waiting import Waiting
from proxy.workers.lane import Lane

_GONE_MOST = 4096  # more than a pipe can hold news of


@dataclass(slots=True)
class WaitingRoom:
    """`tell` gets words for the administrator."""

    spool: Spool
    dead_letters: DeadLetters
    lanes: dict[str, Lane]
    pipelines: Mapping[str, Pipeline]
    clock: Callable[[], float]
    tell: Callable[[str], None]
    items: dict[str, Item] = field(default_factory=dict)
    unrouted: dict[str, Waiting] = field(default_factory=dict)
    _unrouted_names: set[Name] = field(default_factory=set)
    _lines: dict[Key, list[Item]] = field(default_factory=dict)
    _gone: dict[str, None] = field(default_factory=dict)  # let go lately: news of them may still be on their way
    _progress: ProgressFiles = field(init=False)

    def __post_init__(self) -> None:
        self._progress = ProgressFiles(self.spool.root / ".state")

    def knows(self, name: Name) -> bool:
        """Is the file of that name somebody here?"""
        line = self._lines.get(name.key, ())
        return any(item.waiting.name == name for item in line) or name in self._unrouted_names

    def find(self, names: Sequence[Name]) -> None:
        """Admit the instances of one SOP Instance UID that are not known yet, in order of arrival. Raises OSError."""
        try:
            for name in names:
                self._find(name)
        except FileNotFoundError:
            # They have moved up since they were listed; as long as the lock is held they stay
            for name in self.spool.names_like(names[0]):
                with suppress(FileNotFoundError):
                    self._find(name)

    def _find(self, name: Name) -> None:
        if self.knows(name):
            return
        path = self.spool.path(name)
        try:
            self.admit(Waiting.of(name, self.spool.envelope(name), path.stat().st_size))
        except ValueError as error:
            self.bury_unreadable(name, str(error))

    def admit(self, waiting: Waiting) -> None:
        """Queue one instance for each of its targets; once, however often it is told."""
        if waiting.id in self.items or waiting.id in self.unrouted or waiting.id in self._gone:
            return
        pipeline = self.pipelines.get(waiting.pipeline)
        progress = self._progress.read(waiting.id)
        if pipeline is None and progress.only is None:
            self._park(waiting, f"there is no pipeline {waiting.pipeline!r} any more")
            return
        left = progress.left(_routed(pipeline, waiting))
        unknown = [name for name in left if name not in self.lanes]
        if unknown:
            self._park(waiting, f"there is no target {unknown[0]!r} any more")
            return
        item = Item(waiting, set(left), self.clock())
        if not left:
            self._let_go(item)
            return
        self.items[waiting.id] = item
        self._lines.setdefault(waiting.name.key, []).append(item)
        for name in left:
            self.lanes[name].backlog.add(item)

    def readmit(self) -> None:
        """The settings have changed: route anew what had no place to go."""
        homeless, self.unrouted = list(self.unrouted.values()), {}
        self._unrouted_names.clear()
        for waiting in homeless:
            self.admit(waiting)

    def close(self, lane: Lane) -> None:
        """That target is no more: what waited for it alone is routed anew."""
        lane.closed = True
        for item in list(lane.backlog):
            item.left.discard(lane.name)
            if not item.left:
                self._take_out(item)
                self._put_aside(item.waiting)

    def delivered(self, lane: Lane, item: Item) -> None:
        """That target has it; where it was the last, the file goes. Raises OSError, and then nothing has changed.

        As long as the file is there it must come before those that came after it: a restart would send it again.
        """
        if item.left <= {lane.name}:
            self._let_go(item)
        lane.backlog.done(item)
        item.left.discard(lane.name)
        if not item.left:
            return
        progress = self._progress.read(item.waiting.id)
        # On a full disk this fails, and must not fail the delivery: after a restart there will be one more
        with suppress(OSError):
            self._progress.write(item.waiting.id, Progress(progress.done | {lane.name}, progress.only))

    def refused(self, lane: Lane, item: Item, why: str) -> None:
        """That target refuses it for good. Raises OSError."""
        name = item.waiting.name
        last = item.left <= {lane.name}
        try:
            envelope = self.spool.envelope(name)
        except ValueError:
            self.bury_unreadable(name, why)
            self.vanished(lane, item)
            return
        attempts = item.attempts.get(lane.name, 0) + 1
        former = self.dead_letters.bury(name, envelope, lane.name, why, attempts, last=last)
        self._moved_up(former, name)
        if last:
            self.vanished(lane, item)
        else:
            self.delivered(lane, item)

    def vanished(self, lane: Lane, item: Item) -> None:
        """Its file is not in the spool any more."""
        lane.backlog.done(item)
        item.left.discard(lane.name)
        self._forget(item)

    def bury_unreadable(self, name: Name, why: str) -> None:
        """A file that does not even tell what it is. Raises OSError."""
        self._moved_up(self.dead_letters.bury_unreadable(name, why), name)
        self.tell(f"a damaged file of the spool is a dead letter now: {why}")

    def _let_go(self, item: Item) -> None:
        name = item.waiting.name
        self._moved_up(self.spool.remove(name, item.waiting.size), name)
        self._gone[item.waiting.id] = None
        if len(self._gone) > _GONE_MOST:
            del self._gone[next(iter(self._gone))]
        self._forget(item)

    def _moved_up(self, former: Name | None, name: Name) -> None:
        """The file that was called `former` has the name `name` now."""
        if former is None:
            return
        for item in self._lines.get(name.key, ()):
            if item.waiting.name == former:
                item.waiting = replace(item.waiting, name=name)

    def _forget(self, item: Item) -> None:
        self._take_out(item)
        self._progress.forget(item.waiting.id)

    def _take_out(self, item: Item) -> None:
        self.items.pop(item.waiting.id, None)
        if self.unrouted.pop(item.waiting.id, None) is not None:
            self._unrouted_names.discard(item.waiting.name)
        line = self._lines.get(item.waiting.name.key, [])
        if item in line:
            line.remove(item)
        if not line:
            self._lines.pop(item.waiting.name.key, None)

    def _park(self, waiting: Waiting, why: str) -> None:
        if not self.unrouted:
            self.tell(f"received instances wait for a setting: {why}")
        self._put_aside(waiting)

    def _put_aside(self, waiting: Waiting) -> None:
        self.unrouted[waiting.id] = waiting
        self._unrouted_names.add(waiting.name)


def _routed(pipeline: Pipeline | None, waiting: Waiting) -> tuple[str, ...]:
    if pipeline is None:
        return ()
    return targets_of(pipeline, waiting.calling_aet, waiting.modality, waiting.sop_class_uid)
