from proxy import events
from proxy.admin.stories import Stories

NAMES = {"association_id": "a1", "label": "WS1->X(1)", "calling_aet": "WS1", "pipeline": "p"}


def opened(stories, at=1.0, **changes):
    stories.opened(events.AssociationOpened(at=at, called_aet="X", address="192.0.2.1", **(NAMES | changes)))


def ended(stories, at=9.0, how="released", why="", **changes):
    stories.ended(
        events.AssociationEnded(at=at, called_aet="X", how=how, why=why, duration=1, operations=1, **(NAMES | changes))
    )


def operation(stories, **changes):
    fields = {"command": "C-STORE", "message_id": 1, "status": 0, "bytes": 10, "duration": 0.5}
    stories.operation(events.OperationEnded(at=2.0, **NAMES, **(fields | changes)))


def refused(stories, at=1.0, why="no"):
    stories.refused(
        events.AssociationRefused(
            at=at, calling_aet="WS7", called_aet="X", address="192.0.2.7", result=1, source=1, reason=3, why=why
        )
    )


def test_an_association_is_open_until_it_ends():
    stories = Stories()
    opened(stories)
    assert stories.latest()[0].state == "open"
    ended(stories, how="lost", why="connection reset")
    [story] = stories.latest()
    assert (story.state, story.why, story.ended) == ("lost", "connection reset", 9.0)


def test_the_same_operation_again_and_again_is_one_deed_with_a_count():
    stories = Stories()
    opened(stories)
    for _ in range(200):
        operation(stories)
    operation(stories, status=0xA700)
    operation(stories)
    [story] = stories.latest()
    assert [(deed.count, deed.bytes, deed.status) for deed in story.deeds] == [
        (200, 2000, 0),
        (1, 10, 0xA700),
        (1, 10, 0),
    ]
    assert (story.operations, story.failures) == (202, 1)


def test_a_story_tells_its_last_deeds_only():
    stories = Stories()
    opened(stories)
    for number in range(100):
        operation(stories, command="C-FIND", comment=str(number))
    assert len(stories.latest()[0].deeds) == 12


def test_the_same_refusal_again_is_counted():
    stories = Stories()
    for at in (1.0, 2.0, 3.0):
        refused(stories, at)
    refused(stories, 4.0, "another reason")
    second, first = stories.latest()
    assert (first.repeats, first.opened, first.ended) == (3, 1.0, 3.0)
    assert second.repeats == 1
    assert first.rejection == "calling AE title not recognized"


def test_refusals_do_not_hide_the_association_that_is_open():
    stories = Stories()
    opened(stories)
    for number in range(500):
        refused(stories, float(number), str(number))
    latest = stories.latest(60)
    assert len(latest) == 60
    assert latest[0].state == "open"


def test_an_operation_or_end_of_an_unknown_association_is_ignored():
    stories = Stories()
    operation(stories)
    ended(stories)
    assert stories.latest() == []


def test_what_is_given_out_does_not_change_afterwards():
    stories = Stories()
    opened(stories)
    operation(stories)
    [before] = stories.latest()
    operation(stories)
    assert before.deeds[0].count == 1


def test_associations_whose_end_is_never_told_are_bounded():
    stories = Stories(open_limit=5)
    for number in range(20):
        opened(stories, association_id=f"a{number}")
    assert len(stories.latest(100)) == 5
