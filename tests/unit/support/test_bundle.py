"""What goes to somebody else: all that helps, no secret, nothing of a patient."""

import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from proxy.admin.api import ENDPOINTS
from proxy.config.file import Configuration, read
from proxy.errors import ConfigError
from proxy.spool.deadletters import DeadLetters
from proxy.spool.names import Name
from proxy.support.bundle import Piece, contents, of_no_use, pieces, write
from tests.fakes.answers import Answers, answering
from tests.fakes.received import SERIES, STUDY, open_spool, service, store

PATIENT, SECRET = "Doe^Jane", "geheim"
UIDS = ("2.25.4711.1", "2.25.4711.2")
LOG = f"""2026-01-05T10:15:00.1Z info    association released
2026-01-05T10:15:00.2Z debug   identifier of {PATIENT}
"""


@pytest.fixture
def admin() -> Iterator[Answers]:
    paths = {f"/api/v1{one.path}": {"said": one.path} for one in ENDPOINTS}
    with answering({**paths, "/metrics": b"orthanc_proxy_up 1\n", "/system": {"Version": "1.12.7"}}) as server:
        yield server


@pytest.fixture
def loaded(tmp_path: Path, admin: Answers) -> Configuration:
    """A configuration with every kind of secret, a log, a cache, and a spool with a dead letter."""
    storage = tmp_path / "storage"
    spool = open_spool(storage)
    for uid in UIDS:
        store(service(spool), uid)  # each of the patient
    name = Name(STUDY, SERIES, UIDS[1])
    DeadLetters(spool).bury(name, spool.envelope(name), "orthanc", "bad file format", 1, last=True)
    (storage / "cache" / "series").mkdir(parents=True)
    (storage / "cache" / "series" / "one.uuid").write_bytes(PATIENT.encode())
    (tmp_path / "x.log").write_text(LOG)
    config = tmp_path / "config.toml"
    config.write_text(
        f"""
[storage]
path = "{storage}"
[logging]
log_to_file = true
log_file_path = "{tmp_path}/x.log"
[admin]
bind_port = {admin.port}
tokens = {{ ci = "{SECRET}" }}
[admin.users.anna]
password_hash = "{SECRET}"
[[pipelines.one.rules]]
username = "anna"
passcode = "{SECRET}"
[backends.orthanc]
url = "http://anna:{SECRET}@127.0.0.1:{admin.port}"
[backends.other]
url = "http://127.0.0.1:1"
password = "{SECRET}"
retries = 1
[pipelines.one]
aet = "ONE"
backend = "orthanc"
"""
    )
    return read(config, {})


def by_name(loaded: Configuration) -> dict[str, Piece]:
    return {piece.name: piece for piece in pieces(loaded)}


def test_all_that_helps_is_there(loaded: Configuration) -> None:
    found = by_name(loaded)
    assert "orthanc-proxy" in orjson.loads(found["versions.json"].content)
    assert b'aet = "ONE"' in found["configuration.toml"].content
    assert orjson.loads(found["orthanc/orthanc.json"].content) == {"Version": "1.12.7"}
    assert found["metrics.txt"].content == b"orthanc_proxy_up 1\n"
    assert b"association released" in found["log.txt"].content
    spool, cache = (orjson.loads(found[name].content) for name in ("spool.json", "cache.json"))
    assert (spool["waiting"], spool["dead"], spool["dead_letters"][0]["why"]) == (1, 1, "bad file format")
    assert (cache["instances"], cache["size"]) == (1, len(PATIENT))
    assert orjson.loads(found["api/status.json"].content) == {"said": "/status"}
    assert {f"api{one.path}.json" for one in ENDPOINTS if one.method == "GET" and "{" not in one.path} <= found.keys()


def test_no_secret_and_nothing_of_a_patient_is_in_it(loaded: Configuration) -> None:
    everything = b"".join(piece.content + piece.about.encode() for piece in pieces(loaded))
    assert SECRET.encode() not in everything
    assert PATIENT.encode() not in everything
    assert not any(uid.encode() in everything for uid in (*UIDS, STUDY, SERIES))


def test_what_only_an_admin_may_see_is_not_asked_for(loaded: Configuration, admin: Answers) -> None:
    list(pieces(loaded))
    assert not any("patient" in path for path, _ in admin.asked)


def test_what_cannot_be_had_is_told_and_left_empty(loaded: Configuration, admin: Answers, tmp_path: Path) -> None:
    admin.given["/api/v1/status"] = (401, {})
    (tmp_path / "x.log").unlink()
    found = by_name(loaded)
    assert (found["orthanc/other.json"].content, found["orthanc/other.json"].about) == (
        b"",
        "Orthanc refuses connections",
    )
    assert (found["api/status.json"].content, found["api/status.json"].about) == (b"", "/api/v1/status says 401")
    assert found["log.txt"].content == b""
    assert "No such file" in found["log.txt"].about


def test_a_program_that_does_not_run_is_told_once(loaded: Configuration) -> None:
    off = loaded.settings.model_copy(update={"admin": loaded.settings.admin.model_copy(update={"bind_port": 1})})
    found = by_name(Configuration(off, loaded.files, loaded.origins))
    assert "metrics.txt" not in found
    assert "does not answer" in found["api"].about


def test_without_a_log_file_it_says_where_the_log_is(loaded: Configuration) -> None:
    logging = loaded.settings.logging.model_copy(update={"log_to_file": False})
    settings = loaded.settings.model_copy(update={"logging": logging})
    assert "journalctl" in by_name(Configuration(settings))["log.txt"].about


def test_a_configuration_of_no_use_is_told_without_its_secrets(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[backends.orthanc]\nurl = "orthanc"\npasswrd = "{SECRET}"\n')
    with pytest.raises(ConfigError) as refused:
        read(config, {})
    found = list(of_no_use(refused.value))
    assert [piece.name for piece in found] == ["versions.json", "configuration.txt"]
    assert b"did you mean password?" in found[1].content
    assert SECRET.encode() not in found[1].content


def test_the_archive_holds_every_piece_for_its_owners_eyes_only(tmp_path: Path) -> None:
    target = tmp_path / "x.tar.gz"
    target.write_bytes(b"an older one")
    target.chmod(0o644)
    size = write([Piece("a.txt", b"one", "a"), Piece("b/c.json", b"{}", "c")], target)
    assert size == target.stat().st_size
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with tarfile.open(target) as archive:
        members = {member.name.partition("/")[2]: member for member in archive.getmembers()}
        assert members.keys() == {"a.txt", "b/c.json"}
        assert archive.extractfile(members["a.txt"]).read() == b"one"  # type: ignore[union-attr]
        (folder,) = {member.name.partition("/")[0] for member in archive.getmembers()}
    assert folder.startswith("orthanc-proxy-support-")


def test_the_list_names_every_piece_with_its_size_and_what_it_is() -> None:
    listed = contents([Piece("a.txt", b"one", "what it is"), Piece("b.txt", b"", "why not")]).content.decode()
    first, second = listed.splitlines()
    assert first.split(maxsplit=2) == ["a.txt", "3", "what it is"]
    assert second.split(maxsplit=2) == ["b.txt", "0", "why not"]
