import pytest

from proxy.admin import present
from proxy.spool.whose import Whose


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (0, "0"),
        (512, "512 B"),
        (1000, "0.98 KB"),
        (525_312, "513 KB"),
        (5 << 20, "5.00 MB"),
        (42 << 20, "42.0 MB"),
        (3 << 30, "3.00 GB"),
        (1 << 60, "1024 PB"),
    ],
)
def test_sizes(amount, words):
    assert present.size(amount) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 ms"),
        (0.041, "41 ms"),
        (3.21, "3.2 s"),
        (42, "42 s"),
        (59.9, "60 s"),
        (60, "1 min"),
        (250, "4 min 10 s"),
        (7500, "2 h 5 min"),
        (3600, "1 h"),
        (93784, "1 d 2 h"),
    ],
)
def test_durations(seconds, words):
    assert present.duration(seconds) == words


@pytest.mark.parametrize(("seconds", "words"), [(0, "now"), (-5, "now"), (12, "12 s"), (300, "5 min"), (90000, "1 d")])
def test_how_long_ago(seconds, words):
    assert present.ago(1000.0, 1000.0 + seconds) == words


def test_nothing_is_shown_for_nothing():
    assert present.number(0) == ""
    assert present.rate(0) == ""
    assert present.percent(0, 0) == "–"
    assert present.percent(1, 4) == "25 %"
    assert present.number(1234567) == "1\u2009234\u2009567"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            Whose("Doe^Jane", "DEMO1", "A1", "20260105", "Knee", "MR"),
            "Doe^Jane, DEMO1 · accession A1 · MR 20260105 Knee",
        ),
        (Whose(patient_id="DEMO1"), "DEMO1"),
        (Whose(), "The instance does not tell."),
    ],
)
def test_whose_an_instance_is(told, words):
    assert present.whose(told) == words
