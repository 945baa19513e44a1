"""Order within a backlog: one at a time of each UID, and nobody waits for somebody else's pause."""

from proxy.spool.backlog import Backlog, Item
from proxy.spool.names import Name
from proxy.spool.waiting import Waiting


def item(uid: str, number: int = 1, size: int = 10, since: float = 0.0) -> Item:
    waiting = Waiting(Name("1", "2", uid, number), f"{uid}-{number}", size, "main", "CT", "1.2", "CT", 0.0)
    return Item(waiting, {"orthanc"}, since)


def test_instances_of_one_uid_go_one_after_the_other_in_order_of_arrival() -> None:
    backlog = Backlog()
    first, second, third, other = item("9", 1), item("9", 2), item("9", 3), item("8")
    for one in (first, third, other, second):  # the second was found later than the third was told
        backlog.add(one)
    assert [backlog.take(0), backlog.take(0), backlog.take(0)] == [first, other, None]
    backlog.done(first)
    assert backlog.take(0) is second
    backlog.again(second, 5)
    assert backlog.take(4.9) is None
    assert backlog.next_at() == 5
    assert backlog.take(5) is second
    backlog.done(second)
    assert backlog.take(5) is third
    assert (backlog.count, backlog.bytes) == (2, 20)


def test_a_pausing_instance_holds_nobody_else_up() -> None:
    backlog = Backlog()
    poison = item("1")
    backlog.add(poison)
    backlog.add(item("2"))
    taken = backlog.take(0)
    assert taken is poison
    backlog.again(poison, 100)
    other = backlog.take(0)
    assert other is not None
    assert other.waiting.id == "2-1"


def test_when_the_target_works_again_nobody_needs_to_pause() -> None:
    backlog = Backlog()
    for uid in "123":
        backlog.add(item(uid))
        taken = backlog.take(0)
        assert taken is not None
        backlog.again(taken, 1000)
    backlog.hurry()
    assert [backlog.take(0) is not None for _ in range(4)] == [True, True, True, False]
    assert backlog.next_at() is None


def test_counts_and_age_end_at_nothing() -> None:
    backlog = Backlog()
    one, two = item("1", since=3.0), item("2", since=4.0)
    backlog.add(one)
    backlog.add(two)
    assert backlog.oldest() == 3.0
    for _ in range(2):
        taken = backlog.take(0)
        assert taken is not None
        backlog.done(taken)
    assert (backlog.count, backlog.bytes, backlog.oldest(), list(backlog)) == (0, 0, None, [])
