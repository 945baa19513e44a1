"""Which of our errors an HTTP answer of Orthanc becomes."""

import pytest

from proxy.errors import OrthancRefused, OrthancUnavailable
from proxy.orthanc.answers import checked


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, b'{"OrthancStatus": 9, "OrthancError": "Error in the network protocol"}', OrthancRefused),
        (500, b'{"OrthancStatus": 15, "OrthancError": "Bad file format"}', OrthancRefused),
        (500, b'{"OrthancStatus": 11, "OrthancError": "Error with the database engine"}', OrthancUnavailable),
        (500, b"<html>", OrthancUnavailable),
        (503, b"", OrthancUnavailable),
        (507, b"", OrthancUnavailable),
        (400, b'{"OrthancStatus": 8}', OrthancRefused),
        (401, b"", OrthancRefused),
    ],
)
def test_what_may_work_later_is_told_from_what_will_not(status, body, error):
    with pytest.raises(error):
        checked(status, body)
