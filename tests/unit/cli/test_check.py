"""`orthanc-proxy check`: what it prints, and its exit status."""

import re
from pathlib import Path

import pytest

from tests.unit.cli.calling import run
from tests.unit.cli.conftest import BACKEND


def test_it_names_files_and_pipelines_and_makes_nothing(config: Path) -> None:
    told = run("check", "--config", str(config))
    assert told.exit_code == 0
    assert told.stdout.splitlines() == [
        f"configuration is valid: {config}",
        "  HARMONY_SCP: echo, find, get, move by [backends.orthanc]",
    ]
    assert list(config.parent.iterdir()) == [config]


def test_it_prints_all_complaints_and_exits_2(config: Path) -> None:
    config.write_text(f"[listener]\nbind_prt = 1\nmax_pdu = -1\n{BACKEND}", encoding="utf-8")
    told = run("check", "--config", str(config), "--set", "cache.enabld=true")
    assert told.exit_code == 2
    assert told.stdout == ""
    assert told.stderr.splitlines() == [
        f"{config}:2: listener.bind_prt: unknown key (did you mean bind_port?)",
        f"{config}:3: listener.max_pdu: should be greater than or equal to 0, not -1",
        "--set cache.enabld: unknown key (did you mean cache.enabled?)",
    ]


def test_it_looks_at_folders_and_certificates_before_anything_is_opened(config: Path) -> None:
    rubbish = config.parent / "rubbish.pem"
    rubbish.write_text("rubbish")
    told = run(
        *("check", "--config", str(config), "--set", f"storage.path={rubbish}/below"),
        *("--set", f"listener.tls.certificate={rubbish}", "--set", "listener.tls.client_certificate=none"),
        *("--set", f'destinations={{"a": {{"aet": "A", "host": "a", "tls": true, "ca": "{rubbish}"}}}}'),
    )
    assert told.exit_code == 2
    places = [line.split(":")[0] for line in told.stderr.splitlines()]
    assert places == ["storage.path", "listener.tls.certificate", "destinations.a.ca"]


def test_live_says_who_does_not_answer_and_what_helps(config: Path, peer: str) -> None:
    port = peer.split(":")[1]
    told = run(
        *("check", "--live", "--config", str(config), "--set", "destinations.stranger.aet=PEER"),
        *("--set", "destinations.stranger.host=127.0.0.1", "--set", f"destinations.stranger.port={port}"),
        *("--set", "destinations.friend.aet=PEER", "--set", "destinations.friend.calling_aet=FRIEND"),
        *("--set", "destinations.friend.host=127.0.0.1", "--set", f"destinations.friend.port={port}"),
    )
    assert told.exit_code == 1
    assert re.search(r"backends\.orthanc +http://127\.0\.0\.1:1 +FAILED +\S.*Start Orthanc", told.stdout)
    assert re.search(r"destinations\.stranger +PEER@127\.0\.0\.1:\d+ +FAILED +association rejected", told.stdout)
    assert re.search(r"destinations\.friend +PEER@127\.0\.0\.1:\d+ +ok +C-ECHO in \d+ ms", told.stdout)


def test_the_file_is_that_of_the_option_then_of_the_variable_then_the_first_that_is_there(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = run("check")
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.startswith("no configuration: give --config FILE or $ORTHANC_PROXY_CONFIG; looked for config/")
    usual = config.parent / "config" / "config.toml"
    usual.parent.mkdir()
    usual.write_text(BACKEND)
    assert run("check").stdout.startswith("configuration is valid: config/config.toml\n")
    other = config.parent / "other.toml"
    other.write_text(BACKEND)
    monkeypatch.setenv("ORTHANC_PROXY_CONFIG", str(other))
    assert run("check").stdout.startswith(f"configuration is valid: {other}\n")
    assert run("check", "--config", str(config)).stdout.startswith(f"configuration is valid: {config}\n")


def test_the_environment_alone_is_enough(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.unlink()
    monkeypatch.setenv("ORTHANC_PROXY__BACKENDS__ORTHANC__URL", "http://127.0.0.1:1")
    assert run("check").stdout.startswith("configuration is valid: environment only\n")
