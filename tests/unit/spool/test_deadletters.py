"""What a target refuses for good is kept with its reason, and can be taken back."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from proxy.spool import deadletters
from proxy.spool.deadletters import DeadLetters
from proxy.spool.envelope import envelope_of
from proxy.spool.names import Name
from proxy.spool.parcel import opened
from proxy.spool.progress import ProgressFiles
from tests.fakes.received import SERIES, STUDY, data_set, open_spool, request, service, store

NAME = Name(STUDY, SERIES, "1.2.3")


def test_a_refused_instance_is_kept_with_its_reason_and_can_be_retried_for_that_target(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    store(service(spool), "1.2.3")
    letters = DeadLetters(spool)
    letters.bury(NAME, spool.envelope(NAME), "orthanc", "bad file format", 3, last=True)
    (letter,) = letters.list()
    assert list(spool.names()) == []
    assert letters.list() == [letter]
    assert (letter.why, letter.attempts, letter.calling_aet, letters.count()) == ("bad file format", 3, "CT_1", 1)
    assert spool.ledger.count == 1
    assert letters.retry(letter.id) == NAME
    with opened(spool.path(NAME)) as parcel:
        assert bytes(parcel.data) == data_set("1.2.3")
        assert ProgressFiles(spool.root / ".state").read(parcel.envelope.id).left(("a", "b")) == ("orthanc",)
    assert (letters.list(), spool.ledger.count) == ([], 1)


def test_what_one_target_refuses_still_waits_for_the_others(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    store(service(spool), "1.2.3")
    letters = DeadLetters(spool)
    letters.bury(NAME, spool.envelope(NAME), "one", "no", 1, last=False)
    (letter,) = letters.list()
    assert list(spool.names()) == [NAME]
    # Retried while it still waits for another target, it becomes an arrival of its own
    assert letters.retry(letter.id) == NAME._replace(number=2)
    assert spool.envelope(NAME).id != spool.envelope(NAME._replace(number=2)).id


def test_a_dropped_letter_is_gone(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    store(service(spool), "1.2.3")
    letters = DeadLetters(spool)
    letters.bury(NAME, spool.envelope(NAME), "orthanc", "no", 1, last=True)
    (letter,) = letters.list()
    letters.drop(letter.id)
    assert (letters.list(), letters.count(), spool.ledger.count, spool.ledger.used) == ([], 0, 0, 0)
    for unknown in (letter.id, "../1", "", "nothing"):
        with pytest.raises(LookupError):
            letters.drop(unknown)


def test_an_instance_that_would_kill_the_archive_is_never_retried(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    letters = DeadLetters(spool)
    sink = spool.begin(envelope_of("main", request("1.2.3")))
    sink.write(memoryview(b"whatever"))
    letter = letters.bury_arrival(sink, "too deep")
    with pytest.raises(ValueError, match="too deep"):
        letters.retry(letter.id)
    assert letters.path(letter).read_bytes().endswith(b"whatever")
    spool.settle()
    assert (spool.ledger.count, spool.ledger.reserved()) == (1, (0, 0))


def test_a_reason_without_its_instance_is_forgotten(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    store(service(spool), "1.2.3")
    letters = DeadLetters(spool)
    letters.bury(NAME, spool.envelope(NAME), "orthanc", "no", 1, last=True)
    (letter,) = letters.list()
    letters.path(letter).unlink()
    letters.sweep()
    assert letters.list() == []


@pytest.mark.parametrize(
    ("failing", "last"), [("copyfile", False), ("fsync", False), ("rename", False), ("rename", True), ("fsync", True)]
)
def test_a_disk_that_fails_keeps_the_instance_and_leaves_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, last: bool
) -> None:
    spool = open_spool(tmp_path)
    store(service(spool), "1.2.3")
    letters, envelope = DeadLetters(spool), spool.envelope(NAME)
    write = deadletters.write_file

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fail_from_here(path: Path, content: bytes) -> None:
        write(path, content)
        monkeypatch.setattr(shutil if failing == "copyfile" else os, failing, fail)

    with monkeypatch.context() as patched:
        patched.setattr(deadletters, "write_file", fail_from_here)
        with pytest.raises(OSError, match="No space"):
            letters.bury(NAME, envelope, "orthanc", "no", 1, last=last)
    monkeypatch.undo()
    kept = {path.suffix for path in (spool.root / ".dead").iterdir()}
    assert kept == ({".json", ".dcm"} if not spool.path(NAME).exists() else set())


def test_a_start_forgets_copies_that_did_not_get_whole(tmp_path: Path) -> None:
    letters = DeadLetters(open_spool(tmp_path))
    part = tmp_path / "dimse" / ".dead" / "0123.part"
    part.write_bytes(b"half")
    letters.sweep()
    assert not part.exists()
