"""How much lies in a spool, without opening it."""

import time
from pathlib import Path

from proxy.spool.deadletters import DeadLetters
from proxy.spool.figures import Figures, figures, letters
from proxy.spool.names import Name
from tests.fakes.received import SERIES, STUDY, open_spool, service, store


def test_no_spool_is_an_empty_one_and_none_is_made(tmp_path: Path) -> None:
    assert figures(tmp_path) == Figures()
    assert letters(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_what_waits_and_what_is_dead_is_counted_and_stays_as_it_is(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for uid in ("1.2.3", "1.2.4", "1.2.5"):
        store(service(spool), uid)
    name = Name(STUDY, SERIES, "1.2.5")
    DeadLetters(spool).bury(name, spool.envelope(name), "orthanc", "bad file format", 3, last=True)
    before = sorted(path for path in tmp_path.rglob("*"))
    told = figures(tmp_path)
    assert (told.waiting, told.dead) == (2, 1)
    assert told.bytes == sum(spool.path(Name(STUDY, SERIES, uid)).stat().st_size for uid in ("1.2.3", "1.2.4"))
    assert 0 <= time.time() - told.oldest < 60
    (letter,) = letters(tmp_path)
    assert (letter["why"], letter["target"], letter["attempts"]) == ("bad file format", "orthanc", 3)
    assert "1.2.5" not in str(letter), "no UIDs"
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_a_damaged_letter_is_passed_over(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    (spool.root / ".dead" / "1.json").write_text("{")
    (spool.root / ".dead" / "2.json").write_text('{"another": "shape"}')
    assert letters(tmp_path) == []
    assert figures(tmp_path).dead == 2
