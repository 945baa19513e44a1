"""Counts of sub-operations are true at any time, and the final status follows from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dicom.contexts import EXPLICIT_LITTLE
from proxy.dicom.messages import Counts
from proxy.dicom.status import Status
from proxy.dicom.suboperations import SubOperations

OK, WARNING, FAILURE = 0x0000, 0xB007, 0xA700


def counted(*statuses: int, total: int | None = None) -> SubOperations:
    counts = SubOperations(len(statuses) if total is None else total)
    for number, status in enumerate(statuses):
        counts.record(f"1.2.{number}", status)
    return counts


@pytest.mark.parametrize(
    ("statuses", "final"),
    [
        ([], 0x0000),
        ([OK, OK], 0x0000),
        ([OK, WARNING], 0xB000),
        ([WARNING, WARNING], 0xB000),
        ([OK, FAILURE], 0xB000),
        ([WARNING, FAILURE], 0xB000),
        ([FAILURE, FAILURE], 0xA702),
    ],
)
def test_the_final_status_follows_from_the_outcome(statuses, final):
    assert counted(*statuses).final_status() == final


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        (0x0000, Counts(0, 1, 0, 0)),
        (0x0111, Counts(0, 1, 0, 0)),
        (0xB000, Counts(0, 0, 0, 1)),
        (0xB006, Counts(0, 0, 0, 1)),
        (0xB123, Counts(0, 0, 0, 1)),
        (0x0107, Counts(0, 0, 0, 1)),
        (0xA700, Counts(0, 0, 1, 0)),
        (0xC000, Counts(0, 0, 1, 0)),
        (0x0124, Counts(0, 0, 1, 0)),
    ],
)
def test_each_answer_of_a_receiver_is_counted_as_what_it_is(status, counts):
    assert counted(status).pending().counts == counts


@given(st.lists(st.sampled_from([OK, WARNING, FAILURE, 0x0111, 0xC000])), st.integers(0, 5))
def test_the_counts_always_add_up(statuses, still_to_come):
    counts = counted(*statuses, total=len(statuses) + still_to_come)
    told = counts.response(Status.PENDING).counts
    assert told.remaining == still_to_come
    assert told.completed + told.failed + told.warning == len(statuses)
    assert len(counts.failed_uids) == told.failed


@given(st.integers(0, 1000), st.lists(st.integers(-5, 120)))
def test_progress_told_by_others_never_goes_back_nor_beyond_the_end(total, percentages):
    counts = SubOperations(total)
    for percentage in percentages:
        before = counts.completed
        assert counts.advance(percentage) is (counts.completed > before)
        assert before <= counts.completed <= total
        assert counts.completed + counts.remaining == total


def test_only_a_cancelled_final_response_tells_what_remains():
    counts = counted(OK, FAILURE, total=5)
    assert counts.response(Status.CANCEL).counts == Counts(3, 1, 1, 0)
    assert counts.response(Status.SUBOPERATIONS_WARNING).counts == Counts(None, 1, 1, 0)


def test_a_final_response_lists_what_failed_and_says_why_first():
    counts = SubOperations(3)
    counts.record("1.2.1", OK)
    counts.record("1.2.2", FAILURE, "Orthanc is away")
    counts.record("1.2.3", FAILURE)
    final = counts.response(counts.final_status())
    assert final.comment == "Orthanc is away"
    assert b"1.2.2\\1.2.3" in final.identifier.encode(EXPLICIT_LITTLE)
    assert counted(FAILURE).comment == "the receiver answered A700"


def test_a_success_has_neither_identifier_nor_comment():
    final = counted(OK).response(Status.SUCCESS)
    assert (final.identifier, final.comment) == (None, "")


def test_a_pending_has_no_identifier():
    assert counted(FAILURE, total=2).response(Status.PENDING).identifier is None


def test_the_failed_list_stays_within_what_an_element_can_hold():
    counts = SubOperations(5000)
    for number in range(5000):
        counts.record(f"1.2.{'3' * 50}.{number}", FAILURE)
    final = counts.response(Status.UNABLE_TO_PERFORM)
    assert final.counts.failed == 5000
    assert sum(len(uid) + 1 for uid in counts.failed_uids) <= 0xFFFE
    assert len(final.identifier.encode(EXPLICIT_LITTLE)) < 0x10000 + 8


def test_repr_tells_the_counts():
    assert repr(counted(OK, FAILURE, total=3)) == "<SubOperations 1 remaining, 1 completed, 1 failed, 0 with warning>"
