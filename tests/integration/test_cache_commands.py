"""`orthanc-proxy cache`, against a real Orthanc."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from proxy.cli import app
from proxy.demo.orthanc import Orthanc
from proxy.demo.samples import SyntheticSeries

STUDY = SyntheticSeries(name="cache commands", slices=5, rows=64, columns=64)
Command = Callable[..., Result]


@pytest.fixture
def command(one_fresh_orthanc: Orthanc, tmp_path: Path) -> Command:
    """Call it with the words behind `orthanc-proxy cache`."""
    for file in STUDY.files():
        one_fresh_orthanc.upload(file)
    config = tmp_path / "config.toml"
    config.write_text(
        f'[backends.orthanc]\nurl = "{one_fresh_orthanc.url}"\n'
        f'[storage]\npath = "{tmp_path}/storage"\n[cache]\nmin_free_bytes = 0\n'
    )
    return lambda *words: CliRunner().invoke(app, ["cache", *words, "--config", str(config)])


def test_a_study_is_warmed_once_counted_and_dropped(command: Command) -> None:
    assert "0 instances of 0 series" in command("stats").stdout
    first = command("warm", STUDY.study_instance_uid)
    assert first.exit_code == 0, first.stderr
    assert first.stdout == "5 instances: 0 were cached, 5 are now\n"
    assert "5 instances" in first.stderr, "a progress bar"
    assert command("warm", STUDY.study_instance_uid).stdout == "5 instances: 5 were cached, 0 are now\n"
    assert "5 instances of 1 series" in command("stats").stdout
    assert re.fullmatch(r"dropped 5 instances, 0\.0 MB\n", command("clear").stdout)
    assert "0 instances of 0 series" in command("stats").stdout


def test_an_unknown_study_is_told(command: Command) -> None:
    told = command("warm", "1.2.3")
    assert (told.exit_code, told.stderr) == (1, "orthanc holds no study 1.2.3\n")


def test_what_does_not_fit_is_told(command: Command) -> None:
    told = command("warm", STUDY.study_instance_uid, "--set", "cache.max_bytes=100")
    assert told.exit_code == 0
    assert "0 are now, 5 could not be" in told.stdout


def test_a_cache_that_is_off_cannot_be_warmed(command: Command) -> None:
    told = command("warm", STUDY.study_instance_uid, "--set", "cache.enabled=false")
    assert (told.exit_code, told.stderr) == (1, "the cache is switched off: cache.enabled = false\n")


def test_an_orthanc_that_is_away_is_told(command: Command) -> None:
    told = command(
        "warm", "1.2.3", "--set", "backends.orthanc.url=http://127.0.0.1:1", "--set", "backends.orthanc.retries=1"
    )
    assert told.exit_code == 1
    assert told.stderr.startswith("orthanc: ")


def test_an_unknown_backend_is_told(command: Command) -> None:
    told = command("warm", "1.2.3", "--backend", "pacs")
    assert (told.exit_code, told.stderr) == (1, "no [backends.pacs]; there is: orthanc\n")
