"""Whatever is said to be wrong has a remedy of its own."""

import pytest

from proxy.doctor import remedies
from proxy.echo import Address, _rejection

WHERE = "[destinations.WS]"
GENERAL = remedies.for_destination(WHERE, "something that nobody foresaw")


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("connection refused: nothing listens on 10.0.0.1:104", "Start it"),
        ("no answer from 10.0.0.1:104 within 5 s: wrong address, or a firewall", "firewall"),
        ("unknown host 'ws': Name or service not known", "name service"),
        ("it answers, but does not do Verification (C-ECHO)", "C-MOVE"),
        ("its certificate was not accepted: self-signed certificate", "certificate that it shows"),
        ("10.0.0.1:104 broke off the TLS handshake: does it speak TLS?", "what it speaks"),
        ("C-ECHO was answered with status 0110", "its log"),
    ],
)
def test_a_destination_that_does_not_answer(words: str, remedy: str) -> None:
    told = remedies.for_destination(WHERE, words)
    assert remedy in told
    assert "{}" not in told


@pytest.mark.parametrize(("source", "reason"), [(1, 3), (1, 7), (3, 1), (3, 2)])
def test_a_rejection_has_a_remedy_of_its_own(source: int, reason: int) -> None:
    told = remedies.for_destination(WHERE, _rejection(Address("WS", "ws", 104), 1, source, reason))
    assert told != GENERAL


def test_a_backend_has_one_in_any_case() -> None:
    assert "password" in remedies.for_backend("main", "Orthanc refuses our credentials (HTTP 401)")
    assert "[backends.main]" in remedies.for_backend("main", "something that nobody foresaw")


@pytest.mark.parametrize(
    ("complaint", "remedy"),
    [
        ("storage.path: /x is not a folder", "Set storage.path to a folder."),
        ("storage.path: /x is on a file system that is mounted read-only", "Mount it"),
        ("logging.log_file_path: user 7 may not write to /x, which belongs to user 0", "chown"),
    ],
)
def test_a_folder_that_cannot_be_used(complaint: str, remedy: str) -> None:
    assert remedy in remedies.for_folder(complaint)


def test_a_status_of_ours() -> None:
    assert "Orthanc" in remedies.for_status("C-FIND", 0xA700)
    assert remedies.for_status("C-FIND", 0x0000) == ""
