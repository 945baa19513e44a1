"""One instance while it arrives: bounded in memory, whole on disk, and nothing of it left when it is not wanted."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import xxhash

from proxy.errors import SpoolFull
from proxy.spool.envelope import envelope_of, read_head
from proxy.spool.incoming import FLUSH_AT, RESERVED_STEP, Incoming
from tests.fakes.received import SERIES, STUDY, request


class Room:
    """What is reserved, up to a bound."""

    def __init__(self, most: int = 1 << 40) -> None:
        self.most = most
        self.reserved = 0

    def reserve(self, size: int) -> None:
        if self.reserved + size > self.most:
            raise SpoolFull("the spool is full")
        self.reserved += size

    def release(self, size: int) -> None:
        self.reserved -= size


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def begin(tmp_path: Path, room: Room) -> Callable[..., Incoming]:
    return lambda **how: Incoming(
        envelope_of("main", request("1.2.3")), tmp_path / "0.part", room.reserve, room.release, **how
    )


@pytest.mark.parametrize("size", [0, 1, 1000, FLUSH_AT, 300_000, RESERVED_STEP * 2 + 1])
@pytest.mark.parametrize("step", [7, 16_372, 1 << 20])
def test_whatever_the_fragments_the_file_is_whole_and_tells_what_it_is(
    begin: Callable[..., Incoming], tmp_path: Path, size: int, step: int
) -> None:
    if step == 7 and size > FLUSH_AT:
        step = 777
    data = os.urandom(size)
    incoming = begin()
    for at in range(0, size, step):
        incoming.write(memoryview(data)[at : at + step])
    envelope = incoming.complete(STUDY, SERIES, "CT")
    incoming.sync()
    whole = incoming.path.read_bytes()
    read, offset = read_head(whole)
    assert (read, whole[offset:], len(whole)) == (envelope, data, incoming.length)
    assert (envelope.size, envelope.digest) == (size, xxhash.xxh3_128_hexdigest(data))
    assert stat.S_IMODE(incoming.path.stat().st_mode) == 0o600, "it is for nobody else"


def test_a_small_instance_touches_the_disk_once_all_of_it_has_come(begin: Callable[..., Incoming]) -> None:
    incoming = begin()
    incoming.write(memoryview(bytes(1000)))
    assert not incoming.path.exists()
    incoming.complete(STUDY, SERIES, "CT")
    incoming.sync()
    assert incoming.path.exists()


def test_room_is_reserved_before_it_is_written_and_given_back_at_the_end(
    begin: Callable[..., Incoming], room: Room
) -> None:
    incoming = begin()
    assert room.reserved == RESERVED_STEP
    for _ in range(40):
        incoming.write(memoryview(bytes(100_000)))
        written = incoming.path.stat().st_size if incoming.path.exists() else 0
        assert room.reserved >= written
    assert room.reserved == 4 * RESERVED_STEP
    incoming.discard()
    incoming.discard()
    assert (room.reserved, incoming.path.exists()) == (0, False)


def test_past_its_bound_nothing_more_is_written(begin: Callable[..., Incoming], room: Room) -> None:
    def write_all() -> None:
        for _ in range(100):
            incoming.write(memoryview(bytes(100_000)))

    room.most = 2 * RESERVED_STEP
    incoming = begin()
    with pytest.raises(SpoolFull):
        write_all()
    assert incoming.path.stat().st_size <= 2 * RESERVED_STEP
    incoming.discard()
    assert (room.reserved, incoming.path.exists()) == (0, False)


def test_what_has_its_name_is_not_discarded(begin: Callable[..., Incoming], tmp_path: Path) -> None:
    incoming = begin()
    incoming.complete(STUDY, SERIES, "CT")
    incoming.sync()
    incoming.path.rename(tmp_path / "named.dcm")
    incoming.named = True
    (tmp_path / "0.part").write_bytes(b"somebody else's by now")
    incoming.discard()
    assert (tmp_path / "named.dcm").exists()
    assert (tmp_path / "0.part").exists()


@pytest.mark.parametrize("flush_at", [FLUSH_AT, 1 << 20])
def test_what_passes_through_is_handed_on_whole_from_memory_or_from_its_file(
    begin: Callable[..., Incoming], flush_at: int
) -> None:
    data = os.urandom(200_000)
    incoming = begin(flush_at=flush_at)
    incoming.write(memoryview(data))
    incoming.complete(STUDY, SERIES, "CT")
    for _ in range(2):
        with incoming.parcel() as parcel:
            assert bytes(parcel.data) == data
            assert len(parcel) == len(parcel.head) + len(data)
    assert incoming.path.exists() is (flush_at == FLUSH_AT)
    incoming.sync()
    assert incoming.path.read_bytes().endswith(data), "it can be kept all the same"
