"""What the cache serves is what Orthanc named, to the last bit, whatever happens to its files and its disk."""

import errno
import mmap
import os
import random
import resource
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proxy.cache import reading
from proxy.cache.instances import CachedInstance, InstanceCache
from proxy.config import CacheSettings
from proxy.dicom.messages import Located
from proxy.errors import OrthancUnavailable
from proxy.events import CacheChanged, Event
from proxy.journal import Journal
from tests.fakes.archive import SERIES_ID, Archive, dicom_file
from tests.fakes.received import CT, EXPLICIT, data_set
from tests.support.small_disk import fill, remount, small_disk
from tests.support.waiting import wait_until

SMALL, LARGE, LONG = b"s" * 64, b"l" * (200 << 10), b"x" * (3 << 20)
SIZES = pytest.mark.parametrize("pixels", [SMALL, LARGE, LONG], ids=["small", "large", "long"])


class World:
    """A cache in `folder` before an archive, and what it tells."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.archive = Archive()
        self.events: list[Event] = []
        keys = {"min_free_bytes": 0, **settings}
        self.cache = InstanceCache(
            folder, CacheSettings.model_validate(keys), Journal(self.events.append), self.archive.download
        )

    def get(self, located: Located) -> bytes:
        """The data set, as a retrieve gets it."""
        instance = self.cache.lookup(located) or self.cache.fetch(located)
        return taken(instance)

    def warm(self, *located: Located) -> None:
        """Have them on disk."""
        for one in located:
            self.get(one)
        self.cache.close()

    def file(self, located: Located) -> Path:
        return self.folder / located.series_id / f"{located.instance_id}.{located.file_uuid}"

    def count(self, what: str) -> int:
        return sum(getattr(event, what) for event in self.events if isinstance(event, CacheChanged))


def taken(instance: CachedInstance) -> bytes:
    assert (instance.sop_class_uid, instance.transfer_syntax) == (CT, EXPLICIT)
    data = bytes(instance.data)
    instance.close()
    return data


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "cache")


@SIZES
def test_what_was_downloaded_once_is_a_hit_from_then_on_also_after_a_restart(tmp_path: Path, pixels: bytes) -> None:
    world = World(tmp_path / "cache")
    located = world.archive.add("1.2.3", pixels)
    assert world.get(located) == data_set("1.2.3", pixels=pixels)
    assert world.get(located) == data_set("1.2.3", pixels=pixels)
    world.cache.close()
    again = World(tmp_path / "cache")
    again.cache.start()
    assert again.get(located) == data_set("1.2.3", pixels=pixels)
    assert (world.archive.downloads, again.archive.downloads) == (["1.2.3"], [])
    assert (world.count("misses"), world.count("hits"), again.count("hits")) == (1, 1, 1)


def test_a_flipped_bit_at_any_place_of_a_file_is_never_served(world: World) -> None:
    located = world.archive.add("1.2.3", SMALL)
    world.warm(located)
    sound = world.file(located).read_bytes()
    for position in range(len(sound)):
        damaged = bytearray(sound)
        damaged[position] ^= 1 << random.randrange(8)
        world.file(located).write_bytes(damaged)
        assert world.cache.lookup(located) is None, f"byte {position}"
        assert not world.file(located).exists(), "it is dropped"
    assert world.count("damaged") == len(sound)
    assert world.get(located) == data_set("1.2.3", pixels=SMALL)


@SIZES
@pytest.mark.parametrize(
    "damage",
    [
        lambda sound: b"",  # what a power cut leaves
        lambda sound: bytes(len(sound)),
        lambda sound: sound[: len(sound) // 2],
        lambda sound: sound[:-1],
        lambda sound: sound + b"\0",
        lambda sound: sound[: len(sound) // 2] + b"?" + sound[len(sound) // 2 + 1 :],
        lambda sound: sound[: len(sound) // 2] + sound[len(sound) // 2 + 1 :],
        lambda sound: dicom_file("1.2.3", sound[-64:]),
    ],
)
def test_a_damaged_file_is_dropped_and_downloaded_again(
    world: World, pixels: bytes, damage: Callable[[bytes], bytes]
) -> None:
    located = world.archive.add("1.2.3", pixels)
    world.warm(located)
    world.file(located).write_bytes(damage(world.file(located).read_bytes()))
    assert world.get(located) == data_set("1.2.3", pixels=pixels)
    assert len(world.archive.downloads) == 2
    assert world.count("damaged") == 1


@SIZES
def test_the_sound_file_of_another_instance_or_version_is_not_served(world: World, pixels: bytes) -> None:
    ours = world.archive.add("1.2.3", pixels)
    other = world.archive.add("1.2.4", pixels)
    earlier = world.archive.add("1.2.3", pixels.swapcase(), version=0)
    world.warm(ours, other, earlier)
    for wrong in (other, earlier):
        shutil.copyfile(world.file(wrong), world.file(ours))
        assert world.get(ours) == data_set("1.2.3", pixels=pixels)
    assert world.count("damaged") == 2


def test_an_overwritten_instance_is_another_file(world: World) -> None:
    before, after = world.archive.add("1.2.3", b"before"), world.archive.add("1.2.3", b"after!", version=2)
    assert world.get(before) == data_set("1.2.3", pixels=b"before")
    assert world.get(after) == data_set("1.2.3", pixels=b"after!")
    assert world.get(before) == data_set("1.2.3", pixels=b"before")


@SIZES
def test_a_file_that_is_replaced_or_removed_while_it_is_sent_stays_as_it_was(world: World, pixels: bytes) -> None:
    located = world.archive.add("1.2.3", pixels)
    world.warm(located)
    held = [world.cache.lookup(located) for _ in range(2)]
    beside = world.folder / "beside"
    beside.write_bytes(b"other")
    beside.replace(world.file(located))
    world.cache.clear()
    for instance in held:
        assert instance is not None
        assert taken(instance) == data_set("1.2.3", pixels=pixels)


# ---- one download, however many ask


@SIZES
def test_however_many_ask_at_once_it_is_downloaded_once(world: World, pixels: bytes) -> None:
    located = world.archive.add("1.2.3", pixels)
    everybody_asks = threading.Barrier(20)
    asked = threading.Semaphore(0)

    def slowly(_: Located) -> None:
        for _ in range(20):
            asked.acquire(timeout=5)

    def ask() -> bytes:
        everybody_asks.wait(10)
        assert world.cache.lookup(located) is None
        asked.release()
        return taken(world.cache.fetch(located))

    world.archive.behave = slowly
    with ThreadPoolExecutor(20) as pool:
        answers = [one.result() for one in [pool.submit(ask) for _ in range(20)]]
    assert answers == [data_set("1.2.3", pixels=pixels)] * 20
    assert world.archive.downloads == ["1.2.3"]


@SIZES
def test_what_came_between_looking_and_fetching_is_not_downloaded_again(world: World, pixels: bytes) -> None:
    located = world.archive.add("1.2.3", pixels)
    assert world.cache.lookup(located) is None
    world.get(located)
    assert taken(world.cache.fetch(located)) == data_set("1.2.3", pixels=pixels)
    assert world.archive.downloads == ["1.2.3"]


def test_who_waits_for_a_download_that_fails_tries_for_himself(world: World) -> None:
    located = world.archive.add("1.2.3")
    waiting, fail = threading.Event(), iter([True, False])

    def once(_: Located) -> None:
        waiting.wait(5)
        if next(fail):
            raise OrthancUnavailable("away")

    world.archive.behave = once
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(world.get, located)
        second = pool.submit(world.get, located)
        waiting.set()
        outcomes = [one.exception() or one.result() for one in (first, second)]
    assert sorted(map(type, outcomes), key=str) == sorted([OrthancUnavailable, bytes], key=str)


def test_a_failed_download_leaves_nothing_behind(world: World) -> None:
    located = world.archive.add("1.2.3", LONG)

    def away(_: Located) -> None:
        raise OrthancUnavailable("away")

    world.archive.behave = away
    with pytest.raises(OrthancUnavailable):
        world.get(located)
    assert [path for path in world.folder.rglob("*") if path.is_file()] == []
    world.archive.behave = lambda _: None
    assert world.get(located) == data_set("1.2.3", pixels=LONG)


@SIZES
@pytest.mark.parametrize("wrong", [dicom_file("1.2.9"), b"<html>Please log in</html>", b"", b"\0" * 500])
def test_what_is_not_the_instance_is_neither_served_nor_kept(world: World, pixels: bytes, wrong: bytes) -> None:
    located = world.archive.add("1.2.3", pixels)
    world.archive.files[located.file_uuid] = wrong
    with pytest.raises(OrthancUnavailable):
        world.get(located)
    world.cache.close()
    assert [path for path in world.folder.rglob("*") if path.is_file()] == []


# ---- bounds


def test_past_its_budget_whole_series_go_those_in_use_last(tmp_path: Path) -> None:
    world = World(tmp_path / "cache")
    for number in range(12):
        located = world.archive.add(f"1.2.{number}", LARGE)
        series = f"{number // 4:08d}"
        world.get(Located(located.instance_id, located.file_uuid, series, *_rest(located)))
    world.cache.close()
    for number in range(3):
        os.utime(world.folder / f"{number:08d}", (1000.0 + number, 1000.0 + number))
    again = World(tmp_path / "cache", max_bytes=10 * len(LARGE))
    again.cache.start()
    left = sorted(path.name for path in world.folder.iterdir() if path.name[0] != ".")
    assert left == ["00000001", "00000002"]
    assert again.count("evicted") == 1


def test_while_more_and_more_comes_the_cache_stays_about_its_budget(tmp_path: Path) -> None:
    budget = 20 * len(LARGE)
    world = World(tmp_path / "cache", max_bytes=budget)
    for number in range(100):
        located = world.archive.add(f"1.2.{number}", LARGE)
        world.get(Located(located.instance_id, located.file_uuid, f"{number:08d}", *_rest(located)))
        wait_until(lambda: world.cache.usage().size < 1.2 * budget)
    world.cache.close()
    assert world.count("evicted") > 60


def _rest(located: Located) -> tuple[str, str, str, int]:
    return located.sop_instance_uid, located.sop_class_uid, located.transfer_syntax, located.size


@pytest.mark.parametrize(
    "settings", [{"enabled": False}, {"max_bytes": 1000}, {"min_free_bytes": 1 << 60}], ids=lambda one: next(iter(one))
)
@SIZES
def test_what_may_not_be_kept_is_served_all_the_same(
    tmp_path: Path, settings: dict[str, object], pixels: bytes
) -> None:
    if pixels == SMALL and "max_bytes" in settings:
        settings = {"max_bytes": 100}
    world = World(tmp_path / "cache", **settings)
    located = world.archive.add("1.2.3", pixels)
    for _ in range(2):
        assert world.get(located) == data_set("1.2.3", pixels=pixels)
    world.cache.close()
    assert [path for path in world.folder.rglob("*") if path.is_file()] == []
    assert len(world.archive.downloads) == 2


def test_an_instance_without_a_file_uuid_cannot_be_known_again_and_is_not_kept(world: World) -> None:
    located = world.archive.add("1.2.3")
    world.archive.files[""] = world.archive.files[located.file_uuid]
    nameless = Located(located.instance_id, "", SERIES_ID, *_rest(located))
    for _ in range(2):
        assert world.get(nameless) == data_set("1.2.3")
    assert len(world.archive.downloads) == 2


# ---- disks


def in_a_child(do: Callable[[], None]) -> None:
    """Do it in a process of its own. Raises AssertionError where that fails or dies."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            do()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


