from itertools import pairwise

from proxy.admin.facts import AdvisedStory
from proxy.admin.lanes import WIDTH, bars
from proxy.admin.stories import Story

NOW = 10_000.0


def story(opened, ended=None, state="released", failures=0):
    return AdvisedStory(
        Story("", "A->B(1)", "A", "B", "", opened, ended=ended, state=state, failures=failures), "", "", []
    )


def test_a_bar_spans_the_life_of_its_association():
    [bar] = bars([story(NOW - 300, NOW - 240)], NOW)
    assert (bar.x, bar.width, bar.lane, bar.state) == (500.0, 100.0, 0, "released")


def test_an_open_one_reaches_until_now_and_one_opened_long_ago_begins_at_the_edge():
    [bar] = bars([story(NOW - 6000, state="open")], NOW)
    assert (bar.x, bar.width, bar.state) == (0.0, WIDTH, "open")


def test_those_before_the_window_are_not_drawn():
    assert bars([story(NOW - 900, NOW - 700)], NOW) == []


def test_the_shortest_can_be_seen_and_none_leaves_the_picture():
    [bar] = bars([story(NOW, NOW, state="refused")], NOW)
    assert bar.width >= 4
    assert bar.x + bar.width <= WIDTH


def test_those_at_the_same_time_lie_in_different_lanes_until_the_lanes_are_used_up():
    drawn = bars([story(NOW - 100 + number, NOW - 10) for number in range(30)], NOW)
    assert [bar.lane for bar in drawn[:10]] == list(range(10))
    assert {bar.lane for bar in drawn[10:]} == {9}


def test_none_overlaps_in_its_lane():
    drawn = bars([story(NOW - 500 + 7 * number, NOW - 480 + 7 * number) for number in range(60)], NOW)
    for lane in {bar.lane for bar in drawn}:
        for left, right in pairwise(bar for bar in drawn if bar.lane == lane):
            assert left.x + left.width <= right.x


def test_failures_inside_colour_the_bar():
    assert bars([story(NOW - 60, NOW - 30, failures=2)], NOW)[0].state == "failed"
    assert bars([story(NOW - 60, NOW - 30, state="protocol error")], NOW)[0].state == "protocol"
