import pytest

from proxy.dicom.words import ASSOCIATION_GONE, failed, rejection_words, status_code, status_words


@pytest.mark.parametrize(
    ("status", "command", "words"),
    [
        (0x0000, "C-FIND", "Success"),
        (0xFE00, "C-MOVE", "Cancelled"),
        (0xB000, "C-STORE", "Elements coerced"),
        (0xB000, "C-GET", "Some sub-operations failed or warned"),
        (0xA700, "C-FIND", "Out of resources"),
        (0xA7FF, "C-STORE", "Out of resources"),
        (0xC123, "C-STORE", "Unable to process"),
        (0x4242, "", "Failure"),
        (ASSOCIATION_GONE, "", "Association ended before the answer"),
    ],
)
def test_every_status_has_words(status, command, words):
    assert status_words(status, command) == words


def test_a_status_is_written_in_hexadecimal():
    assert (status_code(0xA701), status_code(ASSOCIATION_GONE)) == ("0xA701", "-")


@pytest.mark.parametrize("status", [0x0000, 0xFE00, 0xFF00, 0xB000, 0xB006, 0xB007])
def test_warnings_and_cancels_are_no_failures(status):
    assert not failed(status)


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0x0110, 0x0124, 0xC000, ASSOCIATION_GONE])
def test_failures_are_failures(status):
    assert failed(status)


def test_rejections_have_words():
    assert rejection_words(1, 1, 7) == "called AE title not recognized"
    assert rejection_words(2, 3, 1) == "temporary congestion"
    assert rejection_words(0, 0, 0) == "connection turned away"
    assert rejection_words(1, 9, 9) == "reserved reason"
