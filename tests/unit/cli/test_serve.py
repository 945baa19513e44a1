"""`orthanc-proxy serve`: what it refuses before anything is opened; the rest is in tests/integration."""

from pathlib import Path
from typing import Any

import pytest

import proxy.supervisor
from proxy.errors import ConfigError
from tests.unit.cli.calling import run


def test_a_folder_that_cannot_be_written_to_is_refused(config: Path) -> None:
    told = run("serve", "--config", str(config), "--set", f"storage.path={config}/below")
    assert told.exit_code == 2
    assert told.stderr == f"storage.path: {config} is not a folder\n"


def test_a_set_without_a_value_is_refused(config: Path) -> None:
    told = run("serve", "--config", str(config), "--set", "listener.bind_port")
    assert (told.exit_code, told.stderr) == (2, "--set listener.bind_port: must be TABLE.KEY=VALUE\n")


def test_its_exit_status_is_the_supervisors_and_it_can_read_the_configuration_again(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def supervise(load: Any, settings: Any, **more: Any) -> int:
        given.update(more, first=settings.listener.bind_port, again=load().listener.bind_port)
        return 7

    monkeypatch.setattr(proxy.supervisor, "run", supervise)
    ready = config.parent / "ready.json"
    told = run("serve", "--config", str(config), "--set", "listener.bind_port=4242", "--ready-file", str(ready))
    assert told.exit_code == 7
    assert (given["first"], given["again"]) == (4242, 4242), "--set counts after a reload, too"
    assert (given["ready_file"], given["config_files"]) == (ready, (config,))


def test_what_shows_only_at_start_is_told_as_every_complaint_is(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def supervise(*_: Any, **__: Any) -> int:
        raise ConfigError(["listener.bind_port: port 104 is in use", "admin.bind_port: so is 9090"])

    monkeypatch.setattr(proxy.supervisor, "run", supervise)
    told = run("serve", "--config", str(config))
    assert (told.exit_code, told.stderr.splitlines()[1]) == (2, "admin.bind_port: so is 9090")
