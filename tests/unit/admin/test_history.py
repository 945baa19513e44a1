import pytest

from proxy.admin.history import SERIES, History


def test_counts_of_one_step_are_summed_and_gauges_are_the_latest():
    history = History()
    history.add(100.0, 2.0, {"requests": 3, "bytes_out": 600}, {"associations": 9})
    history.add(102.0, 2.0, {"requests": 4, "bytes_out": 200}, {"associations": 2})
    columns = history.columns()
    assert columns["time"] == [100.0]
    assert columns["requests"] == [7]
    assert columns["bytes_out"] == [200.0]
    assert columns["associations"] == [2]


def test_a_step_without_questions_to_the_cache_is_a_gap_and_not_a_zero():
    history = History()
    history.add(100.0, 2.0, {"hits": 1, "misses": 3}, {})
    history.add(105.0, 2.0, {}, {})
    assert history.columns()["hit_ratio"] == [25.0, None]


def test_hour_and_day_are_bounded():
    history = History()
    for second in range(0, 100_000, 5):
        history.add(float(second), 5.0, {}, {})
    assert len(history.columns("hour")["time"]) == 720
    assert len(history.columns("day")["time"]) == 1440


def test_all_columns_have_the_same_length():
    history = History()
    history.add(1.0, 1.0, {}, {})
    assert {len(column) for column in history.columns().values()} == {1}
    assert set(history.columns()) == {"time", "hit_ratio", *SERIES}


def test_an_unknown_span_is_an_error():
    with pytest.raises(KeyError):
        History().columns("week")
