"""What a target refuses for good is kept with its reason, and can be taken back."""

from pathlib import Path

import pytest

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
