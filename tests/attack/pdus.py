"""Attacks with PDUs: their lengths, their types, their pace (PS3.8 9.2 and 9.3)."""

import os
import time

from tests.attack.kit import Attack, Victim, expect_end
from tests.support import raw
from tests.support.raw import ABORT, AC, P_DATA, RELEASE, RELEASE_RP, RELEASE_RQ, RJ, RQ, pdu, request

_MIB = 1 << 20


def _first_bytes(data: bytes, *, allowed: tuple[str, ...] = ()):  # type: ignore[no-untyped-def]
    def attack(victim: Victim) -> None:
        peer = victim.connect()
        peer.send(data)
        expect_end(peer, victim.patience, *allowed)

    return attack


def _after_association(data: bytes, *, allowed: tuple[str, ...] = ("aborted", "closed", "reset")):  # type: ignore[no-untyped-def]
    def attack(victim: Victim) -> None:
        peer = victim.associate()
        peer.send(data)
        expect_end(peer, victim.patience, *allowed)

    return attack


def _announce_4_gib_as_request(victim: Victim) -> None:
    peer = victim.connect()
    peer.send(pdu(RQ, b"", 0xFFFFFFFF))
    taken = peer.pump(bytes(_MIB), 64 * _MIB)
    expect_end(peer, victim.patience)
    assert taken < 32 * _MIB, f"{taken >> 20} MB of it were taken"


def _announce_4_gib_as_data(victim: Victim) -> None:
    peer = victim.associate()
    peer.send(pdu(P_DATA, raw.pdv(1, 0, b"", 0xFFFFFFF0), 0xFFFFFFFF))
    taken = peer.pump(bytes(_MIB), 64 * _MIB)
    expect_end(peer, victim.patience)
    assert taken < 32 * _MIB, f"{taken >> 20} MB of it were taken"


def _more_than_negotiated(victim: Victim) -> None:
    peer = victim.associate()
    excess = max(peer.max_pdu, 16384) + _MIB * 2
    peer.send(pdu(P_DATA, raw.pdv(1, 1, bytes(excess))))
    expect_end(peer, victim.patience)


def _half_a_request(victim: Victim) -> None:
    peer = victim.connect()
    peer.send(request(victim.aet)[:40])
    expect_end(peer, victim.patience)


def _half_a_header(victim: Victim) -> None:
    peer = victim.connect()
    peer.send(b"\x01\x00\x00")
    expect_end(peer, victim.patience)


def _half_a_data_pdu(victim: Victim) -> None:
    peer = victim.associate()
    peer.send(raw.message(1, raw.command(raw.C_ECHO))[:30])
    expect_end(peer, victim.patience)


def _dripped_request(victim: Victim) -> None:
    peer = victim.connect()
    began = time.monotonic()
    sent = peer.drip(request(victim.aet), 0.3)
    assert sent < len(request(victim.aet)), "a byte every 0.3 s was waited for"
    assert time.monotonic() - began < 2 * victim.patience


def _dripped_data(victim: Victim) -> None:
    peer = victim.associate()
    message = raw.message(1, raw.command(raw.C_ECHO))
    assert peer.drip(message, 0.3) < len(message), "a byte every 0.3 s was waited for"


def _silence(victim: Victim) -> None:
    expect_end(victim.connect(), victim.patience)


def _silence_after_association(victim: Victim) -> None:
    expect_end(victim.associate(), victim.patience)


def _closed_at_once(victim: Victim) -> None:
    for _ in range(20):
        victim.connect().close()
        victim.connect().reset()


def _vanishing_at_every_byte(victim: Victim) -> None:
    whole = request(victim.aet) + raw.message(1, raw.command(raw.C_ECHO)) + RELEASE
    for cut in range(0, len(whole), 3):
        peer = victim.connect()
        peer.send(whole[:cut])
        peer.reset() if cut % 2 else peer.close()
        victim.peers.remove(peer)


def _noise(victim: Victim) -> None:
    for _ in range(10):
        peer = victim.connect()
        peer.send(os.urandom(4096))
        expect_end(peer, victim.patience)


def _half_closed(victim: Victim) -> None:
    peer = victim.associate()
    peer.connection.shutdown(1)
    expect_end(peer, victim.patience)


