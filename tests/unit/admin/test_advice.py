import pytest

from proxy.admin import advice
from proxy.admin.stories import Deed, Story


def deed(status, command="C-MOVE", failed=0):
    return Deed(0.0, command, "STUDY", "", status, "", failed=failed)


@pytest.mark.parametrize(
    ("failure", "word"),
    [
        (deed(0xA801), "[destinations]"),
        (deed(0xA702), "echo button"),
        (deed(0xA702, "C-GET"), "presentation context"),
        (deed(0xA700, "C-FIND"), "Orthanc"),
        (deed(0xA700, "C-STORE"), "Spool"),
        (deed(0x0124), "rules"),
    ],
)
def test_failures_come_with_what_can_be_done(failure, word):
    assert word in advice.for_deed(failure)


def test_success_needs_no_advice():
    assert advice.for_deed(deed(0)) == ""


@pytest.mark.parametrize(
    ("source", "reason", "word"),
    [(1, 3, "calling AE title"), (1, 7, "called AE title"), (1, 1, "address"), (3, 2, "limits"), (3, 1, "again later")],
)
def test_rejections_come_with_what_can_be_done(source, reason, word):
    story = Story("", "A->B", "A", "B", "", 0.0, state="refused", result=1, source=source, reason=reason)
    assert word in advice.for_story(story)


def test_a_refusal_that_names_its_remedy_gets_no_second_one():
    why = "no pipeline has that AE title; add one"
    assert (
        advice.for_story(Story("", "A->B", "A", "B", "", 0.0, state="refused", why=why, result=1, source=1, reason=7))
        == ""
    )


def test_a_connection_turned_away_may_be_a_health_check_of_a_load_balancer():
    assert "/readyz" in advice.for_story(
        Story("", "?->?", "", "", "", 0.0, state="refused", why="no request; it was EOF")
    )


def test_a_normal_end_needs_no_advice():
    assert advice.for_story(Story("", "A->B", "A", "B", "", 0.0, state="released")) == ""
    assert "firewall" in advice.for_story(Story("", "A->B", "A", "B", "", 0.0, state="timeout"))
