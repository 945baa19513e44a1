"""The admin server of a running proxy: it tells what happens, explains what fails, and changes what it may."""

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from proxy.admin.passwords import hash_password
from proxy.demo.orthanc import Orthanc
from tests.integration.conftest import StartProxy
from tests.support.dcmtk import Dcmtk
from tests.support.destinations import StoreScp
from tests.support.instances import instance, part10
from tests.support.ports import free_port
from tests.support.proxy_process import Proxy

TOKEN = {"Authorization": "Bearer let-me-in"}
ADMIN = {"admin": {"tokens": {"robot": "let-me-in"}}}
STATIONS = {"pipelines": {"under_test": {"access": "list", "rules": [{"calling_aet": ["WS*", "CT*"]}]}}}


def status(proxy: Proxy) -> dict[str, Any]:
    return proxy.admin("/api/v1/status").json()


def post(proxy: Proxy, path: str, **json: str) -> Any:
    return httpx.post(proxy.admin_url + "/api/v1" + path, headers=TOKEN, json=json, timeout=15).json()


def wait_until(condition: Callable[[], Any], *, timeout: float = 15.0) -> Any:
    """The first true value of `condition`. Raises AssertionError."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.1)
    return value


def metric(proxy: Proxy, beginning: str) -> float:
    lines = [line for line in proxy.admin("/metrics").text.splitlines() if line.startswith(beginning)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def story(proxy: Proxy, calling_aet: str) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        stories = status(proxy)["associations"]
        return next((one for one in stories if one["story"]["calling_aet"] == calling_aet), None)

    return wait_until(found)


@pytest.fixture
def stations(start_proxy: StartProxy, one_orthanc: Orthanc) -> Proxy:
    dead = {"destinations": {"dead": {"aet": "DEAD_AET", "host": "127.0.0.1", "port": free_port()}}}
    return start_proxy(one_orthanc, ADMIN, STATIONS, dead)


def test_a_query_and_a_retrieve_are_on_the_page_in_the_metrics_and_in_the_log(
    stations: Proxy, aim: Callable[..., Dcmtk]
) -> None:
    ws = aim(stations, calling_aet="WS1")
    studies = ws.find("0008,0052=STUDY", "0020,000d", "0010,0020=CT-1").datasets
    assert ws.get("0008,0052=STUDY", f"0020,000d={studies[0].StudyInstanceUID}").final.completed == 20
    wait_until(lambda: status(stations)["totals"]["requests"] == 2)
    told = status(stations)
    [row] = told["requestors"]
    assert (row["name"], row["accepted"], row["open"], row["sent"]) == ("WS1", 2, 0, 20)
    assert row["services"] == {"C-FIND": 1, "C-GET": 1}
    assert told["pipelines"][0]["row"]["bytes_out"] == row["bytes_out"] > 20 * 64 * 64
    assert told["health"] == {"ready": True, "reasons": []}
    assert metric(stations, 'orthanc_proxy_suboperations_total{outcome="completed",service="C-GET"}') == 20
    assert metric(stations, "orthanc_proxy_cache_misses_total") == 20
    assert metric(stations, "orthanc_proxy_orthanc_calls_total") > 20
    assert metric(stations, "orthanc_proxy_associations_open{") == 0
    assert "C-GET STUDY from WS1: 20 of 20 sent, 0x0000 Success" in stations.log
    assert re.search(r"association released: WS1->HARMONY_SCP\(.* peer_ip=127\.0\.0\.1 peer_port=\d+ ", stations.log)


def test_an_unknown_calling_aet_is_explained_on_the_page_and_in_the_log(
    stations: Proxy, aim: Callable[..., Dcmtk]
) -> None:
    assert aim(stations, calling_aet="STRANGER").echo().returncode != 0
    told = story(stations, "STRANGER")
    assert told["story"]["state"] == "refused"
    assert "STRANGER" in told["story"]["why"]
    assert "under_test" in told["story"]["why"]
    assert told["rejection"] == "calling AE title not recognized"
    assert f"association refused: {told['story']['why']}" in stations.log
    assert metric(stations, "orthanc_proxy_associations_rejected_total") == 1


def test_an_unknown_called_aet_is_explained(stations: Proxy, tmp_path: Any) -> None:
    Dcmtk(stations.dicom_port, "ORTHANC", tmp_path, calling_aet="WS9").echo()
    assert "ORTHANC" in story(stations, "WS9")["story"]["why"]


def test_a_destination_that_is_dead_or_unknown_is_explained(stations: Proxy, aim: Callable[..., Dcmtk]) -> None:
    ws = aim(stations, calling_aet="WS1")
    ws.move("DEAD_AET", "0008,0052=PATIENT", "0010,0020=CT-1", model="-P")
    ws.move("NOWHERE", "0008,0052=PATIENT", "0010,0020=CT-1", model="-P")
    wait_until(lambda: status(stations)["totals"]["failed"] == 2)
    deeds = [deed for one in status(stations)["associations"] for deed in one["deeds"]]
    by_status = {deed["deed"]["status"]: deed for deed in deeds}
    assert "echo button" in by_status[0xA702]["advice"]
    assert "DEAD_AET" in by_status[0xA702]["deed"]["comment"]
    assert "[destinations]" in by_status[0xA801]["advice"]
    assert "0xA801 Move Destination unknown" in stations.log
    echo = post(stations, "/destinations/dead/echo")
    assert echo["ok"] is False
    assert "refused" in echo["words"]


def test_a_destination_that_lives_answers_the_echo(
    start_proxy: StartProxy, one_orthanc: Orthanc, start_storescp: Callable[..., StoreScp]
) -> None:
    there = start_storescp("DEST_AET")
    destination = {"destinations": {"dest": {"aet": "DEST_AET", "host": "127.0.0.1", "port": there.port}}}
    proxy = start_proxy(one_orthanc, ADMIN, destination)
    assert post(proxy, "/destinations/dest/echo")["ok"] is True
    rows = {row["destination"]["name"]: row for row in status(proxy)["destinations"]}
    assert rows["dest"]["echo"]["ok"] is True


def test_orthanc_gone_means_not_ready_with_the_reason_and_back_means_ready(
    start_proxy: StartProxy, one_fresh_orthanc: Orthanc, aim: Callable[..., Dcmtk]
) -> None:
    proxy = start_proxy(one_fresh_orthanc, ADMIN)
    wait_until(lambda: proxy.admin("/readyz").status_code == 200)
    one_fresh_orthanc.kill()
    answer = wait_until(lambda: (got := proxy.admin("/readyz")).status_code == 503 and got)
    [reason] = answer.json()["reasons"]
    assert reason["code"] == "orthanc-unreachable"
    assert one_fresh_orthanc.url in reason["words"]
    assert proxy.admin("/livez").status_code == 200
    assert aim(proxy).find("0008,0052=STUDY").final.status == 0xA700
    assert any(one["where"] == "backends.orthanc" for one in status(proxy)["errors"])
    one_fresh_orthanc.start()
    wait_until(lambda: proxy.admin("/readyz").status_code == 200)
    assert metric(proxy, "orthanc_proxy_orthanc_up") == 1


def test_a_full_spool_is_explained_and_empties(
    start_proxy: StartProxy, one_fresh_orthanc: Orthanc, aim: Callable[..., Dcmtk], tmp_path: Any
) -> None:
    small = {"spool": {"max_bytes": "2 MiB", "retry_initial": 0.2, "retry_max": 0.5}}
    proxy = start_proxy(one_fresh_orthanc, ADMIN, small)
    one_fresh_orthanc.kill()
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.dcm").write_bytes(part10(instance(rows=512, columns=512)))
    outcome = aim(proxy, calling_aet="CT1").store(folder, options=("-nh",))
    statuses = [response.status for response in outcome.responses]
    assert 0xA700 in statuses
    accepted = statuses.count(0)
    assert accepted >= 1
    spool = wait_until(lambda: (got := status(proxy)["spool"])["waiting"] == accepted and got)
    assert 0 < spool["bytes"] <= spool["max_bytes"] == 2 << 20
    wait_until(lambda: any(queue["why"] for queue in status(proxy)["spool"]["queues"]))
    refused = [deed for deed in story(proxy, "CT1")["deeds"] if deed["deed"]["status"] == 0xA700]
    assert "Spool" in refused[0]["advice"]
    assert "0xA700 Out of resources" in proxy.log
    assert re.search(r"C-STORE from CT1: 0x0000 Success.* sop_class=1\.2\.840\.10008\.5\.1\.4\.1\.1\.7\b", proxy.log)
    both = {"orthanc-unreachable", "spool-full"}
    wait_until(lambda: {reason["code"] for reason in proxy.admin("/readyz").json()["reasons"]} == both)
    one_fresh_orthanc.start()
    wait_until(lambda: status(proxy)["spool"]["waiting"] == 0, timeout=30)
    assert metric(proxy, 'orthanc_proxy_forwarded_total{outcome="delivered"') == accepted


def test_reload_takes_new_rules_and_an_invalid_file_changes_nothing_and_says_why(
    stations: Proxy, aim: Callable[..., Dcmtk]
) -> None:
    text = stations.config_file.read_text()
    assert aim(stations, calling_aet="WS1").echo().returncode == 0
    stations.config_file.write_text(text.replace("calling_aet", "caling_aet"))
    answer = post(stations, "/reload")
    assert answer["ok"] is False
    assert any("caling_aet" in words and "config.toml:" in words for words in answer["words"])
    assert aim(stations, calling_aet="WS1").echo().returncode == 0
    assert any(one["where"] == "reload" for one in status(stations)["errors"])
    stations.config_file.write_text(text.replace("WS*", "OTHER*").replace("let-me-in", "new-token"))
    assert post(stations, "/reload")["ok"] is True
    wait_until(lambda: aim(stations, calling_aet="WS1").echo().returncode != 0)
    assert aim(stations, calling_aet="OTHER1").echo().returncode == 0
    assert "error" in post(stations, "/reload")  # the old token is worth nothing now


def test_sighup_reloads_without_dropping_an_association(stations: Proxy) -> None:
    from pynetdicom import AE

    entity = AE("WS1")
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate("127.0.0.1", stations.dicom_port, ae_title=stations.aet)
    assert association.is_established
    text = stations.config_file.read_text()
    stations.config_file.write_text(text.replace("WS*", "OTHER*"))
    stations.child.signal(signal.SIGHUP)
    wait_until(lambda: "reload: " in stations.log)
    assert association.send_c_echo().Status == 0
    association.release()
    again = entity.associate("127.0.0.1", stations.dicom_port, ae_title=stations.aet)
    assert again.is_rejected


def test_the_log_level_changes_while_running(stations: Proxy, aim: Callable[..., Dcmtk]) -> None:
    aim(stations, calling_aet="WS1").find("0008,0052=STUDY")
    assert " debug " not in stations.log
    assert post(stations, "/log-level", level="debug")["ok"] is True
    assert status(stations)["log_level"] == "debug"
    aim(stations, calling_aet="WS1").find("0008,0052=STUDY")
    wait_until(lambda: " debug   POST /tools/find" in stations.log)


def test_the_cache_can_be_cleared(stations: Proxy, aim: Callable[..., Dcmtk]) -> None:
    ws = aim(stations, calling_aet="WS1")
    for _ in range(2):
        ws.get("0008,0052=PATIENT", "0010,0020=CT-1", model="-P")
    wait_until(lambda: metric(stations, "orthanc_proxy_cache_hits_total") == 20)
    assert post(stations, "/cache/clear")["ok"] is True
    assert status(stations)["cache"]["instances"] == 0


@contextlib.contextmanager
def open_association(proxy: Proxy, calling_aet: str) -> Iterator[None]:
    from pynetdicom import AE

    entity = AE(calling_aet)
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate("127.0.0.1", proxy.dicom_port, ae_title=proxy.aet)
    assert association.is_established
    yield
    association.abort()


def test_an_open_association_is_shown_and_one_whose_worker_dies_is_not_forgotten(stations: Proxy) -> None:
    with open_association(stations, "WS1"):
        wait_until(lambda: status(stations)["totals"]["open"] == 1)
        assert story(stations, "WS1")["story"]["state"] == "open"
        [worker] = status(stations)["workers"]
        os.kill(worker["pid"], signal.SIGKILL)
        wait_until(lambda: status(stations)["totals"]["open"] == 0)
        told = story(stations, "WS1")["story"]
        assert (told["state"], told["why"]) == ("lost", "worker 1 died")
        wait_until(lambda: status(stations)["workers"][0]["restarts"] == 1)
        assert any("status -9" in one["what"] for one in status(stations)["errors"])
    wait_until(lambda: proxy_answers(stations))


def proxy_answers(proxy: Proxy) -> bool:
    return proxy.admin("/readyz").status_code == 200


def test_draining_says_not_ready_until_the_end(stations: Proxy) -> None:
    with open_association(stations, "WS1"):
        wait_until(lambda: status(stations)["totals"]["open"] == 1)
        stations.child.signal(signal.SIGTERM)
        answer = wait_until(lambda: (got := stations.admin("/readyz")).status_code == 503 and got)
        assert "draining" in {reason["code"] for reason in answer.json()["reasons"]}


def test_a_connection_that_is_no_dicom_is_explained(stations: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", stations.dicom_port), timeout=5) as browser:
        browser.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        browser.recv(100)
    told = wait_until(lambda: [one for one in status(stations)["associations"] if one["story"]["state"] == "refused"])
    assert "/readyz" in told[0]["advice"]


def test_it_does_not_start_with_an_open_door(one_orthanc: Orthanc, start_proxy: StartProxy) -> None:
    with pytest.raises(AssertionError, match="neither a user nor a token"):
        start_proxy(one_orthanc, {"admin": {"bind_address": "0.0.0.0"}})


def test_secrets_are_nowhere_in_the_configuration_shown(start_proxy: StartProxy, one_orthanc: Orthanc) -> None:
    secret = hash_password("correct horse")
    proxy = start_proxy(
        one_orthanc,
        {"admin": {"tokens": {"robot": "t0ken-canary"}, "users": {"anna": {"password_hash": secret}}}},
        {"backends": {"orthanc": {"username": "u", "password": "passw0rd-canary"}}},
        {"pipelines": {"under_test": {"rules": [{"username": "x", "passcode": "passc0de-canary"}]}}},
    )
    for path in ("/api/v1/configuration", "/configuration", "/api/v1/status", "/", "/metrics"):
        shown = proxy.admin(path).text
        for canary in ("canary", secret.split("$")[-1]):
            assert canary not in shown, path


def test_a_service_manager_is_told_of_start_life_reload_and_end(
    start_proxy: StartProxy, one_orthanc: Orthanc, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)

        def told() -> str:
            return manager.recv(4096).decode()

        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        proxy = start_proxy(one_orthanc)
        words = [told()]
        while "READY=1" not in words[-1]:
            assert words[-1] == "WATCHDOG=1"
            words.append(told())
        assert words[-1] == f"READY=1\nMAINPID={proxy.child.pid}"
        assert [told() for _ in range(2)] == ["WATCHDOG=1"] * 2
        proxy.child.signal(signal.SIGHUP)
        words = [told()]
        while words[-1] != "READY=1":
            words.append(told())
        assert "RELOADING=1" in words
        proxy.stop()
        manager.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                words.append(told())
        assert words[-1] == "STOPPING=1"