def _abort_within_a_pdu(victim: Victim) -> None:
    peer = victim.associate()
    peer.send(pdu(P_DATA, raw.pdv(1, 1, bytes(100)))[:50] + pdu(ABORT, bytes(4)))
    peer.reset()


ATTACKS = [
    Attack("an A-ASSOCIATE-RQ that announces 4 GiB", _announce_4_gib_as_request),
    Attack("a P-DATA PDU that announces 4 GiB", _announce_4_gib_as_data),
    Attack("a P-DATA PDU far above the negotiated maximum", _more_than_negotiated),
    Attack("a release request that announces 4 GiB", _after_association(pdu(RELEASE_RQ, bytes(4), 0xFFFFFFFF))),
    Attack("a release request of 100 bytes", _after_association(pdu(RELEASE_RQ, bytes(100)), allowed=())),
    Attack("an abort that announces 4 GiB", _after_association(pdu(ABORT, bytes(4), 0xFFFFFFFF))),
    Attack("an abort without a body", _after_association(pdu(ABORT, b""))),
    Attack("half a PDU header", _half_a_header),
    Attack("half an A-ASSOCIATE-RQ", _half_a_request),
    Attack("half a P-DATA PDU", _half_a_data_pdu),
    Attack("an A-ASSOCIATE-RQ, a byte at a time", _dripped_request, slow=True),
    Attack("a P-DATA PDU, a byte at a time", _dripped_data, slow=True),
    Attack("a connection that says nothing", _silence),
    Attack("an association that says nothing", _silence_after_association),
    Attack("connections closed at once", _closed_at_once),
    Attack("peers that vanish at every byte of an association", _vanishing_at_every_byte),
    Attack("random bytes", _noise),
    Attack("a peer that closes its half of the connection", _half_closed),
    Attack("an abort in the middle of a PDU", _abort_within_a_pdu),
    Attack("PDU type 0 first", _first_bytes(pdu(0, bytes(68)))),
    Attack("PDU type 8 first", _first_bytes(pdu(8, bytes(68)))),
    Attack("PDU type 255 first", _first_bytes(pdu(255, bytes(68)))),
    Attack("an A-ASSOCIATE-AC first", _first_bytes(pdu(AC, bytes(68)))),
    Attack("an A-ASSOCIATE-RJ first", _first_bytes(pdu(RJ, bytes(4)))),
    Attack("a P-DATA PDU first", _first_bytes(raw.message(1, raw.command(raw.C_ECHO)))),
    Attack("a release request first", _first_bytes(RELEASE)),
    Attack("an abort first", _first_bytes(pdu(ABORT, bytes(4)))),
    Attack("an A-ASSOCIATE-RQ without a body", _first_bytes(pdu(RQ, b""))),
    Attack("an A-ASSOCIATE-RQ of 60 bytes", _first_bytes(pdu(RQ, b"\0\1" + bytes(58)))),
    Attack("an HTTP request", _first_bytes(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")),
    Attack("a TLS hello", _first_bytes(bytes.fromhex("16030100c8010000c40303") + bytes(190))),
    Attack("an SSH banner", _first_bytes(b"SSH-2.0-OpenSSH_9.2\r\n")),
    Attack("PDU type 9 in an association", _after_association(pdu(9, bytes(4)))),
    Attack("PDU type 255 in an association", _after_association(pdu(255, bytes(4)))),
    Attack("a second A-ASSOCIATE-RQ", _after_association(request("ANY"))),
    Attack("an A-ASSOCIATE-AC in an association", _after_association(pdu(AC, bytes(68)))),
    Attack("an A-ASSOCIATE-RJ in an association", _after_association(pdu(RJ, bytes(4)))),
    Attack("a release response that answers nothing", _after_association(pdu(RELEASE_RP, bytes(4)))),
    Attack("a P-DATA PDU without a body", _after_association(pdu(P_DATA, b""))),
    Attack("an abort, politely", _after_association(pdu(ABORT, bytes(4)), allowed=("closed", "reset"))),
    Attack("P-DATA after the release request", _after_association(RELEASE + pdu(P_DATA, bytes(6)), allowed=())),
    Attack("two release requests", _after_association(RELEASE + RELEASE, allowed=())),
]
