"""Attacks on C-GET from the receiving side: vanish, stall, lie, stay silent (PS3.4 C.4.3)."""

import struct

from tests.attack.kit import Attack, Victim, expect_end
from tests.support import raw
from tests.support.raw import (
    ABORT,
    C_CANCEL,
    C_GET,
    C_STORE,
    CT,
    EXPLICIT,
    IMPLICIT,
    NO_DATA,
    SECONDARY_CAPTURE,
    STUDY_GET,
    Ended,
    Message,
    Peer,
    command,
    element,
    message,
    pdu,
    store_response,
)

_CONTEXTS = ((1, STUDY_GET, (IMPLICIT,)), (3, CT, (EXPLICIT,)), (5, SECONDARY_CAPTURE, (EXPLICIT,)))


def _ask(victim: Victim, study: str, *, max_pdu: int = 16384, receive_buffer: int | None = None) -> Peer:
    peer = victim.connect(receive_buffer=receive_buffer) if receive_buffer else victim.connect()
    peer.associate(victim.aet, _CONTEXTS, max_pdu=max_pdu, roles=[CT, SECONDARY_CAPTURE])
    identifier = element(0x00080052, "STUDY") + element(0x0020000D, raw.uid(study))
    peer.send(message(1, command(C_GET, sop_class=STUDY_GET, data=True), identifier))
    return peer


def _next_store(peer: Peer, timeout: float) -> Message:
    """The next C-STORE request; Pendings in between are passed over."""
    while True:
        received = peer.message(timeout)
        if received.field == C_STORE:
            return received
        assert received.status in (0xFF00, 0xFF01), f"final status {received.status:04X} instead of a C-STORE"


def _uids(request: Message) -> tuple[str, str, int]:
    return (
        request.command[0x00000002].decode(),
        request.command[0x00001000].decode(),
        raw.us(request.command[0x00000110]),
    )


def _vanish(victim: Victim) -> None:
    for number in range(6):
        peer = _ask(victim, victim.study_uid)
        _next_store(peer, victim.patience)
        (peer.reset, peer.close)[number % 2]()


def _vanish_at_once(victim: Victim) -> None:
    for _ in range(10):
        _ask(victim, victim.bulk_uid).reset()


def _abort(victim: Victim) -> None:
    peer = _ask(victim, victim.study_uid)
    _next_store(peer, victim.patience)
    peer.send(pdu(ABORT, bytes(4)))
    expect_end(peer, victim.patience, "closed", "reset")


def _stop_reading(victim: Victim) -> None:
    """A window of a few kB and nobody who reads: others go on, and in time the association is ended."""
    peers = [_ask(victim, victim.bulk_uid, receive_buffer=4096) for _ in range(4)]
    assert raw.echo(victim.port, victim.aet) < 2
    other = _ask(victim, victim.study_uid)
    assert _answer_all(other, victim) == (0x0000, victim.count)
    del peers


def _answer_all(peer: Peer, victim: Victim) -> tuple[int, int]:
    """Take everything; the final status and how many came."""
    stores = 0
    while True:
        received = peer.message(victim.patience)
        if received.field == C_STORE:
            stores += 1
            sop_class, instance, message_id = _uids(received)
            peer.send(message(received.context_id, store_response(sop_class, instance, answers=message_id)))
        elif received.status not in (0xFF00, 0xFF01):
            return received.status, stores


def _never_answer(victim: Victim) -> None:
    peer = _ask(victim, victim.study_uid)
    _next_store(peer, victim.patience)
    _expect_no_success(peer, victim)


def _expect_no_success(peer: Peer, victim: Victim) -> None:
    """An end, or a final response that does not claim success."""
    try:
        while True:
            received = peer.message(victim.patience)
            if received.field == C_STORE or received.status in (0xFF00, 0xFF01):
                continue
            assert received.status != 0x0000, "claims success"
            return
    except Ended:
        return
    except TimeoutError:
        raise AssertionError("neither status nor end in time") from None


