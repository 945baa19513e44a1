"""Instances that Orthanc was asked for before their turn came."""

import threading
from pathlib import Path

import pytest

from proxy.cache import claims
from proxy.cache.cached import CachedInstance
from proxy.cache.instances import InstanceCache
from proxy.config import CacheSettings
from proxy.dicom.messages import Located
from proxy.errors import OrthancRefused, OrthancUnavailable
from proxy.events import CacheChanged, Event
from proxy.journal import Journal
from tests.fakes.archive import Archive
from tests.fakes.received import data_set


class Asked:
    """The answer to a question; `wrong` is raised, or sent instead of the file."""

    def __init__(self, file: bytes, wrong: Exception | bytes | None) -> None:
        self.file, self.wrong = file, wrong
        self.read_or_closed = 0

    def read(self, patience: float) -> memoryview:
        self.read_or_closed += 1
        if isinstance(self.wrong, Exception):
            raise self.wrong
        return memoryview(self.file if self.wrong is None else self.wrong)

    def close(self) -> None:
        self.read_or_closed += 1


class World:
    """A cache before an archive that can be asked ahead."""

    def __init__(self, folder: Path) -> None:
        self.archive = Archive()
        self.events: list[Event] = []
        self.asked: list[Asked] = []
        self.wrong: Exception | bytes | None = None
        settings = CacheSettings.model_validate({"min_free_bytes": 0})
        self.cache = InstanceCache(folder, settings, Journal(self.events.append), self.archive.download, self.ask)

    def ask(self, located: Located) -> Asked:
        self.asked.append(Asked(self.archive.files[located.file_uuid], self.wrong))
        return self.asked[-1]

    def count(self, what: str) -> int:
        return sum(getattr(event, what) for event in self.events if isinstance(event, CacheChanged))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def content(instance: CachedInstance | None) -> bytes:
    assert instance is not None
    data = bytes(instance.data)
    instance.close()
    return data


def test_what_was_asked_for_is_served_and_cached_without_another_download(world: World) -> None:
    located = world.archive.add("1.2.3")
    coming = world.cache.ask(located)
    assert coming is not None
    assert content(coming.take(5)) == data_set("1.2.3")
    world.cache.close()
    assert content(world.cache.lookup(located)) == data_set("1.2.3")
    assert world.archive.downloads == []
    assert (world.count("misses"), world.count("hits"), world.asked[0].read_or_closed) == (1, 1, 1)


@pytest.mark.parametrize("wrong", [OrthancUnavailable("no"), b"no DICOM file", "another instance"])
def test_an_answer_that_is_not_the_instance_is_downloaded_as_any_other(world: World, wrong: object) -> None:
    other = world.archive.files[world.archive.add("1.2.9").file_uuid]
    world.wrong = other if wrong == "another instance" else wrong  # type: ignore[assignment]
    located = world.archive.add("1.2.3")
    coming = world.cache.ask(located)
    assert coming is not None
    assert content(coming.take(5)) == data_set("1.2.3")
    assert world.archive.downloads == ["1.2.3"]


def test_nothing_is_asked_for_that_is_cached_or_large_or_of_unknown_size_or_on_its_way(world: World) -> None:
    cached, large, under_way = (
        world.archive.add(f"1.2.{number}", b"x" * size) for number, size in enumerate((8, 2 << 20, 8))
    )
    content(world.cache.fetch(cached))
    unknown = Located(under_way.instance_id, under_way.file_uuid, under_way.series_id, "1.2.2", size=0)
    first = world.cache.ask(under_way)
    assert first is not None
    for located in (cached, large, unknown, under_way):
        assert world.cache.ask(located) is None
    first.close()
    again = world.cache.ask(under_way)
    assert again is not None, "it is free again"
    again.close()


def test_who_asks_in_vain_holds_nothing(world: World) -> None:
    located = world.archive.add("1.2.3")
    world.cache._ask = lambda _: None
    assert world.cache.ask(located) is None

    def refuse(_: Located) -> None:
        raise OrthancRefused("unknown form")

    world.cache._ask = refuse
    assert world.cache.ask(located) is None
    assert content(world.cache.fetch(located)) == data_set("1.2.3")


def test_another_retrieve_gets_what_the_first_one_takes(world: World) -> None:
    located = world.archive.add("1.2.3")
    coming = world.cache.ask(located)
    assert coming is not None
    found: list[bytes] = []
    other = threading.Thread(target=lambda: found.append(content(world.cache.fetch(located))))
    other.start()
    assert content(coming.take(5)) == data_set("1.2.3")
    other.join(5)
    assert found == [data_set("1.2.3")]
    assert world.archive.downloads == []


def test_another_retrieve_does_not_wait_for_one_whose_receiver_is_slow(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_IDLE_MOST", 0.01)
    located = world.archive.add("1.2.3")
    coming = world.cache.ask(located)
    assert coming is not None
    assert content(world.cache.fetch(located)) == data_set("1.2.3")
    assert world.archive.downloads == ["1.2.3"]
    assert content(coming.take(5)) == data_set("1.2.3"), "and it can still be taken"
