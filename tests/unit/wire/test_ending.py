"""The exception that ends an association is also the lost receiver that services know."""

from proxy.errors import ReceiverLost
from proxy.wire.ending import Ending


def test_services_see_a_lost_receiver() -> None:
    ending = Ending("timeout", "no message for too long", b"parting")
    assert isinstance(ending, ReceiverLost)
    assert (ending.how, ending.why, ending.parting) == ("timeout", "no message for too long", b"parting")
    assert ending.comment == "no message for too long"


def test_a_comment_stays_short_and_the_reason_whole() -> None:
    why = "x" * 200
    assert (len(Ending("lost", why).comment), Ending("lost", why).why) == (64, why)


def test_nothing_is_left_to_say_unless_told() -> None:
    assert Ending("lost", "").parting == b""
