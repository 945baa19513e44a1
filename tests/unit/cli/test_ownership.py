"""What root does beside the service leaves nothing that the service could not use."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from proxy.cli import app
from proxy.cli.ownership import as_owner_of
from proxy.spool.deadletters import DeadLetters
from proxy.spool.names import Name
from proxy.spool.spool import Spool
from tests.fakes.received import SERIES, STUDY, open_spool, service, store

SERVICE = 65534
NAME = Name(STUDY, SERIES, "1.2.3")
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else"),
]


@pytest.fixture
def storage() -> Iterator[Path]:
    """A storage folder of the service's; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="orthanc-proxy-test-"))
    folder.chmod(0o755)
    storage = folder / "storage"
    storage.mkdir()
    os.chown(storage, SERVICE, SERVICE)
    yield storage
    shutil.rmtree(folder)


def as_service(do: Callable[[], object]) -> None:
    """Do it in a process of the service's user. Raises AssertionError where that fails."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgid(SERVICE)
            os.setuid(SERVICE)
            do()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def bury(storage: Path) -> None:
    spool = open_spool(storage)
    store(service(spool), NAME.sop_instance_uid)
    DeadLetters(spool).bury(NAME, spool.envelope(NAME), "orthanc", "no", 1, last=True)
    (spool.root / NAME.folder).rmdir()
    (spool.root / STUDY).rmdir()


def only_waiting(storage: Path) -> None:
    spool = open_spool(storage)
    spool.settle()
    assert [name for name in spool.names() if spool.envelope(name)] == [NAME]
    spool.remove(NAME, 0)


def test_what_root_retries_the_service_can_forward(storage: Path) -> None:
    as_service(lambda: bury(storage))
    config = storage.parent / "config.toml"
    config.write_text(f'[backends.orthanc]\nurl = "http://orthanc.example"\n[storage]\npath = "{storage}"\n')
    told = CliRunner().invoke(app, ["spool", "retry", "--all", "--config", str(config)])
    assert told.stdout == "1 back in the queue\n", told.output
    assert os.geteuid() == 0
    assert {path.stat().st_uid for path in storage.rglob("*")} == {SERVICE}
    as_service(lambda: only_waiting(storage))


def test_a_spool_that_root_has_open_can_be_opened_by_the_service(storage: Path) -> None:
    def opened() -> None:
        spool = open_spool(storage)
        assert spool.sweep() == 0
        spool.close()

    as_service(lambda: open_spool(storage).close())
    held: list[Spool] = [open_spool(storage) for _ in range(2)]  # as `spool export` does
    as_service(opened)
    held[0].close()
    as_service(opened)
    held[1].close()


def test_nobody_else_becomes_anybody(tmp_path: Path) -> None:
    with as_owner_of(tmp_path / "not" / "there"):
        assert (os.geteuid(), os.getegid()) == (0, 0)
