"""Rights and room are looked at, and nothing is made or changed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.cli.ownership import as_owner_of
from proxy.config import Settings
from proxy.doctor import disk
from proxy.doctor.disk import disk_findings
from proxy.doctor.finding import Finding, State
from proxy.spool.deadletters import DeadLetters
from proxy.spool.names import Name
from tests.fakes.received import SERIES, STUDY, open_spool, service, store
from tests.unit.doctor.making import settings

STORING = {"one": {"aet": "ONE", "services": ["store"]}}


def found(made: Settings) -> dict[str, Finding]:
    return {finding.what: finding for finding in disk_findings(made)}


def made_for(storage: Path, **tables: object) -> Settings:
    return settings(storage={"path": str(storage)}, **tables)


def test_a_folder_that_is_not_there_yet_is_well_and_is_not_made(tmp_path: Path) -> None:
    told = found(made_for(tmp_path / "a" / "b"))
    assert list(tmp_path.iterdir()) == []
    assert told["storage.path"].state is State.OK
    assert "free" in told["storage.path"].says
    assert "spool" not in told, "nothing is received"


def test_a_folder_that_cannot_be_written_to_fails_with_a_remedy(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    finding = found(made_for(file / "below"))["storage.path"]
    assert (finding.state, finding.says) == (State.FAILED, f"{file} is not a folder")
    assert finding.remedy


def test_cache_and_spool_are_counted(tmp_path: Path) -> None:
    (tmp_path / "cache" / "series").mkdir(parents=True)
    (tmp_path / "cache" / "series" / "instance.uuid").write_bytes(bytes(3_000_000))
    store(service(open_spool(tmp_path)), "1.2.3")
    told = found(made_for(tmp_path, pipelines=STORING))
    assert told["cache"].says.startswith("1 instances, 3.0 MB of 10.7 GB")
    assert told["spool"].says.startswith("1 instances wait, ")
    assert told["spool"].state is State.OK
    assert "dead letters" not in told


def test_a_spool_is_looked_at_also_where_nothing_is_received_any_more(tmp_path: Path) -> None:
    store(service(open_spool(tmp_path)), "1.2.3")
    assert "spool" in found(made_for(tmp_path))


def test_dead_letters_are_a_warning(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    store(service(spool), "1.2.3")
    name = Name(STUDY, SERIES, "1.2.3")
    DeadLetters(spool).bury(name, spool.envelope(name), "orthanc", "no", 1, last=True)
    finding = found(made_for(tmp_path, pipelines=STORING))["dead letters"]
    assert finding.state is State.WARNING
    assert "orthanc-proxy spool list --dead" in finding.remedy


@pytest.mark.parametrize(
    ("tables", "free", "what", "state", "says"),
    [
        ({"spool": {"max_bytes": "1 MiB"}}, 1 << 40, "spool", State.FAILED, "C-STORE is refused: the spool is full"),
        ({}, 1 << 20, "spool", State.FAILED, "C-STORE is refused: the disk of the spool is nearly full"),
        ({}, 1 << 20, "cache", State.WARNING, "nothing more is cached"),
        ({"cache": {"enabled": False}}, 1 << 20, "cache", State.SKIPPED, "switched off"),
        ({"logging": {"log_to_file": True}}, 1 << 20, "log file", State.WARNING, "only 1.0 MB free"),
        ({"logging": {"log_to_file": True}}, 1 << 40, "log file", State.OK, "free"),
    ],
)
def test_too_little_room_is_told_by_whom_it_concerns(
    tables: dict[str, dict[str, object]],
    free: int,
    what: str,
    state: State,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "logging" in tables:
        tables = {"logging": {**tables["logging"], "log_file_path": str(tmp_path / "x.log")}}
    store(service(open_spool(tmp_path)), "1.2.3")
    monkeypatch.setattr(disk, "free_bytes", lambda folder: free)
    finding = found(made_for(tmp_path, pipelines=STORING, **tables))[what]
    assert (finding.state, says in finding.says) == (state, True), finding
    assert bool(finding.remedy) is (state in (State.FAILED, State.WARNING))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that others may look into; pytest's own are closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="orthanc-proxy-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")
@pytest.mark.parametrize("what", ["cache", "dimse", "commitment", "x.log"])
def test_what_root_left_in_the_folder_of_the_service_is_told(what: str, open_folder: Path) -> None:
    """As it happens when somebody starts the program once by hand."""
    storage = open_folder / "storage"
    storage.mkdir()
    os.chown(storage, 65534, 65534)
    log = {"log_to_file": True, "log_file_path": str(storage / "x.log")}
    made = made_for(storage, logging=log)
    with as_owner_of(storage):
        assert not any(finding.failed for finding in disk_findings(made))
    if what == "x.log":
        (storage / what).touch(0o644)
    else:
        (storage / what).mkdir(0o755)
    with as_owner_of(storage):
        (finding,) = (one for one in disk_findings(made) if one.failed)
    assert finding.where == str(storage / what)
    assert finding.says == "user 65534 may not write to it; it belongs to user 0"
    assert "chown -R" in finding.remedy
