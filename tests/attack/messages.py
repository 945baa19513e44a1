"""Attacks with presentation data values and command sets (PS3.7, PS3.8 annex E)."""

import struct
from collections.abc import Callable, Mapping

from tests.attack.kit import Attack, Victim, expect_end, expect_end_or_status
from tests.support import raw
from tests.support.raw import (
    C_CANCEL,
    C_ECHO,
    C_FIND,
    C_STORE,
    CT,
    IMPLICIT,
    NO_DATA,
    P_DATA,
    STUDY_FIND,
    VERIFICATION,
    Ended,
    command,
    element,
    message,
    pdu,
    pdv,
)

_MIB = 1 << 20
_ECHO = command(C_ECHO)
_FIND_CONTEXT = (1, STUDY_FIND, (IMPLICIT,))
_ECHO_CONTEXT = (3, VERIFICATION, (IMPLICIT,))


def _then_ends(data: bytes, *contexts: raw.Context) -> Callable[[Victim], None]:
    def attack(victim: Victim) -> None:
        peer = victim.associate(*contexts)
        peer.send(data)
        expect_end(peer, victim.patience, "aborted", "closed", "reset")

    return attack


def _then_ends_or_fails(data: bytes, *contexts: raw.Context) -> Callable[[Victim], None]:
    """Either an abort, or a failure status: anything but success."""

    def attack(victim: Victim) -> None:
        peer = victim.associate(*contexts)
        peer.send(data)
        expect_end_or_status(peer, victim.patience, 0x0110, 0x0122, 0x0211, 0x0212, 0xA900, 0xC000, 0xC001)

    return attack


_ENDS: Mapping[str, bytes] = {
    "a PDV of length 0": pdu(P_DATA, struct.pack(">L", 0)),
    "a PDV of length 1": pdu(P_DATA, struct.pack(">LB", 1, 1)),
    "a PDV longer than its PDU": pdu(P_DATA, pdv(1, 3, _ECHO, 60000)),
    "a PDV header that is cut off": pdu(P_DATA, b"\0\0\0"),
    "a context ID that was not accepted": message(251, _ECHO),
    "an even context ID": message(2, _ECHO),
    "a data set before any command": pdu(P_DATA, pdv(1, 2, b"\0" * 20)),
    "noise for a command set": pdu(P_DATA, pdv(1, 3, bytes(range(7, 90)))),
    "a command set that is cut off": pdu(P_DATA, pdv(1, 3, _ECHO[:-5])),
    "a command set whose elements overrun": pdu(P_DATA, pdv(1, 3, element(0x00000002, b"1.2", 0x7FFFFFFF))),
    "a command set without a command field": pdu(P_DATA, pdv(1, 3, element(0x00000800, struct.pack("<H", NO_DATA)))),
    "an empty command set": pdu(P_DATA, pdv(1, 3, b"")),
    "a command set of group 0008": pdu(P_DATA, pdv(1, 3, element(0x00080018, b"1.2.3.4") * 5)),
    "an announced data set that never comes": message(1, command(C_ECHO, data=True)),
    "a command where a data set was announced": message(1, command(C_ECHO, data=True)) + message(1, _ECHO),
}


def _endless(control: int, before: bytes, *contexts: raw.Context) -> Callable[[Victim], None]:
    def attack(victim: Victim) -> None:
        peer = victim.associate(*contexts)
        peer.send(before)
        block = pdu(P_DATA, pdv(1, control, bytes(16000))) * 32
        taken = peer.pump(block, 96 * _MIB)
        expect_end(peer, victim.patience)
        assert taken < 64 * _MIB, f"{taken >> 20} MB of it were taken"

    return attack


def _empty_fragments(victim: Victim) -> None:
    peer = victim.associate()
    peer.pump(pdu(P_DATA, pdv(1, 1, b"")) * 5000, 16 * _MIB, timeout=1.0)
    expect_end(peer, victim.patience)


def _fragments_of_one_byte(victim: Victim) -> None:
    """Legal, and must be answered."""
    peer = victim.associate()
    peer.send(message(1, _ECHO, size=1))
    assert peer.message(victim.patience).status == 0


def _many_pdvs_in_one_pdu(victim: Victim) -> None:
    """Legal, and must be answered."""
    peer = victim.associate()
    parts = [pdv(1, 1, _ECHO[at : at + 4]) for at in range(0, len(_ECHO) - 4, 4)]
    peer.send(pdu(P_DATA, b"".join(parts) + pdv(1, 3, _ECHO[len(parts) * 4 :])))
    assert peer.message(victim.patience).status == 0


