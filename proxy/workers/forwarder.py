"""Delivers what waits in the spool to its targets, and lets it go only when every target has confirmed it.

One thread takes in the news; each target has a lane of its own with some threads, a backlog and a breaker, so a dead
target holds up nobody else. What can be mended is tried again for ever, with growing pauses; what a target refuses for
good becomes a dead letter. Whatever this forgets when it is killed, it finds again in the spool.
"""

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock

from proxy.config import Pipeline, SpoolSettings
from proxy.errors import ProxyError
from proxy.events import Forwarded, Trouble
from proxy.journal import Journal
from proxy.spool.backlog import Item
from proxy.spool.breaker import Breaker, delay
from proxy.spool.deadletters import DeadLetters, Letter
from proxy.spool.names import Name
from proxy.spool.parcel import Damaged, Target, is_final, opened
from proxy.spool.spool import Spool
from proxy.workers.lane import Lane, LaneState, burst_pause, let_others_go_first
from proxy.workers.news import News
from proxy.workers.waiting_room import WaitingRoom

_LOGGER = logging.getLogger(__name__)
_LETTERS_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The spool now. `unrouted`: instances for whose pipeline or target there is no setting any more."""

    waiting: int
    bytes: int
    full: str
    lanes: tuple[LaneState, ...]
    unrouted: int
    dead_count: int
    dead_letters: tuple[Letter, ...]

    @property
    def oldest_age(self) -> float:
        """Seconds."""
        return max((lane.oldest_age for lane in self.lanes), default=0.0)


class Forwarder:
    """The one forwarder of a spool; `targets` by name."""

    def __init__(
        self,
        spool: Spool,
        settings: SpoolSettings,
        pipelines: Mapping[str, Pipeline],
        targets: Mapping[str, Target],
        journal: Journal,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.dead_letters = DeadLetters(spool)
        self._spool = spool
        self._settings = settings
        self._journal = journal
        self._clock = clock
        self._chance = chance
        self._changed = threading.Condition()
        self._stopping = False
        self._lanes = {name: self._lane(target) for name, target in targets.items()}
        self._room = WaitingRoom(spool, self.dead_letters, self._lanes, pipelines, clock, self._complain)
        self._news = News(spool, self._room, self._changed, clock, self._complain)

    def __repr__(self) -> str:
        return f"<Forwarder {len(self._room.items)} waiting, {len(self._lanes)} targets>"

    def start(self) -> None:
        """Count what there is, then begin. Raises OSError, also where another process forwards from this spool."""
        self._only = (self._spool.root / ".ledger" / "forwarder.lock").open("w")
        flock(self._only, LOCK_EX | LOCK_NB)
        self._spool.settle()
        self.dead_letters.sweep()
        self._news.start()
        for lane in self._lanes.values():
            self._start_lane(lane)

    def stop(self) -> None:
        """Begin no further delivery."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._news.stop()

    def join(self, timeout: float) -> bool:
        """Wait for deliveries under way; False when some are left after `timeout` seconds. They lose nothing."""
        until = time.monotonic() + timeout
        threads = [self._news.thread, *(thread for lane in self._lanes.values() for thread in lane.threads)]
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            return False
        self._news.close()
        self._only.close()
        return True

    def replace(self, pipelines: Mapping[str, Pipeline], targets: Mapping[str, Target]) -> None:
        """Go on with other settings. What waits for a target that is no more is routed anew."""
        with self._changed:
            self._room.pipelines = pipelines
            for name, target in targets.items():
                if name in self._lanes:
                    self._lanes[name].target = target
                else:
                    self._lanes[name] = self._lane(target)
                    self._start_lane(self._lanes[name])
            for name in self._lanes.keys() - targets.keys():
                self._room.close(self._lanes.pop(name))
            self._room.readmit()
            self._changed.notify_all()

    def _lane(self, target: Target) -> Lane:
        return Lane(target, Breaker(self._settings.retry_initial, self._settings.retry_max, self._chance))

    def _start_lane(self, lane: Lane) -> None:
        for number in range(1, self._settings.parallel + 1):
            name = f"forward-{lane.name}-{number}"
            lane.threads.append(threading.Thread(target=self._run, args=(lane,), name=name, daemon=True))
            lane.threads[-1].start()

    def snapshot(self) -> Snapshot:
        """For the status page: no UIDs but in the dead letters."""
        letters = self.dead_letters.list(_LETTERS_SHOWN)
        dead_count = self.dead_letters.count()
        with self._changed:
            now = self._clock()
            lanes = tuple(lane.state(now) for _, lane in sorted(self._lanes.items()))
            waiting, unrouted = len(self._room.items), len(self._room.unrouted)
        return Snapshot(
            waiting=waiting + unrouted,
            bytes=self._spool.ledger.used,
            full=self._spool.lack_of_room(),
            lanes=lanes,
            unrouted=unrouted,
            dead_count=dead_count,
            dead_letters=tuple(letters),
        )

    def _run(self, lane: Lane) -> None:
        let_others_go_first()
        while (item := self._next(lane)) is not None:
            began = self._clock()
            try:
                outcome, why = self._deliver(lane, item)
            except Exception as error:
                # Nothing is lost by it: the instance stays where it is
                _LOGGER.exception("forwarding to %s", lane.name)
                outcome, why = self._failed(lane, item, f"internal error: {type(error).__name__}")
            event = Forwarded(
                pipeline=item.waiting.pipeline,
                target=lane.name,
                outcome=outcome,
                why=why,
                duration=self._clock() - began,
                bytes=item.waiting.size,
            )
            self._journal.emit(event)

    def _next(self, lane: Lane) -> Item | None:
        """Wait for an item that may go out; None = stop."""
        with self._changed:
            while not self._stopping and not lane.closed:
                now = self._clock()
                lull = burst_pause(now, self._news.arrived_at, lane.backlog.oldest())
                item = lane.take(now) if lull <= 0 else None
                if item is not None:
                    return item
                self._changed.wait(lane.pause(now) if lull <= 0 else lull)
        return None

    def _deliver(self, lane: Lane, item: Item) -> tuple[str, str]:
        """One attempt: its outcome and why."""
        name = item.waiting.name
        try:
            return self._attempt(lane, item, name)
        except FileNotFoundError:
            return self._not_there(lane, item, name)
        except OSError as error:
            return self._put_off(lane, item, error)

    def _attempt(self, lane: Lane, item: Item, name: Name) -> tuple[str, str]:
        """Raises OSError where the spool fails; the target has no part in that."""
        try:
            with opened(self._spool.path(name)) as parcel:
                if parcel.envelope.id != item.waiting.id:
                    raise FileNotFoundError  # the name is another's now
                words = lane.target.deliver(parcel)
        except Damaged as error:
            return self._refused(lane, item, f"damaged on our disk: {error}")
        except ProxyError as error:
            return (self._refused if is_final(error) else self._failed)(lane, item, error.comment)
        if words:
            _LOGGER.info("%s: %s", lane.name, words)
        self._delivered(lane, item)
        return "delivered", ""

    @contextlib.contextmanager
    def _deciding(self, lane: Lane) -> Iterator[bool]:
        """With the lock: does it matter still? Where its target is no more, the instance has been routed anew."""
        with self._changed:
            yield not lane.closed
            self._changed.notify_all()

    def _delivered(self, lane: Lane, item: Item) -> None:
        with self._deciding(lane) as matters:
            recovered = lane.breaker.succeeded()
            if matters:
                self._room.delivered(lane, item)
            if recovered:
                lane.backlog.hurry()
                self._tell(f"{lane.name} takes instances again; {lane.backlog.count} wait")

    def _refused(self, lane: Lane, item: Item, why: str) -> tuple[str, str]:
        """A dead letter; the target as such works."""
        with self._deciding(lane) as matters:
            if matters:
                self._room.refused(lane, item, why)
                self._complain(f"an instance from {item.waiting.calling_aet} is a dead letter: {lane.name}: {why}")
            lane.breaker.succeeded()
        return "dead", why

    def _failed(self, lane: Lane, item: Item, why: str) -> tuple[str, str]:
        with self._deciding(lane):
            self._pause(lane, item)
            if lane.breaker.failed(self._clock(), why):
                self._tell(f"{lane.name}: {why}; {lane.backlog.count} instances wait")
        return "retry", why

    def _put_off(self, lane: Lane, item: Item, error: OSError) -> tuple[str, str]:
        with self._deciding(lane):
            lane.breaker.given_up()
            self._pause(lane, item)
        return "retry", self._news.disk_fails(error)

    def _pause(self, lane: Lane, item: Item) -> None:
        attempts = item.attempts[lane.name] = item.attempts.get(lane.name, 0) + 1
        pause = delay(attempts, self._settings.retry_initial, self._settings.retry_max, self._chance)
        lane.backlog.again(item, self._clock() + pause)

    def _not_there(self, lane: Lane, item: Item, name: Name) -> tuple[str, str]:
        """The file has moved up to another name meanwhile, or somebody has removed it."""
        with self._deciding(lane) as matters:
            lane.breaker.given_up()
            if item.waiting.name != name:
                lane.backlog.again(item, self._clock())
            elif matters:
                self._room.vanished(lane, item)
                self._news.look_again()
                self._complain("a waiting instance has vanished from the spool")
        return "retry", "its file was not there"

    def _tell(self, what: str, severity: str = "warning") -> None:
        self._journal.emit(Trouble(where="spool", what=what, severity=severity))

    def _complain(self, what: str) -> None:
        self._tell(what, "error")
