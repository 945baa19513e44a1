"""Dates, times and ranges of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dicom.times import is_range, key_span, span, within

DATES = st.dates().map(lambda date: date.strftime("%Y%m%d").rjust(8, "0"))
TIMES = st.times().map(lambda time: time.strftime("%H%M%S.%f"))


@pytest.mark.parametrize(
    ("stored", "key", "vr", "fits"),
    [
        ("20240229", "20240229", "DA", True),
        ("20240229", "20240101-20241231", "DA", True),
        ("20240229", "20240229-20240229", "DA", True),
        ("20240229", "-20240228", "DA", False),
        ("20240229", "20240301-", "DA", False),
        ("1994.12.31", "19940101-19941231", "DA", True),
        ("", "-20240229", "DA", False),
        ("", "19000101-", "DA", False),
        ("not a date", "19000101-", "DA", False),
        ("20240229 ", "20240229", "DA", True),
        ("115016", "1150", "TM", True),
        ("115016", "11", "TM", True),
        ("115016", "1151", "TM", False),
        ("11:50:16", "115016", "TM", True),
        ("101559.999999", "101559", "TM", True),
        ("101500", "1015-1015", "TM", True),
        ("101559.9", "-1015", "TM", True),
        ("101600", "-1015", "TM", False),
        ("", "-1015", "TM", False),
        ("235959.999999", "2359-", "TM", True),
        ("20240101101500.5", "20240101", "DT", True),
        ("20240101101500", "20240101-20240102", "DT", True),
        ("20240101101500", "2024010111-", "DT", False),
        ("20240101101500", "20240101101500-0500", "DT", True),
        ("20240103", "-20240102", "DT", False),
    ],
)
def test_a_value_lies_in_what_the_key_covers_or_not(stored, key, vr, fits):
    assert within(stored, key, vr) is fits


def test_a_key_that_is_no_date_is_compared_as_text():
    assert within("someday", "someday", "DA")
    assert not within("20240101", "someday", "DA")


@given(DATES, DATES, DATES)
def test_ranges_of_dates_include_their_ends(first, last, other):
    key = f"{first}-{last}"
    assert within(other, key, "DA") is (first <= other <= last)
    assert within(other, f"{first}-", "DA") is (first <= other)
    assert within(other, f"-{last}", "DA") is (other <= last)


@given(TIMES, st.sampled_from([2, 4, 6]))
def test_a_time_lies_in_each_shorter_writing_of_it(time, length):
    assert within(time, time[:length], "TM")


@given(st.text(max_size=20), st.text(max_size=20), st.sampled_from(["DA", "TM", "DT"]))
def test_no_text_is_too_strange(stored, key, vr):
    assert within(stored, key, vr) in (True, False)
    assert is_range(key, vr) in (True, False)
    for covered in (span(key, vr), key_span(key, vr)):
        assert covered is None or len(covered) == 2