@SIZES
def test_a_disk_that_is_full_in_mid_download_is_not_noticed_by_the_receiver(tmp_path: Path, pixels: bytes) -> None:
    def limited() -> None:
        world = World(tmp_path / "cache")
        located = world.archive.add("1.2.3", pixels)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(pixels) // 2, len(pixels) // 2))
        for _ in range(2):
            assert world.get(located) == data_set("1.2.3", pixels=pixels)
        world.cache.close()
        assert world.count("failures") > 0
        assert world.count("written_bytes") == 0
        assert world.cache.usage().instances == 0
        assert [path for path in world.folder.rglob("*") if path.is_file()] == []

    in_a_child(limited)


@pytest.mark.root
@SIZES
def test_a_full_disk_costs_time_only(tmp_path: Path, pixels: bytes) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        world = World(disk / "cache")
        world.cache.start()
        filler = fill(disk)
        located = world.archive.add("1.2.3", pixels)
        for _ in range(2):
            assert world.get(located) == data_set("1.2.3", pixels=pixels)
        filler.unlink()
        if pixels != LONG:
            world.get(located)
            world.cache.close()
            assert world.cache.usage().instances == 1, "it keeps again what there is room for"


@pytest.mark.root
@SIZES
def test_a_read_only_disk_costs_time_only_and_what_is_on_it_is_served(tmp_path: Path, pixels: bytes) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        world = World(disk / "cache")
        kept, other = world.archive.add("1.2.3", pixels), world.archive.add("1.2.4", pixels)
        world.warm(kept)
        remount(disk, read_only=True)
        world.cache.start()
        for located in (kept, other):
            assert world.get(located) == data_set(located.sop_instance_uid, pixels=pixels)
        assert world.archive.downloads == ["1.2.3", "1.2.4"]


