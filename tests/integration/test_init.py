"""A drop-in, made from a real Orthanc: what is written serves, and lets in whom Orthanc lets in."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from proxy.cli import app
from proxy.demo.orthanc import Orthanc
from tests.integration.conftest import StartOrthanc
from tests.support.child import Child
from tests.support.dcmtk import Dcmtk
from tests.support.guarded import NAME, PASSWORD, guarded
from tests.support.instances import instance, part10
from tests.support.ports import free_port, wait_for_port
from tests.support.rest import lookup, upload
from tests.support.waiting import wait_until


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


Serve = Callable[..., None]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """`orthanc-proxy serve` as its user starts it, but for a storage and an admin port of the test's own."""
    children: list[Child] = []

    def start(config: Path, port: int) -> None:
        environment = {
            "ORTHANC_PROXY__STORAGE__PATH": str(tmp_path / "storage"),
            "ORTHANC_PROXY__ADMIN__BIND_PORT": "0",
            "ORTHANC_PROXY__PROXY__WORKERS": "1",
            "ORTHANC_PROXY__SPOOL__MIN_FREE_BYTES": "0",
        }
        command = [sys.executable, "-m", "proxy", "serve", "--config", str(config)]
        children.append(Child("proxy", command, tmp_path, environment=environment, cwd=Path(__file__).parents[2]))
        wait_for_port(port)

    yield start
    for child in children:
        assert child.stop() == 0, child.output()


def station(port: int, title: str, folder: Path, called: str = "ORTHANC") -> Dcmtk:
    return Dcmtk(port, called, folder, calling_aet=title)


def statuses(ws: Dcmtk) -> tuple[int, int]:
    """Of C-ECHO and C-FIND."""
    return ws.echo().final.status, ws.find("0008,0052=STUDY", "0020,000D").final.status


def test_what_is_written_from_an_orthanc_is_valid(orthanc: Orthanc, tmp_path: Path) -> None:
    told = run("init", "--from-orthanc", orthanc.url, "--directory", str(tmp_path))
    assert told.exit_code == 0, told.output
    version = orthanc.get("/system")["Version"]
    assert f"written for Orthanc {version} at {orthanc.url}" in told.stdout
    told = run("check", "--live", "--config", str(tmp_path / "config.toml"))
    assert told.exit_code == 0, told.output
    assert f"Orthanc {version}" in told.stdout


def test_to_take_over_is_to_stand_where_orthanc_stood(
    start_orthanc: StartOrthanc, serve: Serve, tmp_path: Path
) -> None:
    """Orthanc moves to another DICOM port; whoever called it finds everything as it was."""
    orthanc = start_orthanc(DicomAlwaysAllowFind=False, DicomAlwaysAllowGet=False)
    orthanc.put("/modalities/ws", ["WS1", "127.0.0.1", 104])
    upload(orthanc, image := instance())
    port = orthanc.dicom_port
    before = statuses(station(port, "WS1", tmp_path))
    config = tmp_path / "config"
    told = run("init", "--from-orthanc", orthanc.url, "--directory", str(config), "--take-over")
    assert told.exit_code == 0, told.output
    assert f'Set "DicomPort": {port + 1}' in told.stdout

    orthanc.stop()
    orthanc.dicom_port = free_port()  # what that port is, is Orthanc's own affair from now on
    orthanc.start()
    orthanc.put("/modalities/ws", ["WS1", "127.0.0.1", 104])
    serve(config / "config.toml", port)

    wait_until(lambda: statuses(station(port, "WS1", tmp_path)) == before)  # once Orthanc's table has been read
    assert before == (0x0000, 0x0000)
    assert statuses(station(port, "STRANGER", tmp_path))[1] == 0x0124, "Orthanc aborts; we say it"
    assert station(port, "WS1", tmp_path, called="ANY-SCP").echo().final.status == 0x0000, "as Orthanc, any title"
    (found,) = station(port, "WS1", tmp_path).find("0008,0052=STUDY", "0020,000D").datasets
    assert found.StudyInstanceUID == image.StudyInstanceUID
    (tmp_path / "new.dcm").write_bytes(part10(new := instance()))
    assert station(port, "STRANGER", tmp_path).store(tmp_path / "new.dcm").final.status == 0x0000
    wait_until(lambda: bool(lookup(orthanc, "Instance", SOPInstanceUID=str(new.SOPInstanceUID))))


def test_an_orthanc_that_wants_a_password_is_asked_with_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{PASSWORD}\n")
    with guarded(tmp_path / "orthanc") as orthanc:
        without = run("init", "--from-orthanc", orthanc.url, "--directory", str(tmp_path / "a"))
        assert without.exit_code == 1
        assert "refuses our credentials" in without.stderr
        options = ("--user", NAME, "--password-file", str(tmp_path / "secret"))
        told = run("init", "--from-orthanc", orthanc.url, "--directory", str(tmp_path / "b"), *options)
        assert told.exit_code == 0, told.output
        assert run("check", "--live", "--config", str(tmp_path / "b" / "config.toml")).exit_code == 0
