"""The statement as a document: Annex N's order, nothing left out, and CONFORMANCE.md is what the program writes."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

import run
from proxy.config import Settings
from proxy.config.file import read
from proxy.conformance.document import markdown
from proxy.conformance.statement import Statement, statement_of

ROOT = Path(__file__).parents[3]
ALL = ["echo", "find", "get", "move", "store", "commitment"]


def statement(pipeline: dict[str, Any] | None = None, **tables: Any) -> Statement:
    backends = {"orthanc": {"url": "http://orthanc.example"}}
    pipelines = {"one": {"aet": "ONE", "services": ALL, **(pipeline or {})}}
    return statement_of(Settings.model_validate({"backends": backends, "pipelines": pipelines, **tables}))


def section(text: str, number: str) -> str:
    """What stands under the heading of that number, without its sub-sections."""
    found = re.search(rf"^#+ {re.escape(number)} .*\n((?:(?!#).*\n)*)", text, re.MULTILINE)
    assert found, f"there is no section {number}"
    return found[1]


def test_conformance_md_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make docs` writes it: the shipped configuration with all services on."""
    monkeypatch.chdir(ROOT)
    key, _, services = run.ALL_SERVICES.partition("=")
    loaded = read(Path("config/config.toml"), {}, {key: services}, secrets=Path("none"))
    made = statement_of(loaded.settings, origins=[*map(str, loaded.files), f"--set {key}"])
    assert sorted(loaded.settings.pipelines["dicom_scp"].services) == sorted(ALL)
    assert Path("CONFORMANCE.md").read_text(encoding="utf-8") == markdown(made), "run `make docs`"


def test_the_chapters_are_those_of_annex_n() -> None:
    found = re.findall(r"^## (.+)$", markdown(statement()), re.MULTILINE)
    assert found == [
        "1 Overview",
        "2 Table of contents",
        "3 Introduction",
        "4 Implementation model",
        "5 Service and interoperability description",
        "6 Configuration",
        "7 Network and media communication details",
        "8 Security",
        "Annex A.A: Information Object Definitions",
        "Annex A.B: Structured Report content encoding",
        "Annex A.C: Security details",
        "Annex A.D: Mapping of attributes",
        "Annex A.E: Code set usage",
    ]


def test_sections_are_numbered_without_a_gap() -> None:
    for services in (ALL, ["echo"], ["find", "store"]):
        numbers = [
            tuple(map(int, number.split(".")))
            for number in re.findall(r"^#+ ([\d.]+) ", markdown(statement({"services": services})), re.MULTILINE)
        ]
        for before, number in itertools.pairwise(numbers):
            up = number[:-1] == before[: len(number) - 1] and number[-1] == (*before, 0)[len(number) - 1] + 1
            assert up, f"{number} comes after {before}"


def test_every_link_leads_to_a_heading() -> None:
    text = markdown(statement())
    anchors = {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text, re.M)
    }
    links = re.findall(r"\]\(#([^)]+)\)", text)
    assert links
    assert set(links) <= anchors


def test_every_status_and_every_context_of_the_statement_is_in_the_document() -> None:
    made = statement({"access": "orthanc", "unknown_sop_classes": True})
    text = markdown(made)
    for entity in made.entities:
        for group in (*entity.accepts, *entity.proposes):
            for one in (*group.sop_classes, *group.transfer_syntaxes):
                assert one.uid in text
        for operation in entity.operations:
            for answer in operation.answers:
                assert f"| {answer.status:04X} | {answer.meaning} | " in text


def test_a_service_that_is_off_is_said_to_be() -> None:
    text = markdown(statement({"services": ["echo", "find"]}))
    for number in ("5.2.5.1", "5.2.5.2", "5.2.6"):
        assert section(text, number).strip() == "Not supported."
    assert section(text, "5.2.7").strip() != "Not supported."
    assert "C-STORE (SCP)" not in text
    assert "| Retrieve (C-GET) | - |" in text


def test_what_is_configured_is_told() -> None:
    made = markdown(
        statement(
            {"access": "orthanc", "move_strategy": "orthanc-store", "archives": ["PACS"], "store_mode": "through"},
            destinations={"WS": {"aet": "WS_AET", "host": "ws.example", "port": 105, "tls": True}},
            listener={"bind_port": 4242, "check_called_aet": False, "tls": {"certificate": "x.pem", "bind_port": 2762}},
            limits={"suboperations": 4711},
        )
    )
    text = " ".join(made.split())
    assert "whoever Orthanc's DicomModalities allow" in text
    assert "| WS_AET | ws.example | 105 | yes |" in text
    assert "| ONE | 0.0.0.0 | 4242 |" in text
    assert "an unknown one goes to the first AE" in text
    assert "archives behind it: PACS" in text
    assert "more than 4711 instances" in text
    assert "| 2762 | DICOM over TLS, accepted |" in text
    assert "it forwards it, then answers" in text


def test_several_entities_have_a_section_each_and_share_the_lists() -> None:
    text = markdown(statement(pipelines={"a": {"aet": "A", "services": ALL}, "b": {"aet": "B", "services": ["get"]}}))
    assert "#### 7.2.2 B Application Entity" in text
    assert "#### 7.2.3 Lists of SOP classes and transfer syntaxes" in text
    assert text.count("| CT Image Storage | 1.2.840.10008.5.1.4.1.1.2 |") == 1
