"""Everything is looked at, in the order in which one would look."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from proxy import __version__
from proxy.config import Settings
from proxy.doctor.examination import Examination, look
from proxy.doctor.finding import State
from proxy.echo import Address
from tests.fakes.answers import Answers, answering
from tests.support.ports import free_port
from tests.unit.doctor.making import settings

ABOUT = {"id": "here", "version": __version__, "dicom_address": "127.0.0.1:104, 127.0.0.1:2762"}


@pytest.fixture
def running() -> Iterator[Answers]:
    """An orthanc-proxy that is ready, as its admin server tells it."""
    with answering({"/api/v1/about": ABOUT, "/readyz": {"ready": True, "reasons": []}}) as server:
        yield server


def with_admin(port: int, **tables: object) -> Settings:
    return settings(admin={"bind_port": port}, **tables)


def test_one_that_runs_and_is_ready_is_well_and_tells_what_it_serves(running: Answers) -> None:
    state = look(with_admin(running.port, listener={"bind_address": "127.0.0.1", "bind_port": 104}))
    (finding,) = state.findings
    assert (finding.state, finding.says) == (State.OK, f"version {__version__} runs and is ready")
    assert state.served.ports == {104, 2762, running.port}
    assert state.targets == {"one": Address("ONE", "127.0.0.1", 104)}


def test_one_that_is_not_ready_tells_why_and_what_helps(running: Answers) -> None:
    reasons = [{"code": "x", "words": "Orthanc is away", "advice": "Start it."}, {"code": "y", "words": "full"}]
    running.given["/readyz"] = (503, {"ready": False, "reasons": reasons})
    away, full = look(with_admin(running.port)).findings
    assert (away.state, away.says, away.remedy) == (State.FAILED, "not ready: Orthanc is away", "Start it.")
    assert full.failed


def test_another_version_than_the_installed_one_is_told(running: Answers) -> None:
    running.given["/api/v1/about"] = {**ABOUT, "version": "0.0.1"}
    old, _ = look(with_admin(running.port)).findings
    assert (old.state, old.remedy) == (State.WARNING, "Restart it.")
    assert "0.0.1" in old.says


@pytest.mark.parametrize("about", [{**ABOUT, "id": "elsewhere"}, b"<html>", (404, {"error": "x"}), ["list"]])
def test_something_else_at_the_admin_port_fails(about: object, running: Answers) -> None:
    running.given["/api/v1/about"] = about
    state = look(with_admin(running.port))
    assert [finding.state for finding in state.findings] == [State.FAILED]
    assert not state.targets


def test_one_that_does_not_run_is_a_warning_that_says_how_to_start_it() -> None:
    state = look(with_admin(free_port()))
    (finding,) = state.findings
    assert finding.state is State.WARNING
    assert "orthanc-proxy serve" in finding.remedy
    assert not state.served.ports


def test_without_an_admin_server_it_is_asked_by_dicom() -> None:
    entity = AE("ONE")
    entity.add_supported_context(Verification)
    server = entity.start_server(("127.0.0.1", 0), block=False)
    port = server.server_address[1]
    made = settings(listener={"bind_address": "127.0.0.1", "bind_port": port})
    state = look(made)
    assert [finding.state for finding in state.findings] == [State.OK]
    assert state.targets == {"one": Address("ONE", "127.0.0.1", port)}
    server.shutdown()
    server.server_close()
    assert [finding.state for finding in look(made).findings] == [State.WARNING]


def test_who_cannot_be_asked_at_all_is_skipped() -> None:
    (finding,) = look(settings(listener={"bind_port": 0})).findings
    assert finding.state is State.SKIPPED


def test_all_is_looked_at_in_order_and_the_disk_as_the_user_of_the_service(tmp_path: Path) -> None:
    acted: list[Path] = []

    @contextlib.contextmanager
    def as_owner_of(folder: Path) -> Iterator[None]:
        acted.append(folder)
        yield

    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    made = settings(
        storage={"path": str(tmp_path)},
        listener={"bind_address": "0.0.0.0", "bind_port": free_port()},
        destinations={"WS": {"aet": "WS", "host": "127.0.0.1", "port": 1, "tls": True, "ca": str(rubbish)}},
    )
    told = [finding.what for finding in Examination(made, as_owner_of, "DOCTOR").findings()]
    assert told == [
        "destinations.WS.ca",
        "access",
        "storage.path",
        "cache",
        "orthanc-proxy",
        "listener.bind_port",
        "backends.orthanc",
        "destinations.WS",
        "sample of orthanc",
    ]
    assert acted == [tmp_path]
