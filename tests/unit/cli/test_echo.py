"""`orthanc-proxy echo`."""

import re

from tests.unit.cli.calling import run


def test_it_succeeds(peer: str) -> None:
    told = run("echo", peer, "-aet", "FRIEND")
    assert told.exit_code == 0
    assert re.fullmatch(rf"{peer}: C-ECHO 0000 \(success\) in \d+ ms\n", told.stdout)


def test_it_says_why_it_was_rejected(peer: str) -> None:
    told = run("echo", peer)
    assert told.exit_code == 1
    assert (
        told.stderr
        == f"{peer}: association rejected (permanent): it does not know our AE title (-aet); list it there\n"
    )


def test_another_called_title_than_that_of_the_address_can_be_given(peer: str) -> None:
    told = run("echo", f"X@{peer.partition('@')[2]}", "-aet", "FRIEND", "-aec", "PEER")
    assert told.stdout.startswith(f"{peer}: C-ECHO 0000")


def test_what_is_no_address_is_refused() -> None:
    told = run("echo", "127.0.0.1:104")
    assert told.exit_code == 2
    assert told.stderr == "'127.0.0.1:104' is not AE@host:port, as HARMONY_SCP@127.0.0.1:11112\n"


def test_a_certificate_that_cannot_be_read_is_refused(peer: str) -> None:
    told = run("echo", peer, "--ca", "/nonexistent/ca.pem")
    assert told.exit_code == 2
    assert "/nonexistent/ca.pem" in told.stderr
    assert "Traceback" not in told.stderr
