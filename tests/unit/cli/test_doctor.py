"""`orthanc-proxy doctor`: a table or JSON, and an exit status."""

from pathlib import Path

import orjson

from tests.support.ports import free_port
from tests.unit.cli.calling import run


def quiet(config: Path) -> tuple[str, ...]:
    """The options of a configuration whose ports are free."""
    ports = ("--set", f"listener.bind_port={free_port()}", "--set", f"admin.bind_port={free_port()}")
    return ("doctor", "--config", str(config), *ports)


def test_a_configuration_of_no_use_is_told_line_by_line_and_nothing_else_is_looked_at(config: Path) -> None:
    config.write_text("[listener]\nbind_prt = 1\n", encoding="utf-8")
    told = run("doctor", "--config", str(config), "--json")
    assert told.exit_code == 1
    document = orjson.loads(told.stdout)
    assert not document["well"]
    assert [(one["what"], one["where"], one["state"]) for one in document["findings"]] == [
        ("configuration", str(config), "FAILED"),
        ("configuration", f"{config}:2", "FAILED"),
    ]
    assert document["findings"][1]["says"] == "listener.bind_prt: unknown key (did you mean bind_port?)"
    assert all(one["remedy"] for one in document["findings"])


def test_what_fails_is_in_the_table_with_its_remedy_and_in_the_exit_status(config: Path) -> None:
    told = run(*quiet(config))
    assert told.exit_code == 1
    assert "FAILED" in told.stdout
    assert "Start Orthanc" in told.stdout


def test_for_programs_it_is_one_object(config: Path) -> None:
    told = run(*quiet(config), "--json")
    assert told.exit_code == 1
    found = {one["what"]: one for one in orjson.loads(told.stdout)["findings"]}
    assert found["configuration"]["state"] == "ok"
    assert found["backends.orthanc"] == {
        "what": "backends.orthanc",
        "where": "http://127.0.0.1:1",
        "state": "FAILED",
        "says": "Orthanc refuses connections",
        "remedy": "Start Orthanc, or correct url of [backends.orthanc]: its port is Orthanc's HttpPort.",
    }


def test_it_changes_nothing(config: Path) -> None:
    run(*quiet(config))
    assert list(config.parent.iterdir()) == [config]