def test_a_disk_that_fails_under_a_mapped_file_costs_time_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class BadSector(mmap.mmap):
        """What the kernel says of a page that cannot be read; touching it would be SIGBUS."""

        def madvise(self, option: int, *range: int) -> None:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))

    located = world.archive.add("1.2.3", LONG)
    world.warm(located)
    with monkeypatch.context() as patched:
        patched.setattr(reading.mmap, "mmap", BadSector)
        assert world.cache.lookup(located) is None
    assert world.get(located) == data_set("1.2.3", pixels=LONG)


# ---- several processes


def _work(folder: Path, seed: int) -> None:
    """Retrieve what others write, drop and damage at the same time; all that is served must be right."""
    world = World(folder, max_bytes=2 << 20)
    chance = random.Random(seed)
    sizes = [*range(100, 2000, 300), 150 << 10, 300 << 10]
    pixels = [bytes([number]) * size for number, size in enumerate(sizes)]
    located = [world.archive.add(f"1.2.{number}", one) for number, one in enumerate(pixels)]
    for _ in range(400):
        number = chance.randrange(len(located))
        assert world.get(located[number]) == data_set(f"1.2.{number}", pixels=pixels[number])
        if chance.random() < 0.02:
            world.cache.clear()
        elif chance.random() < 0.03:
            world.cache.start()
    world.cache.close()


def test_several_processes_write_read_evict_and_clear_at_once(tmp_path: Path) -> None:
    children = []
    for seed in range(4):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                _work(tmp_path / "cache", seed)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert list((tmp_path / "cache" / ".parts").iterdir()) == []
