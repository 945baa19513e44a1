"""From settings to what is served."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from proxy.config import Settings
from proxy.dicom.contexts import TRANSFER_SYNTAXES
from proxy.errors import ConfigError
from proxy.journal import Journal
from proxy.scp.application import ServedPipeline
from proxy.services.destinations import MoveDestination
from proxy.tls import destination_context
from proxy.worker import pipelines as pipelines_module
from proxy.worker.pipelines import Doors, Workshop, _Opener


def settings(storage: Path, **changes: Any) -> Settings:
    return Settings.model_validate(
        {
            "backends": {"orthanc": {"url": "http://127.0.0.1:1", "retries": 1, "connect_timeout": 0.2}},
            "storage": {"path": str(storage)},
            **changes,
        }
    )


@pytest.fixture
def opened() -> Iterator[list[Doors]]:
    doors: list[Doors] = []
    yield doors
    for one in doors:
        one.close()


def served(opened: list[Doors], storage: Path, **changes: Any) -> dict[str, ServedPipeline]:
    chosen = settings(storage, **changes)
    opened.append(Doors.open(chosen, Journal()))
    return {one.name: one for one in Workshop(opened[-1], Journal()).pipelines(chosen)}


def test_each_pipeline_answers_its_own_services_and_no_others(opened: list[Doors], tmp_path: Path) -> None:
    made = served(
        opened,
        tmp_path,
        pipelines={
            "reading": {"aet": "READ", "services": ["echo", "find", "get", "move"]},
            "intake": {"aet": "INTAKE", "services": ["echo", "store", "commitment"]},
        },
    )
    assert list(made) == ["reading", "intake"]
    assert set(made["reading"].services.answers) == {"echo", "find", "get", "move"}
    assert made["reading"].services.receive is None
    assert set(made["intake"].services.answers) == {"echo", "commitment"}
    assert made["intake"].services.receive is not None


def test_with_orthanc_away_all_that_we_know_ourselves_is_negotiated_without_waiting(
    opened: list[Doors], tmp_path: Path
) -> None:
    made = served(opened, tmp_path, pipelines={"main": {"aet": "MAIN", "unknown_sop_classes": True}})
    supported = made["main"].supported()
    assert supported.transfer_syntaxes == TRANSFER_SYNTAXES
    assert supported.unknown_sop_classes
    assert list(made["main"].modalities()) == []


def test_a_certificate_that_is_none_is_a_mistake_in_the_configuration(opened: list[Doors], tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    with pytest.raises(ConfigError, match=r"destinations\.ws\.ca"):
        served(
            opened,
            tmp_path / "storage",
            destinations={"ws": {"aet": "WS", "host": "ws", "tls": True, "ca": str(rubbish)}},
        )


@pytest.mark.parametrize("wire", ["fast", "stock"])
def test_destinations_are_spoken_to_on_the_wire_that_the_listener_uses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wire: str
) -> None:
    used: list[tuple[str, Any]] = []
    for name in ("fast", "stock"):
        monkeypatch.setattr(
            pipelines_module, f"open_{name}_receiver", lambda address, name=name, **how: used.append((name, how))
        )
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(authority)
    chosen = settings(
        tmp_path,
        listener={"wire": wire, "max_pdu": 32768},
        destinations={
            "plain": {"aet": "PLAIN", "host": "a"},
            "safe": {"aet": "SAFE", "host": "b", "tls": True, "ca": str(authority)},
        },
    )
    contexts = {name: destination_context(name, entry) for name, entry in chosen.destinations.items()}
    opener = _Opener(chosen, contexts)
    for destination in (
        MoveDestination("PLAIN", "a", 104, name="plain"),
        MoveDestination("SAFE", "b", 104, name="safe", tls=True),
        MoveDestination("ORTHANCS", "c", 104, tls=True),
    ):
        opener(destination, calling_aet="MAIN", contexts=[], originator=("WS", 7))
    assert [name for name, _ in used] == [wire] * 3
    tls = [how["tls"] for _, how in used]
    assert tls[0] is None
    assert tls[1] is contexts["safe"]
    assert isinstance(tls[2], ssl.SSLContext), "one that only Orthanc knows is checked by the system's authorities"
    assert {(how["calling_aet"], how["originator"], how["max_pdu"]) for _, how in used} == {("MAIN", ("WS", 7), 32768)}
