"""Attacks by number: many connections, many associations, many requests at once."""

import contextlib

from tests.attack.kit import Attack, Victim
from tests.support import raw
from tests.support.raw import Ended, request


def _silent_crowd(victim: Victim) -> None:
    for _ in range(150):
        victim.connect()


def _crowd_of_half_requests(victim: Victim) -> None:
    for _ in range(150):
        victim.connect().send(request(victim.aet)[:50])


def _idle_associations(victim: Victim) -> None:
    for _ in range(50):
        victim.associate()


def _churn(victim: Victim) -> None:
    for number in range(300):
        peer = victim.connect()
        with contextlib.suppress(Ended):
            peer.associate(victim.aet)
            peer.echo()
        (peer.reset, peer.close, peer.release)[number % 3]()
        victim.peers.remove(peer)


def _one_too_many(victim: Victim) -> None:
    """More associations than are allowed: the rest is told to come later, and nobody is dropped."""
    refused = ""
    for _ in range(260):
        try:
            victim.associate()
        except Ended as ended:
            refused = str(ended)
            break
    assert refused, "there is no end to associations"
    assert refused.startswith("rejected 2/"), f"refused as {refused}: it should be transient"
    assert victim.peers[0].echo() == 0
    victim.forget()


def _requests_without_end(victim: Victim) -> None:
    """Echo requests pipelined while nobody reads the answers."""
    peer = victim.associate()
    block = raw.message(1, raw.command(raw.C_ECHO)) * 500
    peer.pump(block, 64 << 20, timeout=1.0)


ATTACKS = [
    Attack("150 silent connections", _silent_crowd),
    Attack("150 half requests", _crowd_of_half_requests),
    Attack("50 idle associations", _idle_associations),
    Attack("300 associations ended in three ways", _churn),
    Attack("more associations than are allowed", _one_too_many, slow=True),
    Attack("requests without end, answers unread", _requests_without_end, slow=True),
]
