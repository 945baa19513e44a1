"""Instances on disk: order, names, bounds, and what a kill at any step leaves behind."""

import itertools
import os
import signal
from pathlib import Path

import pytest

from proxy.errors import SpoolFull
from proxy.spool import spool as spool_module
from proxy.spool.arrivals import Listener
from proxy.spool.envelope import envelope_of
from proxy.spool.names import Name
from proxy.spool.parcel import Damaged, opened
from proxy.spool.spool import Spool
from proxy.spool.waiting import Waiting
from tests.fakes.received import SERIES, STUDY, data_set, open_spool, request, service, store


def waiting_paths(spool: Spool) -> list[str]:
    return [name.path for name in spool.names()]


def content(spool: Spool, path: str) -> bytes:
    with opened(spool.root / path) as parcel:
        return bytes(parcel.data)


def test_a_received_instance_lies_where_its_uids_say(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    assert store(service(spool), "1.2.3") == 0
    assert waiting_paths(spool) == [f"{STUDY}/{SERIES}/1.2.3.dcm"]
    assert content(spool, f"{STUDY}/{SERIES}/1.2.3.dcm") == data_set("1.2.3")
    assert (spool.ledger.count, spool.ledger.reserved()) == (1, (0, 0))
    assert spool.ledger.used == (tmp_path / "dimse" / STUDY / SERIES / "1.2.3.dcm").stat().st_size
    assert list((spool.root / ".incoming").iterdir()) == []


def test_other_content_under_the_same_uid_is_kept_beside_and_in_order(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for pixels in (b"first...", b"second..", b"third..."):
        store(service(spool), "1.2.3", data_set("1.2.3", pixels=pixels))
    folder = f"{STUDY}/{SERIES}"
    assert waiting_paths(spool) == [f"{folder}/1.2.3.dcm", f"{folder}/1.2.3_2.dcm", f"{folder}/1.2.3_3.dcm"]
    first = Name(STUDY, SERIES, "1.2.3")
    spool.remove(first, 0)
    # The second moves up, and a fourth still comes after the third
    store(service(spool), "1.2.3", data_set("1.2.3", pixels=b"fourth.."))
    assert [content(spool, path)[-8:] for path in waiting_paths(spool)] == [b"second..", b"third...", b"fourth.."]


def test_the_same_instance_again_is_not_kept_twice(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    assert [store(service(spool), "1.2.3") for _ in range(3)] == [0, 0, 0]
    assert waiting_paths(spool) == [f"{STUDY}/{SERIES}/1.2.3.dcm"]
    assert spool.ledger.count == 1
    assert list((spool.root / ".incoming").iterdir()) == []


def test_an_abandoned_instance_leaves_nothing(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    sink = service(spool).receive(request("1.2.3"))
    sink.write(memoryview(data_set("1.2.3", pixels=bytes(300_000))))
    assert len(list((spool.root / ".incoming").iterdir())) == 1
    sink.abandon()
    assert list((spool.root / ".incoming").iterdir()) == []
    assert spool.ledger.reserved() == (0, 0)


def test_past_its_bound_the_spool_takes_nothing_more_and_recovers(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, max_bytes=2 << 20)
    large = data_set("1.1", pixels=bytes(900_000))
    assert store(service(spool), "1.1", large) == 0
    sink_one = service(spool).receive(request("1.2"))
    with pytest.raises(SpoolFull):  # what is open counts, although nothing of it is written yet
        service(spool).receive(request("1.3"))
    sink_one.abandon()
    assert store(service(spool), "1.4", data_set("1.4", pixels=bytes(2_000_000))) == 0xA700
    assert list((spool.root / ".incoming").iterdir()) == []
    spool.remove(Name(STUDY, SERIES, "1.1"), spool.ledger.used)
    assert store(service(spool), "1.5", large.replace(b"1.1\0", b"1.5\0")) == 0
    assert spool.ledger.reserved() == (0, 0)


def test_room_on_the_disk_is_promised_to_no_two_open_instances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spools = [open_spool(tmp_path, min_free_bytes=1 << 20) for _ in range(2)]
    monkeypatch.setattr(spool_module, "_free", lambda path: 5 << 20)
    begun = [spools[number % 2].begin(envelope_of("main", request("1.2"))) for number in range(4)]
    for spool in spools:
        assert spool.lack_of_room() == "the disk of the spool is nearly full"
        with pytest.raises(SpoolFull, match="nearly full"):
            spool.begin(envelope_of("main", request("1.2")))
    spools[0].end(begun[0])
    assert spools[1].lack_of_room() == ""
    begun.append(spools[1].begin(envelope_of("main", request("1.2"))))
    for number, incoming in enumerate(begun[1:], 1):
        spools[number % 2 if number < 4 else 1].end(incoming)
    assert [spool.ledger.reserved() for spool in spools] == [(0, 0)] * 2


def test_a_spool_whose_folder_is_gone_says_so_and_is_no_error(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    (spool.root / ".incoming").rmdir()
    assert spool.lack_of_room() == "the spool cannot be written: No such file or directory"


def test_so_many_instances_and_not_one_more_get_in(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, max_instances=2)
    assert [store(service(spool), uid) for uid in ("1.1", "1.2")] == [0, 0]
    assert spool.lack_of_room() == "the spool holds too many instances"
    with pytest.raises(SpoolFull, match="too many"):
        service(spool).receive(request("1.3"))


def test_news_of_an_arrival_tell_all_that_routing_needs(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    listener = Listener(spool.pipe)
    store(service(spool), "1.2.3")
    (line,) = listener.lines(0)
    waiting = Waiting.decode(line)
    assert waiting.name == Name(STUDY, SERIES, "1.2.3")
    assert waiting == Waiting.of(waiting.name, spool.envelope(waiting.name), waiting.size)
    assert spool.ledger.missed == 0


def test_where_nobody_listens_the_ledger_says_that_news_were_missed(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    store(service(spool), "1.2.3")
    assert spool.ledger.missed == 1


def test_a_folder_that_the_forwarder_removes_is_made_again(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for uid in ("1.1", "1.2", "1.3"):
        assert store(service(spool), uid) == 0
        spool.remove(Name(STUDY, SERIES, uid), 0)
        spool.remove_empty_folders(older_than=2e12)
        assert not (spool.root / STUDY).exists()


def test_a_folder_that_another_process_made_again_is_looked_into_before_a_name_is_given(tmp_path: Path) -> None:
    one, other = open_spool(tmp_path), open_spool(tmp_path)
    assert store(service(one), "1.1") == 0
    one.remove(Name(STUDY, SERIES, "1.1"), 0)
    one.remove_empty_folders(older_than=2e12)  # `one` has it open still
    for spool, pixels in ((other, b"first..."), (one, b"second.."), (other, b"third...")):
        assert store(service(spool), "1.2.3", data_set("1.2.3", pixels=pixels)) == 0
    assert [content(one, path)[-8:] for path in waiting_paths(one)] == [b"first...", b"second..", b"third..."]


def test_what_another_process_has_named_is_synced_before_it_counts_as_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = open_spool(tmp_path), open_spool(tmp_path)
    assert store(service(one), "1.1") == 0
    one.remove(Name(STUDY, SERIES, "1.1"), 0)
    one.remove_empty_folders(older_than=2e12)
    assert store(service(other), "1.2.3") == 0
    there = (one.root / STUDY / SERIES).stat().st_ino
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    assert store(service(one), "1.2.3") == 0
    assert there in synced


def test_a_changed_file_is_never_handed_out(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    store(service(spool), "1.2.3", data_set("1.2.3", pixels=bytes(100_000)))
    path = spool.path(Name(STUDY, SERIES, "1.2.3"))
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole + b"\0", whole[:-1] + b"\1", whole[:50_000], b"", whole[:200]):
        path.write_bytes(damaged)
        with pytest.raises((Damaged, ValueError)):
            with opened(path):
                pass


def test_start_counts_what_is_there_and_sweeps_what_never_got_whole(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for uid in ("1.1", "1.2"):
        store(service(spool), uid)
    part = spool.root / ".incoming" / f"{spool.ledger.slot:03d}-77.part"
    part.write_bytes(b"half")
    spool.close()
    os.truncate(spool.root / ".ledger" / "ledger", 0)
    again = open_spool(tmp_path)
    again.settle()
    assert not part.exists()
    assert again.ledger.count == 2
    assert again.ledger.used == sum(size for size in (again.path(name).stat().st_size for name in again.names()))


def test_a_crash_between_delivery_and_moving_up_is_mended(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for pixels in (b"first...", b"second..", b"third..."):
        store(service(spool), "1.2.3", data_set("1.2.3", pixels=pixels))
    (spool.root / STUDY / SERIES / "1.2.3.dcm").unlink()
    spool.settle()
    folder = f"{STUDY}/{SERIES}"
    assert waiting_paths(spool) == [f"{folder}/1.2.3.dcm", f"{folder}/1.2.3_3.dcm"]
    assert content(spool, f"{folder}/1.2.3.dcm").endswith(b"second..")


# ---- invariant 4: killed at every step

_STEPS = ("open", "write", "pwrite", "fdatasync", "rename", "fsync", "mkdir", "unlink", "close")
_SENT = (("1.2.3", b"first..."), ("1.2.4", bytes(200_000)), ("1.2.3", b"third..."))


def store_and_die(storage: Path, kill_at: int, acknowledge: int) -> None:
    """In a child process: kill itself before or after the `kill_at`th step that reaches the disk."""
    done = itertools.count(1)

    def watch(name: str) -> None:
        function = getattr(os, name)

        def call(*args: object, **kwargs: object) -> object:
            if next(done) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*args, **kwargs)
            if next(done) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(os, name, call)

    tell = os.write
    spool = open_spool(storage)
    for name in _STEPS:
        watch(name)
    for number, (uid, pixels) in enumerate(_SENT):
        if store(service(spool), uid, data_set(uid, pixels=pixels)) == 0:
            tell(acknowledge, bytes([number]))
    tell(acknowledge, b"\xff")


def run_and_die(storage: Path, kill_at: int) -> bytes:
    """The numbers of what was acknowledged; 255 at the end when it got through."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            store_and_die(storage, kill_at, write)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(write)
    os.waitpid(child, 0)
    acknowledged = os.read(read, 100)
    os.close(read)
    return acknowledged


def test_invariant_4_killed_at_every_step_nothing_acknowledged_is_lost_and_nothing_half_is_named(
    tmp_path: Path,
) -> None:
    for kill_at in range(1, 300):
        storage = tmp_path / str(kill_at)
        storage.mkdir()
        acknowledged = run_and_die(storage, kill_at)
        spool = open_spool(storage)
        spool.settle()
        found = []
        for name in spool.names():
            with opened(spool.path(name)) as parcel:  # raises when it is not whole
                found.append((name.sop_instance_uid, bytes(parcel.data)[-8:]))
        for number in acknowledged.rstrip(b"\xff"):
            uid, pixels = _SENT[number]
            assert (uid, pixels[-8:]) in found, f"killed at step {kill_at}"
        assert list((spool.root / ".incoming").iterdir()) == []
        assert spool.ledger.count == len(found)
        spool.close()
        if acknowledged.endswith(b"\xff"):
            assert kill_at > 60, "the steps are not watched"
            return
    raise AssertionError("never came to the end")
