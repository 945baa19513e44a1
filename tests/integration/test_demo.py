"""What the demo is made of, and the demo itself as `make demo` runs it."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.demo.check import SelfCheck
from proxy.demo.orthanc import Orthanc, OrthancFailed, free_port
from proxy.demo.receiver import Receiver
from proxy.demo.samples import SyntheticSeries, pydicom_files
from proxy.echo import Address

SMALL = SyntheticSeries(name="demo parts", slices=3, rows=8, columns=16)


def test_orthanc_keeps_ports_and_instances_when_it_is_started_again(tmp_path: Path) -> None:
    orthanc = Orthanc(tmp_path, modalities={"x": ("X", "127.0.0.1", 104)})
    try:
        orthanc.start()
        ports, pid = (orthanc.http_port, orthanc.dicom_port), orthanc.pid
        for file in SMALL.files():
            assert orthanc.upload(file)
        orthanc.stop()
        assert orthanc.pid is None
        orthanc.start()
        assert (orthanc.http_port, orthanc.dicom_port) == ports
        assert orthanc.pid not in (None, pid)
        assert orthanc.get("/statistics")["CountInstances"] == SMALL.slices
        assert orthanc.get("/modalities") == ["x"]
    finally:
        orthanc.kill()


def test_orthanc_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(OrthancFailed, match="ended at once"):
        Orthanc(tmp_path, options={"HttpPort": "none"}).start()


def test_what_orthanc_refuses_is_told_by_none(one_fresh_orthanc: Orthanc) -> None:
    assert one_fresh_orthanc.upload(b"no DICOM") is None
    broken = {path.name for path in pydicom_files() if one_fresh_orthanc.upload(path.read_bytes()) is None}
    assert {"MR_truncated.dcm", "rtplan_truncated.dcm"} <= broken
    assert len(broken) < 10
    with pytest.raises(OrthancFailed, match="HTTP 404"):
        one_fresh_orthanc.get("/instances/none")


@pytest.fixture
def parts(start_orthanc: Callable[..., Orthanc]):  # type: ignore[no-untyped-def]
    """An Orthanc that can be asked as if it were the proxy, and a receiver that it knows."""
    orthanc = start_orthanc()
    for file in SMALL.files():
        orthanc.upload(file)
    with Receiver("DEST_AET", free_port()) as receiver:
        orthanc.put("/modalities/dest", ["DEST_AET", "127.0.0.1", receiver.port])
        yield orthanc, receiver


def test_the_self_check_passes_where_all_is_well(parts: tuple[Orthanc, Receiver]) -> None:
    orthanc, receiver = parts
    rows = list(SelfCheck(Address(orthanc.aet, "127.0.0.1", orthanc.dicom_port), orthanc, SMALL, receiver).rows())
    wrong = [row.what for row in rows if not row.well]
    assert wrong == ["C-FIND studies"], "Orthanc's own SCP refuses a lone * as UID, which the proxy must not"
    assert [row.what.split()[0].strip(",") for row in rows] == ["C-ECHO", *["C-FIND"] * 4, "C-GET", "C-GET", "C-MOVE"]


def test_the_self_check_fails_where_instances_are_missing_or_differ(parts: tuple[Orthanc, Receiver]) -> None:
    orthanc, receiver = parts
    check = SelfCheck(Address(orthanc.aet, "127.0.0.1", orthanc.dicom_port), orthanc, SMALL, receiver)
    stored = check._stored()
    assert check._get("C-GET", stored).well
    assert not check._get("C-GET", {**stored, SMALL.sop_instance_uid(1): "other pixels"}).well
    assert not check._move("C-MOVE", {**stored, "1.2.3": "one more"}).well
    assert not check._find("C-FIND", "PATIENT", 2, {"PatientID": "*"}).well


def test_the_self_check_of_nobody_fails_in_every_row(parts: tuple[Orthanc, Receiver]) -> None:
    orthanc, receiver = parts
    rows = list(SelfCheck(Address("X", "127.0.0.1", free_port()), orthanc, SMALL, receiver).rows())
    assert not [row.what for row in rows if row.well]


def _command(*options: str) -> list[str]:
    return [sys.executable, "-m", "proxy", "demo", *options]


def _environment(folder: Path) -> dict[str, object]:
    """Arguments for the demo's process: its temporary folder is below `folder`, which must exist."""
    variables = {"PATH": "/usr/sbin:/usr/bin:/bin", "COLUMNS": "200", "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
    return {"env": variables, "cwd": Path(__file__).parents[2], "stdin": subprocess.DEVNULL, "text": True}


def _assert_nothing_is_left(folder: Path) -> None:
    assert list(folder.iterdir()) == []
    assert subprocess.run(["pgrep", "-af", str(folder)], capture_output=True, text=True).stdout == ""


@pytest.mark.timeout(180)
def test_the_demo_runs_checks_itself_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run(_command("--once"), capture_output=True, timeout=170, **_environment(tmp_path))  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All checks passed." in done.stdout
    assert re.search(r"C-GET, warm +200 instances +200, pixels identical", done.stdout)
    _assert_nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    ("number", "moment", "status"),
    [
        (signal.SIGINT, "Ctrl-C ends the demo", 0),
        (signal.SIGHUP, "Orthanc 1", 130),
        (signal.SIGTERM, "Self-check of", 130),
    ],
)
def test_a_demo_that_is_ended_leaves_nothing_behind(
    number: signal.Signals, moment: str, status: int, tmp_path: Path
) -> None:
    with subprocess.Popen(_command(), stdout=subprocess.PIPE, **_environment(tmp_path)) as demo:  # type: ignore[call-overload]
        try:
            assert any(moment in line for line in demo.stdout), "the demo ended by itself"
            demo.send_signal(number)
            demo.communicate(timeout=30)
        finally:
            demo.kill()
    assert demo.returncode == status
    _assert_nothing_is_left(tmp_path)
