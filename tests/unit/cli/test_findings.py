"""How findings are shown."""

import orjson
import pytest

from proxy.cli.findings import dump, show
from proxy.doctor.finding import Finding, State

WELL = Finding("disk", "/data", State.OK, "12 GB [free]")
BAD = Finding("peer", "A@b:104", State.FAILED, "it does not answer", "Start it.")


def test_the_table_has_remedies_only_where_something_is_not_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert show([WELL])
    told = capsys.readouterr().out
    assert "remedy" not in told
    assert "12 GB [free]" in told, "brackets are no markup"
    assert not show([WELL, BAD])
    assert "Start it." in capsys.readouterr().out


def test_warnings_and_what_was_skipped_are_no_failures(capsys: pytest.CaptureFixture[str]) -> None:
    assert show([Finding("a", "", State.WARNING, "hm"), Finding("b", "", State.SKIPPED, "not tried")])
    told = capsys.readouterr().out
    assert "warning" in told
    assert "skipped" in told


def test_json_says_first_whether_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert not dump([WELL, BAD])
    document = orjson.loads(capsys.readouterr().out)
    assert document["well"] is False
    assert document["findings"][1] == {
        "what": "peer",
        "where": "A@b:104",
        "state": "FAILED",
        "says": "it does not answer",
        "remedy": "Start it.",
    }