def _interleaved_contexts(victim: Victim) -> None:
    peer = victim.associate(_FIND_CONTEXT, _ECHO_CONTEXT)
    find = command(C_FIND, sop_class=STUDY_FIND, data=True)
    peer.send(pdu(P_DATA, pdv(1, 1, find[:20])) + message(3, _ECHO) + pdu(P_DATA, pdv(1, 3, find[20:])))
    expect_end(peer, victim.patience)


def _reserved_control_bits(victim: Victim) -> None:
    """Bits 2 to 7 of the message control header are not tested (PS3.8 E.2)."""
    peer = victim.associate()
    peer.send(pdu(P_DATA, pdv(1, 0xFF, _ECHO)))
    assert peer.message(victim.patience).status == 0


def _unknown_commands(victim: Victim) -> None:
    for field in (0x9999, 0x0140, 0x0150, 0x0110, 0x0120, 0x0002):
        peer = victim.associate()
        peer.send(message(1, command(field)))
        expect_end_or_status(peer, victim.patience, 0x0110, 0x0211, 0x0122, 0x0112, 0x0118, 0xA900)


def _event_reports(victim: Victim) -> None:
    """500 reports nobody expects, on a context that was accepted; no thread for each."""
    peer = victim.associate()
    tail = element(0x00001000, b"1.2.3") + element(0x00001002, struct.pack("<H", 1))
    peer.send(b"".join(message(1, command(0x0100, message_id=n, extra=tail)) for n in range(500)))


def _unasked_responses(victim: Victim) -> None:
    for field in (C_ECHO | 0x8000, C_STORE | 0x8000, 0x8110):
        peer = victim.associate()
        peer.send(message(1, command(field, answers=7, extra=element(0x00000900, struct.pack("<H", 0)))))
        try:
            assert peer.echo(victim.patience) == 0  # ignored
        except (Ended, TimeoutError):
            assert peer.ending(victim.patience) != "open", "neither ignored nor ended"


def _cancels_without_request(victim: Victim) -> None:
    peer = victim.associate(_FIND_CONTEXT, _ECHO_CONTEXT)
    cancel = raw.element(0x00000100, struct.pack("<H", C_CANCEL)) + element(0x00000120, struct.pack("<H", 99))
    cancel += element(0x00000800, struct.pack("<H", NO_DATA))
    peer.send(message(1, element(0x00000000, struct.pack("<L", len(cancel))) + cancel) * 200)
    peer.send(message(3, _ECHO))
    assert peer.message(victim.patience).status == 0, "a C-CANCEL too late must be ignored"


def _message_ids(victim: Victim) -> None:
    """The same message id again, and the extreme ones: each is a request of its own."""
    peer = victim.associate()
    for message_id in (1, 1, 1, 0, 65535):
        peer.send(message(1, command(C_ECHO, message_id=message_id)))
        answer = peer.message(victim.patience)
        assert raw.us(answer.command[0x00000120]) == message_id


def _release_behind_a_request(victim: Victim) -> None:
    peer = victim.associate()
    peer.send(message(1, _ECHO) + raw.RELEASE)
    assert peer.ending(victim.patience) in ("released", "aborted 2/0", "aborted 0/0")


ATTACKS = [
    *(Attack(f"P-DATA with {name}", _then_ends(data)) for name, data in _ENDS.items()),
    Attack("a command set without end", _endless(1, b"")),
    Attack(
        "an identifier without end",
        _endless(0, message(1, command(C_FIND, sop_class=STUDY_FIND, data=True)), _FIND_CONTEXT),
    ),
    Attack("empty fragments without end", _empty_fragments),
    Attack("a message in fragments of one byte", _fragments_of_one_byte),
    Attack("a message in one PDU of many values", _many_pdvs_in_one_pdu),
    Attack("messages of two contexts interleaved", _interleaved_contexts),
    Attack("reserved bits of the message control header", _reserved_control_bits),
    Attack("unknown commands", _unknown_commands),
    Attack("500 event reports", _event_reports),
    Attack("responses nobody asked for", _unasked_responses),
    Attack("cancels of nothing", _cancels_without_request),
    Attack("message ids used again", _message_ids),
    Attack("a release right behind a request", _release_behind_a_request),
    Attack(
        "a C-FIND on a Verification context",
        _then_ends_or_fails(message(1, command(C_FIND, sop_class=STUDY_FIND, data=True), b"")),
    ),
    Attack(
        "a C-STORE on a Verification context",
        _then_ends_or_fails(message(1, raw.store_command(CT, "1.2.3"), element(0x00080016, raw.uid(CT)))),
    ),
]
