"""One line of news holds all that the forwarder needs to know."""

import itertools

import pytest

from proxy.spool.envelope import envelope_of
from proxy.spool.names import Name
from proxy.spool.waiting import Waiting
from tests.fakes.received import SERIES, STUDY, request

WAITING = Waiting.of(Name(STUDY, SERIES, "1.2.3", 2), envelope_of("ma\u00efn\n", request("1.2.3")), 1234)


def test_what_is_encoded_is_decoded_and_fits_in_one_line() -> None:
    line = WAITING.encode()
    assert b"\n" not in line
    assert Waiting.decode(line) == WAITING


def test_news_fit_into_a_pipe_in_one_piece() -> None:
    """PIPE_BUF: what is longer could be mixed with another process's."""
    uid = "1." * 31 + "11"
    longest = Waiting(Name(uid, uid, uid, 10**9 - 1), "f" * 24, 1 << 40, "p" * 64, "A" * 16, uid, "M" * 16, 1e10)
    assert len(longest.encode()) < 4096


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b"3", b'["../../etc/passwd", "a", 1, "p", "c", "s", "m", 1]', b'["1/2/3.dcm"]', b"[null, 1]"]
    + [WAITING.encode()[:length] for length in range(0, 60, 7)],
    ids=itertools.count(),  # the lines hold the time
)
def test_what_a_crash_has_cut_is_no_news(line: bytes) -> None:
    with pytest.raises(ValueError):
        Waiting.decode(line)
