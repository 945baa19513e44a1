"""All commands together."""

import pytest
from typer.main import get_command

from proxy.cli import app
from tests.unit.cli.calling import run

COMMANDS = {name: command.help for name, command in get_command(app).commands.items()}  # type: ignore[attr-defined]


def test_the_commands_are_those_that_are_documented() -> None:
    assert set(COMMANDS) == {
        "cache",
        "check",
        "config",
        "conformance",
        "demo",
        "doctor",
        "echo",
        "hash-password",
        "healthcheck",
        "init",
        "serve",
        "spool",
        "support-bundle",
        "version",
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_is_for(name: str) -> None:
    assert COMMANDS[name]
    told = run(name, "--help")
    assert told.exit_code == 0
    assert name in run("--help").stdout


def test_a_word_that_is_no_command_is_refused() -> None:
    assert run("serv").exit_code == 2
