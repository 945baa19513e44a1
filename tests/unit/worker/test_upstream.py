"""Events on their way to the supervisor: all of them, together, and never at the cost of an association."""

import threading
from collections.abc import Iterator
from multiprocessing.connection import Pipe

import pytest

from proxy.events import CacheChanged, Event, Trouble
from proxy.worker import upstream as upstream_module
from proxy.worker.upstream import Upstream


class Supervisor:
    """The other end of the pipe."""

    def __init__(self) -> None:
        self.pipe, theirs = Pipe()
        self.upstream = Upstream(theirs, threading.Lock())
        self.theirs = theirs

    def events(self) -> list[Event]:
        """The next batch."""
        assert self.pipe.poll(10), "nothing comes"
        kind, batch = self.pipe.recv()
        assert kind == "events"
        return list(batch)


def trouble(number: int) -> Trouble:
    return Trouble(where="test", what=str(number))


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor()
    yield supervisor
    supervisor.upstream.stop()
    supervisor.pipe.close()


def test_a_burst_arrives_together_and_in_order(supervisor: Supervisor) -> None:
    sent = [trouble(number) for number in range(100)]
    supervisor.upstream.start()
    for event in sent:
        supervisor.upstream(event)
    got = supervisor.events()
    while len(got) < len(sent):
        got += supervisor.events()
    assert got == sent


def test_what_the_cache_does_is_added_up(supervisor: Supervisor) -> None:
    for _ in range(50):
        supervisor.upstream(CacheChanged(hits=1))
    supervisor.upstream(CacheChanged(misses=1, written_bytes=1000))
    supervisor.upstream(trouble(1))
    supervisor.upstream.start()
    first, cache = supervisor.events()
    assert isinstance(first, Trouble)
    assert isinstance(cache, CacheChanged)
    assert (cache.hits, cache.misses, cache.written_bytes) == (50, 1, 1000)


def test_a_supervisor_that_is_slow_costs_events_that_are_counted_and_nobodys_time(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream_module, "_QUEUED", 10)
    supervisor.upstream = Upstream(supervisor.theirs, threading.Lock())
    for number in range(25):
        supervisor.upstream(trouble(number))
    supervisor.upstream.start()
    *kept, told = supervisor.events()
    assert [event.what for event in kept if isinstance(event, Trouble)] == [str(number) for number in range(15, 25)]
    assert isinstance(told, Trouble)
    assert told.what == "15 events were dropped: the supervisor is slow"


def test_stopping_sends_what_is_left(supervisor: Supervisor) -> None:
    supervisor.upstream.start()
    for number in range(5):
        supervisor.upstream(trouble(number))
    supervisor.upstream.stop()
    got: list[Event] = []
    while len(got) < 5:
        got += supervisor.events()
    assert len(got) == 5


def test_a_supervisor_that_is_gone_is_no_error(supervisor: Supervisor) -> None:
    supervisor.pipe.close()
    supervisor.upstream.start()
    supervisor.upstream(trouble(1))
    supervisor.upstream.stop()
    assert not supervisor.upstream._thread.is_alive()
