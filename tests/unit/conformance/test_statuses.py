"""The statement's statuses are those that are answered, all of them."""

import re
from pathlib import Path

import pytest

import proxy
from proxy.config import LimitsSettings, Pipeline
from proxy.conformance.statuses import COMMANDS, answers, failure_reasons, rejections, taken
from proxy.dicom.commitment import Reason
from proxy.dicom.status import STORE_WARNINGS, Status

PIPELINE = Pipeline(services=["echo", "find", "get", "move", "store", "commitment"], access="list", archives=["PACS"])
LIMITS = LimitsSettings(results=50)


def stated(command: str, pipeline: Pipeline = PIPELINE, limits: LimitsSettings = LIMITS) -> dict[int, str]:
    return {answer.status: answer.cause for answer in answers(command, pipeline, limits)}


def test_every_status_that_the_program_names_is_stated_for_some_operation() -> None:
    """Read off the sources: a status that a service begins to answer must not be missing here."""
    sources = [path.read_text(encoding="utf-8") for path in Path(proxy.__file__).parent.rglob("*.py")]
    used = {Status[name] for source in sources for name in re.findall(r"Response\((?:status=)?Status\.(\w+)", source)}
    assert len(used) > 10
    assert used <= set().union(*(stated(command) for command in COMMANDS.values()))


def test_success_comes_first_then_pending_and_cancel() -> None:
    assert [answer.status for answer in answers("C-GET", PIPELINE, LIMITS)][:3] == [0x0000, 0xFF00, 0xFE00]


@pytest.mark.parametrize("command", COMMANDS.values())
def test_each_status_stands_once_and_has_words_and_a_cause(command: str) -> None:
    rows = answers(command, PIPELINE, LIMITS)
    assert len({row.status for row in rows}) == len(rows)
    for row in rows:
        assert row.cause
        assert row.meaning != "Failure", f"{row.status:04X} has no words of its own"


def test_what_cannot_happen_in_this_configuration_is_not_stated() -> None:
    mild = Pipeline(services=["find", "move", "store"])
    assert 0x0124 in stated("C-FIND")
    assert 0x0124 not in stated("C-FIND", mild)
    assert "more than 50 matches" in stated("C-FIND")[0xA700]
    assert "matches" not in stated("C-FIND", mild, LimitsSettings())[0xA700]
    assert "archives" in stated("C-MOVE")[0xA702]
    assert "archives" not in stated("C-MOVE", mild)[0xA702]


@pytest.mark.parametrize(
    ("mode", "fallback", "refused", "away"),
    [("spool", "refuse", False, False), ("through", "refuse", True, True), ("through", "spool", True, False)],
)
def test_a_store_depends_on_orthanc_only_where_it_passes_through(
    mode: str, fallback: str, refused: bool, away: bool
) -> None:
    pipeline = Pipeline.model_validate({"services": ["store"], "store_mode": mode, "through_fallback": fallback})
    told = stated("C-STORE", pipeline)
    assert (0xC010 in told) is refused
    assert ("Orthanc cannot be reached" in told[0xA700]) is away
    assert ("confirmed" in told[0x0000]) is (mode == "through")


def test_warnings_of_receivers_count_as_warnings() -> None:
    counted = {one.status: one.counts_as for one in taken()}
    assert {status for status, how in counted.items() if how == "warning"} == STORE_WARNINGS
    assert {status for status, how in counted.items() if how == "completed"} == {0x0000, 0x0111}


def test_every_failure_reason_is_explained() -> None:
    assert {one.status for one in failure_reasons()} == set(Reason)


def test_every_rejection_has_words() -> None:
    assert all(one.meaning != "reserved reason" and one.cause for one in rejections(LIMITS))
    assert len({(one.result, one.source, one.reason) for one in rejections(LIMITS)}) == len(rejections(LIMITS))
