import httpx
import pytest

from proxy.admin import advice
from proxy.admin.stories import Deed, Story
from proxy.config import SpoolSettings
from proxy.errors import OrthancRefused
from proxy.orthanc.answers import checked, value_of
from proxy.orthanc.bulk import words_for
from proxy.spool.room import lack_of_room


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


def refusal(act):
    with pytest.raises(OrthancRefused) as caught:
        act()
    return caught.value.comment


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (lambda: refusal(lambda: checked(401, b"")), "username and password of [backends.main]"),
        (lambda: refusal(lambda: value_of(b"<html>", dict)), "Another program"),
        (lambda: words_for(httpx.ConnectError("[Errno 111] Connection refused")), "HttpPort"),
        (lambda: words_for(httpx.ConnectError("[Errno -2] Name or service not known")), "name service"),
        (lambda: words_for(httpx.ReadTimeout("timed out")), "overloaded"),
        (lambda: words_for(httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]")), "verify"),
    ],
)
def test_an_orthanc_that_is_not_available_comes_with_what_can_be_done(words, remedy):
    assert remedy in advice.for_backend("main", words())


def test_an_orthanc_that_was_not_asked_yet_needs_no_advice():
    assert advice.for_backend("main", "not asked yet") == ""


@pytest.mark.parametrize(
    ("lack", "setting"),
    [
        ({"used": 1 << 50, "count": 1, "free": 1 << 50}, "max_bytes"),
        ({"used": 0, "count": 1, "free": 1}, "min_free_bytes"),
        ({"used": 0, "count": 1 << 30, "free": 1 << 50}, "max_instances"),
    ],
)
def test_a_full_spool_comes_with_the_setting_that_bounds_it(lack, setting):
    assert f"[spool] {setting}" in advice.for_spool(lack_of_room(SpoolSettings(), wanted=1, **lack))
