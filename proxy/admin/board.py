"""The picture behind the status page: what runs now and what happened lately, built from events, bounded everywhere."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace

from proxy import events
from proxy.admin.history import History
from proxy.admin.stories import Problem, Stories
from proxy.dicom.words import failed, status_code, status_words

OTHER = "(others)"


@dataclass(slots=True)
class Row:
    """One line of the table: an AE title of ours, or a calling AE title. Counts are since the start of the process."""

    name: str
    open: int = 0
    most_open: int = 0
    accepted: int = 0
    refused: int = 0
    services: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    matches: int = 0
    sent: int = 0
    send_failures: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    rate: float = 0.0  # bytes per second, both ways, in the last interval
    cache_hits: int = 0
    cache_misses: int = 0
    last_at: float = 0.0
    last_words: str = ""
    last_failed: bool = False
    counted: int = 0  # bytes at the last tick


@dataclass(slots=True)
class Running:
    """An operation under way. `rate` in bytes per second; `heard` is when it last told its progress."""

    association_id: str
    message_id: int
    label: str
    calling_aet: str
    pipeline: str
    command: str
    level: str
    destination: str
    started: float
    heard: float
    remaining: int = 0
    completed: int = 0
    failed: int = 0
    warning: int = 0
    bytes: int = 0
    rate: float = 0.0

    @property
    def total(self) -> int:
        """All sub-operations of the operation."""
        return self.remaining + self.completed + self.failed + self.warning


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all AE titles since the start; rates over the last interval."""

    open: int
    requests: int
    failed: int
    failed_lately: int  # within the last hour
    refused: int
    bytes_in: int
    bytes_out: int
    rate_in: float
    rate_out: float
    cache_hits: int
    cache_misses: int
    coalesced: int
    evicted: int
    damaged: int


