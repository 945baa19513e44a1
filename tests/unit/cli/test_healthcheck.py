"""`orthanc-proxy healthcheck`."""

from pathlib import Path

from tests.fakes.answers import answering
from tests.support.ports import free_port
from tests.unit.cli.calling import run


def check(config: Path, *settings: str) -> tuple[int, str]:
    """Exit status, and what was said where."""
    told = run("healthcheck", "--config", str(config), *(word for one in settings for word in ("--set", one)))
    return told.exit_code, told.stdout or told.stderr


def test_a_rejection_is_a_sign_of_life(config: Path, peer: str) -> None:
    status, words = check(config, "admin.enabled=false", f"listener.bind_port={peer.split(':')[1]}")
    assert status == 0
    assert words.startswith("healthy: association rejected")


def test_it_is_not_healthy_when_nobody_listens(config: Path) -> None:
    assert check(config, "admin.enabled=false", "listener.bind_port=1") == (
        1,
        "not healthy: connection refused: nothing listens on 127.0.0.1:1\n",
    )
    assert check(config, "admin.bind_port=1") == (
        1,
        "not healthy: the admin server does not answer: Connection refused\n",
    )


def test_it_is_not_healthy_while_it_is_not_ready_and_says_why(config: Path, peer: str) -> None:
    port = peer.split(":")[1]
    with answering({"/readyz": (503, {"reasons": ["draining"]})}) as admin:
        status, words = check(config, f"admin.bind_port={admin.port}", f"listener.bind_port={port}")
        assert (status, words) == (1, 'not healthy: /readyz says 503: {"reasons": ["draining"]}\n')
        admin.given["/readyz"] = {"ready": True}
        status, words = check(config, f"admin.bind_port={admin.port}", f"listener.bind_port={port}")
    assert status == 0
    assert words.startswith("healthy: ready, ")


def test_a_port_that_is_not_known_is_not_called(config: Path) -> None:
    with answering({"/readyz": {"ready": True}}) as admin:
        told = check(config, f"admin.bind_port={admin.port}", "listener.bind_port=0")
    assert told == (0, "healthy: ready, no C-ECHO: the plain DICOM port is not known\n")
    assert check(config, f"admin.bind_port={free_port()}", "listener.bind_port=0")[0] == 1
