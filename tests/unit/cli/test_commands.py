"""The commands as a user calls them: what they print, and their exit status."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification
from typer.testing import CliRunner, Result

from proxy import __version__
from proxy.admin.passwords import verify_password
from proxy.cli import app
from proxy.config.reference import markdown

BACKEND = '[backends.orthanc]\nurl = "http://127.0.0.1:8042"\n'


def run(*arguments: str, **options: str) -> Result:
    return CliRunner().invoke(app, list(arguments), **options)  # type: ignore[arg-type]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound configuration file; the working directory is its folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.toml"
    path.write_text(BACKEND, encoding="utf-8")
    return path


@pytest.fixture
def peer() -> Iterator[str]:
    """The address of a node that answers C-ECHO and knows nobody but FRIEND."""
    entity = AE("PEER")
    entity.require_calling_aet = ["FRIEND"]
    entity.add_supported_context(Verification)
    server = entity.start_server(("127.0.0.1", 0), block=False)
    yield f"PEER@127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def test_every_command_has_a_help() -> None:
    told = run("--help")
    assert told.exit_code == 0
    for command in app.registered_commands:
        assert command.callback is not None
        assert command.callback.__doc__, command.name
        assert str(command.name) in told.stdout
        assert run(str(command.name), "--help").exit_code == 0


def test_version_names_the_version() -> None:
    assert run("version").stdout.startswith(f"orthanc-proxy {__version__} (pynetdicom ")


def test_check_names_files_and_pipelines_and_makes_nothing(config: Path) -> None:
    told = run("check", "--config", str(config))
    assert told.exit_code == 0
    assert told.stdout.splitlines() == [
        f"configuration is valid: {config}",
        "  HARMONY_SCP: echo, find, get, move by [backends.orthanc]",
    ]
    assert list(config.parent.iterdir()) == [config]


def test_check_prints_all_complaints_and_exits_2(config: Path) -> None:
    config.write_text(f"[listener]\nbind_prt = 1\nmax_pdu = -1\n{BACKEND}", encoding="utf-8")
    told = run("check", "--config", str(config), "--set", "cache.enabld=true")
    assert told.exit_code == 2
    assert told.stdout == ""
    assert told.stderr.splitlines() == [
        f"{config}:2: listener.bind_prt: unknown key (did you mean bind_port?)",
        f"{config}:3: listener.max_pdu: should be greater than or equal to 0, not -1",
        "--set cache.enabld: unknown key (did you mean cache.enabled?)",
    ]


def test_check_looks_at_certificates_and_folders(config: Path) -> None:
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


def test_check_live_says_who_does_not_answer(config: Path, peer: str) -> None:
    port = peer.split(":")[1]
    told = run(
        *("check", "--live", "--config", str(config), "--set", "backends.orthanc.url=http://127.0.0.1:1"),
        *("--set", "backends.orthanc.retries=1", "--set", "destinations.stranger.aet=PEER"),
        *("--set", "destinations.stranger.host=127.0.0.1", "--set", f"destinations.stranger.port={port}"),
        *("--set", "destinations.friend.aet=PEER", "--set", "destinations.friend.calling_aet=FRIEND"),
        *("--set", "destinations.friend.host=127.0.0.1", "--set", f"destinations.friend.port={port}"),
    )
    assert told.exit_code == 1
    assert re.search(r"backends\.orthanc +http://127\.0\.0\.1:1 +FAILED +\S", told.stdout)
    assert re.search(r"destinations\.stranger +PEER@127\.0\.0\.1:\d+ +FAILED +association rejected", told.stdout)
    assert re.search(r"destinations\.friend +PEER@127\.0\.0\.1:\d+ +ok +C-ECHO in \d+ ms", told.stdout)


def test_echo_succeeds(peer: str) -> None:
    told = run("echo", peer, "-aet", "FRIEND")
    assert told.exit_code == 0
    assert re.fullmatch(rf"{peer}: C-ECHO 0000 \(success\) in \d+ ms\n", told.stdout)


def test_echo_says_why_it_was_rejected(peer: str) -> None:
    told = run("echo", peer)
    assert told.exit_code == 1
    assert (
        told.stderr
        == f"{peer}: association rejected (permanent): it does not know our AE title (-aet); list it there\n"
    )


def test_echo_to_no_address_is_refused() -> None:
    told = run("echo", "127.0.0.1:104")
    assert told.exit_code == 2
    assert told.stderr == "'127.0.0.1:104' is not AE@host:port, as HARMONY_SCP@127.0.0.1:11112\n"


def test_config_docs_prints_the_reference(tmp_path: Path) -> None:
    assert run("config", "docs").stdout == markdown()
    assert run("config", "docs", "--write", str(tmp_path / "x.md")).exit_code == 0
    assert (tmp_path / "x.md").read_text(encoding="utf-8") == markdown()


def test_config_show_masks_secrets_and_names_origins(config: Path) -> None:
    told = run("config", "show", "--config", str(config), "--set", "backends.orthanc.password=geheim")
    assert "geheim" not in told.stdout
    assert 'password = "********"  # --set backends.orthanc.password' in told.stdout
    assert f'url = "http://127.0.0.1:8042"  # {config}:2' in told.stdout


def test_hash_password_prints_what_the_login_accepts() -> None:
    told = run("hash-password", input="geheim\n")
    assert told.exit_code == 0
    assert verify_password("geheim", told.stdout.strip())


def test_hash_password_wants_a_password() -> None:
    assert run("hash-password", input="").exit_code == 1


def test_healthcheck_asks_by_dicom(config: Path, peer: str) -> None:
    port = peer.split(":")[1]
    arguments = ("healthcheck", "--config", str(config), "--set", "admin.enabled=false")
    told = run(*arguments, "--set", f"listener.bind_port={port}")
    assert told.exit_code == 0, "a rejection is a sign of life"
    assert told.stdout.startswith("healthy: association rejected")


def test_healthcheck_fails_when_nobody_listens(config: Path) -> None:
    told = run("healthcheck", "--config", str(config), "--set", "admin.enabled=false", "--set", "listener.bind_port=1")
    assert told.exit_code == 1
    assert told.stderr == "not healthy: connection refused: nothing listens on 127.0.0.1:1\n"
    told = run("healthcheck", "--config", str(config), "--set", "admin.bind_port=1")
    assert told.exit_code == 1
    assert told.stderr == "not healthy: the admin server does not answer: Connection refused\n"


def test_serve_refuses_a_folder_it_cannot_write_to(config: Path) -> None:
    told = run("serve", "--config", str(config), "--set", f"storage.path={config}/below")
    assert told.exit_code == 2
    assert told.stderr == f"storage.path: {config} is not a folder\n"
