"""The forwarder learns of everything that waits, once, under the name it has now, whatever became of the news."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.config import Pipeline
from proxy.spool.arrivals import Teller
from proxy.spool.breaker import Breaker
from proxy.spool.deadletters import DeadLetters
from proxy.spool.names import Name
from proxy.spool.spool import Spool
from proxy.spool.waiting import Waiting
from proxy.workers import news
from proxy.workers.lane import Lane
from proxy.workers.news import News
from proxy.workers.waiting_room import WaitingRoom
from tests.fakes.received import SERIES, STUDY, FakeTarget, data_set, open_spool, service, store
from tests.support.waiting import wait_until

X = Name(STUDY, SERIES, "1.1")


class Desk:
    """A waiting room with one lane that nobody works off, and the news that fill it."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.told: list[str] = []
        self.lane = Lane(FakeTarget(), Breaker(1, 1, lambda: 1.0))
        self.lock = threading.Condition()
        pipelines = {"main": Pipeline(aet="PROXY")}
        letters = DeadLetters(spool)
        self.room = WaitingRoom(
            spool, letters, {"orthanc": self.lane}, pipelines, clock=lambda: 0.0, tell=self.told.append
        )
        self.news = News(spool, self.room, self.lock, clock=lambda: 0.0, complain=self.told.append)

    @contextmanager
    def open(self) -> Iterator["Desk"]:
        self.news.start()
        try:
            yield self
        finally:
            self.news.stop()
            self.news.thread.join(5)
            self.news.close()

    def deliver(self) -> str:
        """Let the next one go; its name."""
        with self.lock:
            item = self.lane.take(0)
            assert item is not None
            name = item.waiting.name.path
            self.room.delivered(self.lane, item)
            return name

    def holds(self, count: int) -> Callable[[], bool]:
        return lambda: len(self.room.items) == count


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return open_spool(tmp_path)


def test_what_was_there_and_what_is_told_is_known_once(spool: Spool) -> None:
    store(service(spool), "1.1")
    with Desk(spool).open() as desk:
        wait_until(desk.holds(1))
        store(service(spool), "1.2")
        wait_until(desk.holds(2))
        for _ in range(2):
            Teller(spool.pipe).tell(Waiting.of(X, spool.envelope(X), 1).encode())
        store(service(spool), "1.3")
        wait_until(desk.holds(3))
    assert desk.told == []


def test_a_line_that_a_crash_has_cut_makes_it_look_for_itself(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    with Desk(spool).open() as desk:
        monkeypatch.setattr(spool, "_tell", lambda waiting: None)  # killed before it could tell
        store(service(spool), "1.1")
        Teller(spool.pipe).tell(b'["1.2/1')
        wait_until(desk.holds(1))


def test_news_of_what_is_let_go_already_are_no_news(spool: Spool) -> None:
    store(service(spool), "1.1")
    with Desk(spool).open() as desk:
        wait_until(desk.holds(1))
        late = Waiting.of(X, spool.envelope(X), 1)
        desk.deliver()
        Teller(spool.pipe).tell(late.encode())
        store(service(spool), "1.2")
        wait_until(desk.holds(1))
        assert desk.deliver() == f"{STUDY}/{SERIES}/1.2.dcm"
    assert desk.told == []


def test_what_has_moved_up_before_its_news_came_is_known_by_its_name_of_now_and_in_order(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Desk(spool).open() as desk:
        store(service(spool), "1.1", data_set("1.1", pixels=b"first..."))
        wait_until(desk.holds(1))
        tellings: list[Waiting] = []
        with monkeypatch.context() as delayed:
            delayed.setattr(spool, "_tell", tellings.append)
            store(service(spool), "1.1", data_set("1.1", pixels=b"second.."))
            desk.deliver()
            store(service(spool), "1.1", data_set("1.1", pixels=b"third..."))
        assert [waiting.name.number for waiting in tellings] == [2, 2]
        for waiting in tellings:
            spool._tell(waiting)
        wait_until(desk.holds(2))
        in_order = [spool.envelope(Name(STUDY, SERIES, "1.1", number)).id for number in (1, 2)]
        assert [item.waiting.id for item in desk.lane.backlog] == in_order == [waiting.id for waiting in tellings]
        assert [item.waiting.name.number for item in desk.lane.backlog] == [1, 2]
    assert desk.told == []


def test_a_folder_that_cannot_be_read_holds_up_no_other_and_is_told_once(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "_HOUSEKEEPING", -1.0)
    monkeypatch.setattr(news, "_LISTEN", 0.01)
    store(service(spool), "1.1")
    store(service(spool), "1.2", data_set("1.2", series="1.0"))
    loop = spool.root / STUDY / "1.0"  # comes before the other
    aside = loop.rename(spool.root / "aside")
    loop.symlink_to(loop)
    with Desk(spool).open() as desk:
        wait_until(desk.holds(1))
        wait_until(lambda: bool(desk.told))
        spool.settle()
        assert spool.ledger.count == 1
        loop.unlink()
        aside.rename(loop)
        wait_until(desk.holds(2))
    assert len(desk.told) == 1
    assert "disk of the spool fails" in desk.told[0]
    assert STUDY not in desk.told[0], "UIDs are for the command to tell"


def test_a_file_that_cannot_be_read_holds_up_only_later_ones_of_its_uid(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "_HOUSEKEEPING", -1.0)
    monkeypatch.setattr(news, "_LISTEN", 0.01)
    for uid, pixels in (("1.1", b"first..."), ("1.1", b"second.."), ("1.2", b"other...")):
        store(service(spool), uid, data_set(uid, pixels=pixels))
    first = spool.path(X)
    aside = first.rename(spool.root / "aside")
    first.symlink_to(first)
    with Desk(spool).open() as desk:
        wait_until(desk.holds(1))
        assert [item.waiting.name.sop_instance_uid for item in desk.lane.backlog] == ["1.2"]
        first.unlink()
        aside.rename(first)
        wait_until(desk.holds(3))
        names = [item.waiting.name for item in desk.lane.backlog if item.waiting.name.sop_instance_uid == "1.1"]
        assert names == [X, X._replace(number=2)]
    assert len(desk.told) == 1
