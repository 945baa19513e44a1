"""`orthanc-proxy doctor` before real Orthancs: all well, and each thing that is broken on purpose is found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from proxy import __version__
from proxy.cli import app
from proxy.demo.orthanc import Orthanc
from tests.integration.conftest import StartOrthanc, StartProxy
from tests.support.destinations import Recorder
from tests.support.guarded import NAME, guarded
from tests.support.instances import instance
from tests.support.ports import free_port
from tests.support.proxy_process import Proxy, settings, toml
from tests.support.scu import associated


def examined(config: Path, *options: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit status, and the findings by what they are about."""
    done = CliRunner().invoke(app, ["doctor", "--json", "--config", str(config), *options])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, {one["what"]: one for one in orjson.loads(done.stdout)["findings"]}


def of(proxy: Proxy, *options: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Of a running one, whose ports the kernel chose."""
    ports = {"listener": proxy.dicom_port, "admin": proxy.admin_port}
    given = [word for name, port in ports.items() for word in ("--set", f"{name}.bind_port={port}")]
    return examined(proxy.config_file, *given, *options)


def states(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {what: one["state"] for what, one in found.items()}


def on_ports(*overrides: dict[str, object]) -> tuple[dict[str, object], ...]:
    """Ports that are known beforehand."""
    return ({"listener": {"bind_port": free_port()}, "admin": {"bind_port": free_port()}}, *overrides)


def written(folder: Path, url: str, *overrides: dict[str, object]) -> Path:
    """A configuration that nobody serves."""
    file = folder / "config.toml"
    file.write_text(toml(settings(url, folder / "storage", *on_ports(*overrides))))
    return file


def test_where_all_is_well_everything_is_ok(
    orthanc: Orthanc, start_proxy: StartProxy, start_recorder: Callable[..., Recorder]
) -> None:
    destination = start_recorder("DEST_AET")
    place = {"aet": destination.aet, "host": "127.0.0.1", "port": destination.port}
    proxy = start_proxy(orthanc, *on_ports({"destinations": {"there": place}}))
    status, found = of(proxy)
    assert states(found) == dict.fromkeys(
        [
            "configuration",
            "storage.path",
            "cache",
            "spool",
            "orthanc-proxy",
            "listener.bind_port",
            "admin.bind_port",
            "backends.orthanc",
            "destinations.there",
            "query",
            "retrieve",
        ],
        "ok",
    )
    assert status == 0
    assert found["orthanc-proxy"]["says"] == f"version {__version__} runs and is ready"
    assert orthanc.get("/system")["Version"] in found["backends.orthanc"]["says"]
    assert found["retrieve"]["says"].endswith("as Orthanc holds it")
    assert not any(one["remedy"] for one in found.values())


@pytest.mark.parametrize("wire", ["fast", "stock"])
def test_the_query_and_the_retrieve_go_through_the_running_proxy(
    wire: str, one_orthanc: Orthanc, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(one_orthanc, *on_ports({"listener": {"wire": wire}}))
    _, found = of(proxy, "--aet", "EXAMINER")
    assert {found[what]["where"] for what in ("query", "retrieve")} == {f"{proxy.aet}@127.0.0.1:{proxy.dicom_port}"}
    assert "C-FIND STUDY from EXAMINER: 1 matches, 0x0000 Success" in proxy.log
    assert "C-GET IMAGE from EXAMINER: 1 of 1 sent, 0x0000 Success" in proxy.log


def test_before_it_is_started_orthanc_is_asked_by_rest_and_ports_are_free(orthanc: Orthanc, tmp_path: Path) -> None:
    status, found = examined(written(tmp_path, orthanc.url))
    assert status == 0
    assert (found["orthanc-proxy"]["state"], "orthanc-proxy serve" in found["orthanc-proxy"]["remedy"]) == (
        "warning",
        True,
    )
    assert found["listener.bind_port"]["says"] == found["admin.bind_port"]["says"] == "free"
    assert {found[what]["where"] for what in ("query", "retrieve")} == {orthanc.url}
    assert states(found)["retrieve"] == "ok"
    assert not (tmp_path / "storage").exists(), "nothing is made"


def test_an_empty_orthanc_is_nothing_to_try_it_with(one_fresh_orthanc: Orthanc, start_proxy: StartProxy) -> None:
    status, found = of(start_proxy(one_fresh_orthanc, *on_ports()))
    assert (status, found["query"]["state"], found["retrieve"]["state"]) == (0, "skipped", "skipped")


def test_a_wrong_password_is_found(start_proxy: StartProxy, tmp_path: Path) -> None:
    with guarded(tmp_path / "guarded") as orthanc:
        wrong = {"backends": {"orthanc": {"username": NAME, "password": "wrong"}}}
        status, found = of(start_proxy(orthanc, *on_ports(wrong)))
    assert status == 1
    backend = found["backends.orthanc"]
    assert (backend["state"], "refuses our credentials" in backend["says"]) == ("FAILED", True)
    assert "[backends.orthanc]" in backend["remedy"]


def test_an_orthanc_that_is_away_is_found_by_us_and_by_the_running_proxy(start_proxy: StartProxy) -> None:
    proxy = start_proxy(f"http://127.0.0.1:{free_port()}", *on_ports({"backends": {"orthanc": {"retries": 1}}}))
    status, found = of(proxy)
    assert status == 1
    assert found["backends.orthanc"]["state"] == found["orthanc-proxy"]["state"] == "FAILED"
    assert found["orthanc-proxy"]["says"].startswith("not ready: Orthanc 'orthanc' at http://127.0.0.1:")
    assert "Start Orthanc" in found["orthanc-proxy"]["remedy"]


def test_a_dead_destination_fails_and_a_dead_modality_of_orthanc_warns(
    start_orthanc: StartOrthanc, start_proxy: StartProxy
) -> None:
    orthanc = start_orthanc()
    orthanc.put("/modalities/ws", ["WS1", "127.0.0.1", free_port()])
    place = {"aet": "GONE", "host": "127.0.0.1", "port": free_port()}
    status, found = of(start_proxy(orthanc, *on_ports({"destinations": {"gone": place}})))
    assert status == 1
    assert found["destinations.gone"]["state"] == "FAILED"
    assert "[destinations.gone]" in found["destinations.gone"]["remedy"]
    assert found["modality orthanc/ws"]["state"] == "warning"


def test_access_rules_that_do_not_know_the_doctor_are_no_failure(one_orthanc: Orthanc, start_proxy: StartProxy) -> None:
    rules = {"access": "list", "rules": [{"calling_aet": ["WS1"]}]}
    proxy = start_proxy(one_orthanc, *on_ports({"pipelines": {"under_test": rules}}))
    status, found = of(proxy)
    assert (status, found["query"]["state"]) == (0, "warning")
    assert "--aet" in found["query"]["remedy"]
    assert of(proxy, "--aet", "WS1")[1]["query"]["state"] == "ok"


def test_a_full_spool_is_found(start_proxy: StartProxy) -> None:
    full = {"spool": {"max_bytes": "1200 KiB"}, "backends": {"orthanc": {"retries": 1}}}
    proxy = start_proxy(f"http://127.0.0.1:{free_port()}", *on_ports(full))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        assert scu.store(instance(rows=512, columns=512)) == 0x0000
        assert scu.store(instance(rows=512, columns=512)) == 0xA700
    status, found = of(proxy)
    assert (status, found["spool"]["state"]) == (1, "FAILED")
    assert "the spool is full" in found["spool"]["says"]
    assert found["spool"]["remedy"]


def test_a_port_that_somebody_else_has_is_found(one_orthanc: Orthanc, tmp_path: Path) -> None:
    status, found = examined(written(tmp_path, one_orthanc.url, {"listener": {"bind_port": one_orthanc.dicom_port}}))
    assert (status, found["listener.bind_port"]["state"]) == (1, "FAILED")
    assert "ss -ltnp" in found["listener.bind_port"]["says"]


def test_without_an_admin_server_it_is_found_by_dicom(one_orthanc: Orthanc, start_proxy: StartProxy) -> None:
    proxy = start_proxy(one_orthanc, *on_ports({"admin": {"enabled": False}}))
    status, found = examined(proxy.config_file)
    assert status == 0
    assert "a DICOM node answers" in found["orthanc-proxy"]["says"]
    assert found["retrieve"]["says"].endswith("as Orthanc holds it")


def test_a_table_for_people_names_remedies(one_orthanc: Orthanc, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["doctor", "--config", str(written(tmp_path, one_orthanc.url))])
    assert done.exit_code == 0
    assert "remedy" in done.stdout
    assert "systemctl start orthanc-proxy" in done.stdout