class Board:
    """Subscribes to the journal; `tick` is called every few seconds and closes an interval for the rates."""

    def __init__(self, now: float, callers: int = 200, forget_running_after: float = 900.0) -> None:
        self.started = now
        self.stories = Stories()
        self.history = History()
        self._lock = threading.Lock()
        self._callers_limit, self._forget_after = callers, forget_running_after
        self._pipelines: dict[str, Row] = {}
        self._callers: OrderedDict[str, Row] = OrderedDict()
        self._refused_called: dict[str, int] = {}
        self._running: OrderedDict[tuple[str, int], Running] = OrderedDict()
        self._problems: deque[Problem] = deque(maxlen=100)
        self._sums = dict.fromkeys(("requests", "failed", "refused", "bytes_in", "bytes_out"), 0)
        self._cache = dict.fromkeys(("hits", "misses", "coalesced", "evicted", "damaged"), 0)
        self._rates = (0.0, 0.0)
        self._ticked: tuple[float, dict[str, int]] = (now, self._sums | self._cache)

    def __call__(self, event: events.Event) -> None:
        with self._lock:
            match event:
                case events.OperationProgress():
                    self._progress(event)
                case events.OperationEnded():
                    self._ended(event)
                case events.AssociationOpened():
                    self._opened(event)
                case events.AssociationEnded():
                    self._closed(event)
                case events.AssociationRefused():
                    self._refused(event)
                case events.CacheChanged():
                    for name in self._cache:
                        self._cache[name] += getattr(event, name)
                    if event.failures:
                        self._problem(event.at, "cache", "writing to the cache failed; service goes on without it")
                    if event.damaged:
                        self._problem(event.at, "cache", "a damaged file was found; it was not served")
                case events.Forwarded() if event.outcome == "retry":  # of dead letters a Trouble tells
                    what = f"{event.target} did not take an instance, it will be tried again: {event.why}"
                    self._problem(event.at, f"spool of {event.pipeline}", what)
                case events.Trouble():
                    self._problem(event.at, event.where, event.what, error=event.severity == "error")

    def _problem(self, at: float, where: str, what: str, *, error: bool = False) -> None:
        for known in self._problems:
            if (known.where, known.what) == (where, what):
                self._problems.remove(known)
                known.count, known.at = known.count + 1, at
                self._problems.appendleft(known)
                return
        self._problems.appendleft(Problem(at, where, what, "error" if error else "warning"))

    def _rows(self, pipeline: str, calling_aet: str) -> tuple[Row, Row]:
        ours = self._pipelines.get(pipeline)
        if ours is None:
            ours = self._pipelines[pipeline] = Row(pipeline)
        return ours, self._caller(calling_aet)

    def _caller(self, calling_aet: str) -> Row:
        row = self._callers.get(calling_aet)
        if row is None:
            if len(self._callers) >= self._callers_limit:
                calling_aet = OTHER
            row = self._callers.setdefault(calling_aet, Row(calling_aet))
        return row

    def _opened(self, event: events.AssociationOpened) -> None:
        for row in self._rows(event.pipeline, event.calling_aet):
            row.accepted += 1
            row.open += 1
            row.most_open = max(row.most_open, row.open)
            row.last_at = event.at
        self.stories.opened(event)

    def _closed(self, event: events.AssociationEnded) -> None:
        for row in self._rows(event.pipeline, event.calling_aet):
            row.open = max(0, row.open - 1)
            row.last_at = event.at
        for key in [key for key in self._running if key[0] == event.association_id]:
            del self._running[key]
        self.stories.ended(event)

    def _refused(self, event: events.AssociationRefused) -> None:
        self._sums["refused"] += 1
        if event.called_aet in self._refused_called or len(self._refused_called) < self._callers_limit:
            self._refused_called[event.called_aet] = self._refused_called.get(event.called_aet, 0) + 1
        if event.calling_aet:
            row = self._caller(event.calling_aet)
            row.refused += 1
            row.last_at, row.last_words, row.last_failed = event.at, f"refused: {event.why}", True
        self.stories.refused(event)

    def _progress(self, event: events.OperationProgress) -> None:
        key = (event.association_id, event.message_id)
        running = self._running.get(key)
        if running is None:
            started = event.started or event.at
            running = self._running[key] = Running(
                event.association_id, event.message_id, event.label, event.calling_aet, event.pipeline,
                event.command, event.level, event.destination, started, started,
            )  # fmt: skip
            while len(self._running) > 1000:
                self._running.popitem(last=False)
        elif event.at > running.heard:
            running.rate = max(0, event.bytes - running.bytes) / (event.at - running.heard)
        self._moved(event.pipeline, event.calling_aet, event.command, event.bytes - running.bytes)
        running.level = event.level or running.level  # known only once the identifier has been read
        running.heard = max(running.heard, event.at)
        running.bytes = max(running.bytes, event.bytes)
        running.remaining, running.completed = event.remaining, event.completed
        running.failed, running.warning = event.failed, event.warning

    def _ended(self, event: events.OperationEnded) -> None:
        running = self._running.pop((event.association_id, event.message_id), None)
        self._moved(event.pipeline, event.calling_aet, event.command, event.bytes - (running.bytes if running else 0))
        bad = failed(event.status) or event.failed > 0
        words = f"{event.command} {event.level}".strip()
        words += f": {status_code(event.status)} {status_words(event.status, event.command)}"
        for row in self._rows(event.pipeline, event.calling_aet):
            row.services[event.command] = row.services.get(event.command, 0) + 1
            row.failed += bad
            row.matches += event.matches
            row.sent += event.completed + event.warning
            row.send_failures += event.failed
            row.cache_hits += event.cache_hits
            row.cache_misses += event.cache_misses
            row.last_at, row.last_words, row.last_failed = event.at, words, bad
        self._sums["requests"] += 1
        self._sums["failed"] += bad
        self.stories.operation(event)
        if bad:
            who = f"{event.calling_aet} at {event.pipeline}"
            what = words + (f" ({event.comment})" if event.comment else "")
            self._problem(event.at, who, what)

    def _moved(self, pipeline: str, calling_aet: str, command: str, amount: int) -> None:
        if amount <= 0:
            return
        direction = "bytes_in" if command == "C-STORE" else "bytes_out"
        self._sums[direction] += amount
        for row in self._rows(pipeline, calling_aet):
            setattr(row, direction, getattr(row, direction) + amount)

    def tick(self, now: float, gauges: Callable[[], dict[str, float]] = dict) -> None:
        """Close an interval: rates, and one sample for the plots (`gauges` adds what events do not tell)."""
        more = gauges()
        with self._lock:
            before, counts = self._ticked
            seconds = max(now - before, 1e-3)
            current = self._sums | self._cache
            grown = {name: current[name] - counts[name] for name in current}
            self._ticked = (now, current)
            self._rates = (grown["bytes_in"] / seconds, grown["bytes_out"] / seconds)
            for row in (*self._pipelines.values(), *self._callers.values()):
                moved = row.bytes_in + row.bytes_out
                row.rate, row.counted = (moved - row.counted) / seconds, moved
            for key in [key for key, running in self._running.items() if now - running.heard > self._forget_after]:
                del self._running[key]
            open_now = sum(row.open for row in self._pipelines.values())
        self.history.add(now, seconds, grown, {"associations": open_now, **more})

    def totals(self) -> Totals:
        """Everything summed up."""
        with self._lock:
            failed_lately = self.history.total("failed") + self._sums["failed"] - self._ticked[1]["failed"]
            return Totals(
                failed_lately=int(failed_lately),
                open=sum(row.open for row in self._pipelines.values()),
                rate_in=self._rates[0],
                rate_out=self._rates[1],
                cache_hits=self._cache["hits"],
                cache_misses=self._cache["misses"],
                coalesced=self._cache["coalesced"],
                evicted=self._cache["evicted"],
                damaged=self._cache["damaged"],
                **self._sums,
            )

    def pipeline(self, name: str, aet: str) -> Row:
        """The line of one of our AE titles; refusals are found by the title that was called."""
        with self._lock:
            row = self._pipelines.get(name) or Row(name)
            return replace(row, services=dict(row.services), refused=self._refused_called.get(aet, 0))

    def callers(self) -> list[Row]:
        """The lines of all calling AE titles, the one heard last first."""
        with self._lock:
            return sorted(
                (replace(row, services=dict(row.services)) for row in self._callers.values()),
                key=lambda row: -row.last_at,
            )

    def running(self) -> list[Running]:
        """What is under way, the longest first."""
        with self._lock:
            return sorted((copy(running) for running in self._running.values()), key=lambda one: one.started)

    def problems(self) -> list[Problem]:
        """The latest troubles and failed operations, newest first, repeated ones counted."""
        with self._lock:
            return sorted((copy(problem) for problem in self._problems), key=lambda problem: -problem.at)