def _answer_another_message(victim: Victim) -> None:
    peer = _ask(victim, victim.study_uid)
    request = _next_store(peer, victim.patience)
    sop_class, instance, message_id = _uids(request)
    peer.send(message(request.context_id, store_response(sop_class, instance, answers=message_id ^ 0x55)))
    _expect_no_success(peer, victim)


def _answer_another_instance(victim: Victim) -> None:
    """The message id tells what is answered (PS3.7 9.3.1.2); the UID, which may be absent, need not be looked at."""
    peer = _ask(victim, victim.study_uid)
    try:
        while (received := peer.message(victim.patience)).field == C_STORE or received.status in (0xFF00, 0xFF01):
            if received.field == C_STORE:
                sop_class, _, message_id = _uids(received)
                peer.send(message(received.context_id, store_response(sop_class, "1.2.3", answers=message_id)))
    except TimeoutError:
        raise AssertionError("no final response") from None
    except Ended:
        return


def _answer_twice(victim: Victim) -> None:
    peer = _ask(victim, victim.study_uid)
    request = _next_store(peer, victim.patience)
    sop_class, instance, message_id = _uids(request)
    answer = message(request.context_id, store_response(sop_class, instance, answers=message_id))
    peer.send(answer * 3)
    _expect_no_success(peer, victim)


def _release_instead(victim: Victim) -> None:
    peer = _ask(victim, victim.study_uid)
    _next_store(peer, victim.patience)
    peer.send(raw.RELEASE)
    expect_end(peer, victim.patience)


def _request_instead(victim: Victim) -> None:
    """Another request before the first is done: asynchronous operations were never negotiated."""
    peer = _ask(victim, victim.study_uid)
    _next_store(peer, victim.patience)
    peer.send(message(1, command(C_GET, sop_class=STUDY_GET, message_id=2, data=True), element(0x00080052, "STUDY")))
    _expect_no_success(peer, victim)


def _cancel(victim: Victim) -> None:
    peer = _ask(victim, victim.study_uid)
    request = _next_store(peer, victim.patience)
    cancel = element(0x00000100, struct.pack("<H", C_CANCEL)) + element(0x00000120, struct.pack("<H", 1))
    cancel += element(0x00000800, struct.pack("<H", NO_DATA))
    peer.send(message(1, element(0x00000000, struct.pack("<L", len(cancel))) + cancel))
    sop_class, instance, message_id = _uids(request)
    peer.send(message(request.context_id, store_response(sop_class, instance, answers=message_id)))
    status, stores = _answer_all(peer, victim)
    assert status == 0xFE00, f"status {status:04X} instead of FE00"
    assert stores <= 2, f"{stores} more instances came"


def _no_context_for_it(victim: Victim) -> None:
    peer = victim.associate((1, STUDY_GET, (IMPLICIT,)))
    identifier = element(0x00080052, "STUDY") + element(0x0020000D, raw.uid(victim.study_uid))
    peer.send(message(1, command(C_GET, sop_class=STUDY_GET, data=True), identifier))
    final = peer.answers(victim.patience)[-1]
    assert final.status in (0xA702, 0xB000), f"status {final.status:04X}"


ATTACKS = [
    Attack("requestors that vanish within a C-GET", _vanish, "retrieve"),
    Attack("requestors that vanish right after a C-GET", _vanish_at_once, "retrieve"),
    Attack("an abort within a C-GET", _abort, "retrieve"),
    Attack("receivers that stop reading", _stop_reading, "retrieve", slow=True),
    Attack("a receiver that never answers a C-STORE", _never_answer, "retrieve"),
    Attack("a receiver that answers another message id", _answer_another_message, "retrieve"),
    Attack("a receiver that answers for another instance", _answer_another_instance, "retrieve"),
    Attack("a receiver that answers three times", _answer_twice, "retrieve"),
    Attack("a release within a C-GET", _release_instead, "retrieve"),
    Attack("another request within a C-GET", _request_instead, "retrieve"),
    Attack("a C-CANCEL within a C-GET", _cancel, "retrieve"),
    Attack("a C-GET without a storage context", _no_context_for_it, "retrieve"),
]
