"""From the spool to where it belongs: outages, order, several targets, origins, and what is refused for good."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage

from proxy.demo.orthanc import Orthanc
from tests.fakes import http_faults as faults
from tests.fakes.http_faults import HttpFaults
from tests.fakes.tcp_faults import TcpFaults
from tests.support.dcmtk import Dcmtk
from tests.support.destinations import Recorder
from tests.support.instances import instance, part10, series
from tests.support.ports import free_port
from tests.support.proxy_process import Proxy
from tests.support.rest import assert_same_instances, stored_files
from tests.support.scu import associated
from tests.support.small_disk import small_disk
from tests.support.waiting import wait_until

_QUICK = {"spool": {"retry_initial": 0.1, "retry_max": 0.5}}
StartProxy = Callable[..., Proxy]


def waiting(proxy: Proxy) -> list[Path]:
    return sorted((proxy.storage / "dimse").glob("[0-9]*/*/*.dcm"))


def dead(proxy: Proxy) -> list[Path]:
    return sorted((proxy.storage / "dimse" / ".dead").glob("*.dcm"))


def send(proxy: Proxy, *images: FileDataset, calling_aet: str = "PYNETSCU") -> None:
    """Each must be acknowledged."""
    with associated(proxy.dicom_port, proxy.aet, calling_aet=calling_aet) as scu:
        assert [scu.store(image) for image in images] == [0x0000] * len(images)


def held(orthanc: Orthanc) -> int:
    count: int = orthanc.get("/statistics")["CountInstances"]
    return count


def only_instance(orthanc: Orthanc) -> str:
    (instance_id,) = orthanc.get("/instances")
    return str(instance_id)


def metadata(orthanc: Orthanc, name: str) -> str:
    return orthanc.get_bytes(f"/instances/{only_instance(orthanc)}/metadata/{name}").decode()


def command(proxy: Proxy, *words: str) -> str:
    """`orthanc-proxy spool ...` beside the running proxy; what it says."""
    argv = [sys.executable, "-m", "proxy", "spool", *words, "--config", str(proxy.config_file)]
    told = subprocess.run(argv, capture_output=True, text=True, timeout=30, cwd=Path(__file__).parents[2])
    assert told.returncode == 0, told.stderr
    return told.stdout


def queue(proxy: Proxy) -> dict[str, Any]:
    told: dict[str, Any] = proxy.admin("/api/v1/spool").json()
    return told


def test_what_came_while_orthanc_was_away_arrives_when_it_is_back(
    one_fresh_orthanc: Orthanc, start_proxy: StartProxy
) -> None:
    one_fresh_orthanc.kill()
    proxy = start_proxy(one_fresh_orthanc, _QUICK)
    images = list(series(30, PatientID="AWAY"))
    send(proxy, *images)
    assert len(waiting(proxy)) == 30
    wait_until(lambda: queue(proxy)["waiting"] == 30)
    assert command(proxy, "list").splitlines()[-1] == "0 dead letters, 30 wait to be forwarded"
    one_fresh_orthanc.start()
    wait_until(lambda: not waiting(proxy))
    assert_same_instances(images, stored_files(one_fresh_orthanc, PatientID="AWAY"))
    wait_until(lambda: queue(proxy)["waiting"] == queue(proxy)["bytes"] == 0)


def test_an_orthanc_that_fails_is_asked_by_one_instance_at_a_time_and_the_reason_shows(
    one_fresh_orthanc: Orthanc, start_proxy: StartProxy
) -> None:
    with HttpFaults(one_fresh_orthanc.url) as way:
        way.on("POST", "^/instances", faults.status(503))
        proxy = start_proxy(way.url, {"spool": {"retry_initial": 0.2, "retry_max": 0.4}})
        images = list(series(20, PatientID="BREAKER"))
        send(proxy, *images)
        wait_until(lambda: bool(queue(proxy)["queues"][0]["why"]))
        tried, began = way.count("POST", "^/instances"), time.monotonic()
        time.sleep(1.0)
        # One probe in each pause, which is at least half of 0.2 s, and not twenty
        assert way.count("POST", "^/instances") - tried <= (time.monotonic() - began) / 0.1 + 1
        assert "503" in queue(proxy)["queues"][0]["why"]
        way.clear()
        wait_until(lambda: not waiting(proxy), 60)
        assert_same_instances(images, stored_files(one_fresh_orthanc, PatientID="BREAKER"))
        proxy.stop()


@pytest.mark.parametrize("fault", ["reset", "freeze", "slow"])
def test_an_upload_that_is_cut_in_its_middle_is_sent_again_whole(
    fault: str, one_fresh_orthanc: Orthanc, start_proxy: StartProxy
) -> None:
    image = instance(rows=1500, columns=1500, PatientID="CUT")
    with TcpFaults(one_fresh_orthanc.http_port) as way:
        quick = {"backends": {"orthanc": {"read_timeout": 1.0, "connect_timeout": 1.0}}}
        proxy = start_proxy(f"http://127.0.0.1:{way.port}", _QUICK, quick)
        wait_until(lambda: proxy.admin("/readyz").status_code == 200)
        if fault == "reset":
            way.reset_after = 1_000_000
        elif fault == "freeze":
            way.freeze_after = 1_000_000
        else:
            way.rate = 1_500_000  # longer than read_timeout in all, and never silent for so long
        send(proxy, image)
        if fault != "slow":
            wait_until(lambda: bool(queue(proxy)["queues"][0]["why"]))
            assert (held(one_fresh_orthanc), len(waiting(proxy))) == (0, 1)
            way.reset_after = way.freeze_after = None
        wait_until(lambda: not waiting(proxy), 60)
        assert_same_instances([image], stored_files(one_fresh_orthanc, PatientID="CUT"))
        assert dead(proxy) == []
        proxy.stop()


def test_a_wrong_password_is_told_and_nothing_is_given_up_until_it_is_right(
    start_orthanc: Callable[..., Orthanc], start_proxy: StartProxy
) -> None:
    orthanc = start_orthanc()
    with HttpFaults(orthanc.url) as way:
        way.on("POST", "^/instances", faults.status(401))
        proxy = start_proxy(way.url, _QUICK)
        images = list(series(3, PatientID="LOCKED"))
        send(proxy, *images)
        wait_until(lambda: "credentials" in queue(proxy)["queues"][0]["why"])
        assert (len(waiting(proxy)), dead(proxy)) == (3, [])
        way.clear()
        wait_until(lambda: not waiting(proxy), 60)
        assert_same_instances(images, stored_files(orthanc, PatientID="LOCKED"))
        proxy.stop()


@pytest.mark.root
def test_a_disk_that_fills_up_refuses_and_loses_nothing_and_takes_again_when_there_is_room(
    one_fresh_orthanc: Orthanc, start_proxy: StartProxy, tmp_path: Path
) -> None:
    one_fresh_orthanc.kill()
    with small_disk(tmp_path / "disk", "4m") as disk:
        full = {"storage": {"path": str(disk)}, "spool": {"min_free_bytes": 0}, "cache": {"min_free_bytes": 0}}
        proxy = start_proxy(one_fresh_orthanc, _QUICK, full)
        images = list(series(12, rows=500, columns=900, PatientID="FULL"))
        with associated(proxy.dicom_port, proxy.aet) as scu:
            statuses = [scu.store(image) for image in images]
            accepted = [image for image, status in zip(images, statuses, strict=True) if status == 0x0000]
            assert 4 <= len(accepted) < 12
            assert set(statuses) == {0x0000, 0xA700}
            assert queue(proxy)["full"]
            one_fresh_orthanc.start()
            wait_until(lambda: not waiting(proxy), 60)
            assert_same_instances(accepted, stored_files(one_fresh_orthanc, PatientID="FULL"))
            assert scu.store(images[-1]) == 0x0000, "there is room again"
        wait_until(lambda: not waiting(proxy), 60)
        proxy.stop()


def test_versions_of_an_instance_arrive_in_the_order_in_which_they_came(
    one_fresh_orthanc: Orthanc, start_proxy: StartProxy, start_recorder: Callable[..., Recorder]
) -> None:
    seen = start_recorder("SEEN")
    one_fresh_orthanc.kill()
    proxy = start_proxy(
        one_fresh_orthanc,
        _QUICK,
        {
            "destinations": {"seen": {"aet": "SEEN", "host": "127.0.0.1", "port": seen.port}},
            "pipelines": {"under_test": {"forward_to": ["orthanc", "seen"]}},
        },
    )
    first = instance(PatientID="VERSIONS")
    versions = [instance(PatientID="VERSIONS", StudyID=str(number)) for number in range(6)]
    for version in versions:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(version, keyword, getattr(first, keyword))
        version.file_meta.MediaStorageSOPInstanceUID = first.SOPInstanceUID
    send(proxy, *versions)
    assert len(waiting(proxy)) == 6, "none has overwritten another"
    one_fresh_orthanc.start()
    wait_until(lambda: not waiting(proxy))
    assert [str(one.StudyID) for one in seen.datasets()] == ["0", "1", "2", "3", "4", "5"]
    assert_same_instances([versions[-1]], stored_files(one_fresh_orthanc, PatientID="VERSIONS"))


def test_the_same_instance_ten_times_is_one_in_orthanc(one_fresh_orthanc: Orthanc, start_proxy: StartProxy) -> None:
    proxy = start_proxy(one_fresh_orthanc, _QUICK)
    image = instance(PatientID="AGAIN")
    for _ in range(10):
        send(proxy, image)
    wait_until(lambda: not waiting(proxy))
    assert_same_instances([image], stored_files(one_fresh_orthanc, PatientID="AGAIN"))
    assert dead(proxy) == []


def test_a_dead_target_holds_up_nobody_else_also_over_a_restart(
    one_fresh_orthanc: Orthanc, start_proxy: StartProxy, start_recorder: Callable[..., Recorder]
) -> None:
    seen, away = start_recorder("SEEN"), free_port()
    proxy = start_proxy(
        one_fresh_orthanc,
        _QUICK,
        {
            "destinations": {
                "seen": {"aet": "SEEN", "host": "127.0.0.1", "port": seen.port},
                "away": {"aet": "AWAY", "host": "127.0.0.1", "port": away},
            },
            "pipelines": {"under_test": {"forward_to": ["orthanc", "seen", "away"]}},
        },
    )
    images = list(series(4, PatientID="SEVERAL"))
    send(proxy, *images)
    wait_until(lambda: held(one_fresh_orthanc) == len(seen.arrivals) == 4)
    assert_same_instances(images, stored_files(one_fresh_orthanc, PatientID="SEVERAL"))
    assert len(waiting(proxy)) == 4
    wait_until(lambda: {one["target"]: one["waiting"] for one in queue(proxy)["queues"]} == {
        "orthanc": 0, "seen": 0, "away": 4
    })  # fmt: skip
    assert {arrival.calling_aet for arrival in seen.arrivals} == {proxy.aet}
    proxy.stop()
    proxy.configuration["destinations"]["away"]["port"] = seen.port  # type: ignore[index]
    proxy.configuration["destinations"]["away"]["aet"] = "SEEN"  # type: ignore[index]
    proxy.start()
    wait_until(lambda: not waiting(proxy))
    assert len(seen.arrivals) == 8, "once for each of the two destinations, and no second time for the first"


def test_routes_choose_targets_by_calling_aet_modality_and_sop_class(
    one_fresh_orthanc: Orthanc, start_proxy: StartProxy, start_recorder: Callable[..., Recorder]
) -> None:
    seen = start_recorder("SEEN")
    routes = [
        {"calling_aet": ["CT_*"], "modality": ["CT"], "forward_to": ["seen"]},
        {"sop_class": [CTImageStorage], "forward_to": ["orthanc", "seen"]},
    ]
    proxy = start_proxy(
        one_fresh_orthanc,
        _QUICK,
        {
            "destinations": {"seen": {"aet": "SEEN", "host": "127.0.0.1", "port": seen.port}},
            "pipelines": {"under_test": {"routes": routes}},
        },
    )
    send(proxy, instance(PatientID="A", Modality="CT"), calling_aet="CT_ROOM_3")
    send(proxy, instance(PatientID="B", Modality="CT", sop_class_uid=CTImageStorage), calling_aet="OTHER")
    send(proxy, instance(PatientID="C", sop_class_uid=SecondaryCaptureImageStorage), calling_aet="CT_ROOM_3")
    wait_until(lambda: not waiting(proxy))
    assert sorted(one.PatientID for one in seen.datasets()) == ["A", "B"]
    assert [len(stored_files(one_fresh_orthanc, PatientID=patient)) for patient in "ABC"] == [0, 1, 1]


def test_by_dimse_orthanc_sees_the_modality_and_not_us(one_fresh_orthanc: Orthanc, start_proxy: StartProxy) -> None:
    proxy = start_proxy(one_fresh_orthanc, _QUICK, {"pipelines": {"under_test": {"forward": "dimse"}}})
    image = instance(PatientID="ORIGIN")
    send(proxy, image, calling_aet="CT_ROOM_3")
    wait_until(lambda: not waiting(proxy))
    assert_same_instances([image], stored_files(one_fresh_orthanc, PatientID="ORIGIN"))
    assert metadata(one_fresh_orthanc, "Origin") == "DicomProtocol"
    assert metadata(one_fresh_orthanc, "RemoteAET") == "CT_ROOM_3"


def test_provenance_becomes_metadata_where_that_is_wanted(one_fresh_orthanc: Orthanc, start_proxy: StartProxy) -> None:
    proxy = start_proxy(one_fresh_orthanc, _QUICK, {"pipelines": {"under_test": {"provenance_metadata": True}}})
    began = time.time()
    send(proxy, instance(PatientID="NOTED"), calling_aet="CT_ROOM_3")
    wait_until(lambda: not waiting(proxy))
    told = [metadata(one_fresh_orthanc, str(number)) for number in range(1024, 1028)]
    assert told[:3] == ["CT_ROOM_3", proxy.aet, "127.0.0.1"]
    assert time.strftime("%Y-%m-%dT%H", time.gmtime(began)) in told[3]


def test_what_was_refused_for_good_can_be_sent_once_more_by_command(
    one_fresh_orthanc: Orthanc, start_proxy: StartProxy
) -> None:
    with HttpFaults(one_fresh_orthanc.url) as way:
        way.on("POST", "^/instances", faults.status(400, b'{"OrthancStatus": 8}'), times=1)
        proxy = start_proxy(way.url, _QUICK)
        image = instance(PatientID="DEAD")
        send(proxy, image)
        wait_until(lambda: bool(dead(proxy)))
        assert held(one_fresh_orthanc) == 0
        line, counted = command(proxy, "list").splitlines()
        assert counted == "1 dead letters, 0 wait to be forwarded"
        assert "400" in command(proxy, "show", line.split()[0])
        assert command(proxy, "retry", "--all") == "1 back in the queue\n"
        wait_until(lambda: held(one_fresh_orthanc) == 1)
        assert_same_instances([image], stored_files(one_fresh_orthanc, PatientID="DEAD"))
        wait_until(lambda: not waiting(proxy), 60)
        assert dead(proxy) == []
        proxy.stop()


def test_what_orthanc_keeps_otherwise_than_it_was_sent_is_never_let_go(
    one_fresh_orthanc: Orthanc, start_proxy: StartProxy
) -> None:
    with HttpFaults(one_fresh_orthanc.url) as way:
        way.on("GET", "/attachments/dicom/md5", faults.body(b"0" * 32, "text/plain"))
        proxy = start_proxy(way.url, _QUICK)
        image = instance(PatientID="OTHER")
        send(proxy, image)
        wait_until(lambda: bool(dead(proxy)))
        assert "other bytes" in command(proxy, "list", "--dead")
        assert part10(image).endswith(dead(proxy)[0].read_bytes()[-200:])
        proxy.stop()


@pytest.mark.parametrize(("fallback", "status"), [("refuse", 0xA700), ("spool", 0x0000)])
def test_passing_through_with_orthanc_away_refuses_or_spools_as_it_is_set(
    fallback: str, status: int, one_fresh_orthanc: Orthanc, start_proxy: StartProxy
) -> None:
    one_fresh_orthanc.kill()
    settings = {"store_mode": "through", "through_fallback": fallback}
    proxy = start_proxy(one_fresh_orthanc, _QUICK, {"pipelines": {"under_test": settings}})
    image = instance(PatientID="THROUGH")
    with associated(proxy.dicom_port, proxy.aet) as scu:
        assert scu.store(image) == status
        assert len(waiting(proxy)) == (status == 0)
        one_fresh_orthanc.start()
        wait_until(lambda: not waiting(proxy), 60)
        assert scu.store(image) == 0x0000
    assert_same_instances([image], stored_files(one_fresh_orthanc, PatientID="THROUGH"))


def test_a_sender_and_the_forwarder_do_not_wait_for_each_other(
    one_fresh_orthanc: Orthanc, start_proxy: StartProxy, aim: Callable[..., Dcmtk], tmp_path: Path
) -> None:
    with HttpFaults(one_fresh_orthanc.url) as way:
        way.on("POST", "^/instances", faults.latency(1.0))
        proxy = start_proxy(way.url, _QUICK)
        folder = tmp_path / "sent"
        folder.mkdir()
        for number, image in enumerate(series(20, PatientID="SLOW")):
            (folder / f"{number}.dcm").write_bytes(part10(image))
        began = time.monotonic()
        outcome = aim(proxy).store(folder)
        assert [response.status for response in outcome.responses] == [0x0000] * 20
        assert time.monotonic() - began < 5.0, "twenty instances at a second each would take 5 s with 4 at once"
        way.clear()
        wait_until(lambda: not waiting(proxy), 60)
        assert held(one_fresh_orthanc) == 20
        proxy.stop()
