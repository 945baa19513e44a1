"""What people see of a spool: all that waits and all that is dead, also what is damaged, and nothing changes by it."""

from pathlib import Path

import pytest

from proxy.spool.contents import Contents
from proxy.spool.deadletters import DeadLetters
from proxy.spool.names import Name
from proxy.spool.spool import Spool
from tests.fakes.received import SERIES, STUDY, data_set, open_spool, service, store


def name(uid: str) -> Name:
    return Name(STUDY, SERIES, uid)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """1.1 waits in two versions, 1.2 is damaged, 1.3 is dead."""
    spool = open_spool(tmp_path)
    for pixels in (b"first...", b"second.."):
        store(service(spool), "1.1", data_set("1.1", pixels=pixels))
    for uid in ("1.2", "1.3"):
        store(service(spool), uid)
    spool.path(name("1.2")).write_bytes(b"rubbish")
    DeadLetters(spool).bury(name("1.3"), spool.envelope(name("1.3")), "orthanc", "bad file", 1, last=True)
    return spool


def test_all_that_waits_is_listed_in_order_also_what_is_damaged(spool: Spool) -> None:
    first, second, damaged = Contents(spool).waiting()
    assert [first.path.name, second.path.name, damaged.path.name] == ["1.1.dcm", "1.1_2.dcm", "1.2.dcm"]
    assert first.envelope is not None
    assert (first.id, first.received_at) == (first.envelope.id, first.envelope.received_at)
    assert (damaged.envelope, damaged.id, damaged.size, damaged.received_at) == (None, name("1.2").path, 7, 0.0)
    assert Contents(spool).count_waiting() == 3


def test_the_dead_are_listed_with_their_reason_and_what_they_are(spool: Spool) -> None:
    (dead,) = Contents(spool).dead()
    assert dead.letter is not None
    assert dead.envelope is not None
    assert (dead.letter.why, dead.envelope.sop_instance_uid) == ("bad file", "1.3")
    dead.path.unlink()
    (dead,) = Contents(spool).dead()
    assert dead.envelope is None


def test_everything_listed_is_found_by_its_id(spool: Spool) -> None:
    contents = Contents(spool)
    for entry in (*contents.waiting(), *contents.dead()):
        assert contents.find(entry.id) == entry
    for unknown in ("", "nothing", "../../etc/passwd"):
        with pytest.raises(LookupError):
            contents.find(unknown)


def test_what_is_forwarded_while_it_is_listed_is_left_out(spool: Spool) -> None:
    listed = Contents(spool).waiting()
    next(listed)
    spool.path(name("1.1")._replace(number=2)).unlink()
    assert [entry.path.name for entry in listed] == ["1.2.dcm"]


def test_looking_changes_nothing(spool: Spool) -> None:
    def state() -> list[tuple[Path, int]]:
        return sorted((path, path.lstat().st_mtime_ns) for path in spool.root.rglob("*") if "ledger" not in path.name)

    before = state()
    contents = Contents(spool)
    list(contents.waiting())
    list(contents.dead())
    assert state() == before
