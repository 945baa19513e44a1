"""Attacks with the items of an A-ASSOCIATE-RQ, and unusual requests that are legal (PS3.8 9.3.2, PS3.7 D.3.3)."""

import struct
from collections.abc import Callable, Mapping

from tests.attack.kit import Attack, Victim, expect_end
from tests.support.raw import (
    APPLICATION_CONTEXT,
    CT,
    EXPLICIT,
    IMPLICIT,
    RELEASE,
    VERIFICATION,
    Peer,
    context_item,
    item,
    request,
    user_item,
)

_NAME = APPLICATION_CONTEXT.encode()
_VERIFY = context_item(1, VERIFICATION, (IMPLICIT,))


def _context(context_id: int, *items: bytes) -> bytes:
    return item(0x20, struct.pack("BBBB", context_id, 0, 0, 0) + b"".join(items))


_ABSTRACT, _TRANSFER = item(0x30, VERIFICATION.encode()), item(0x40, IMPLICIT.encode())

_MALFORMED: Mapping[str, Callable[[str], bytes]] = {
    "items longer than the PDU": lambda aet: request(aet, presentation=item(0x20, _VERIFY[4:], 0xFFFF)),
    "an item header that is cut off": lambda aet: request(aet, user=b"\x50\x00"),
    "a presentation context without a body": lambda aet: request(aet, presentation=item(0x20, b"")),
    "a context without transfer syntax": lambda aet: request(aet, presentation=_context(1, _ABSTRACT)),
    "a context without abstract syntax": lambda aet: request(aet, presentation=_context(1, _TRANSFER)),
    "a context of two abstract syntaxes": lambda aet: request(
        aet, presentation=_context(1, _ABSTRACT, _ABSTRACT, _TRANSFER)
    ),
    "context ID 0": lambda aet: request(aet, presentation=_context(0, _ABSTRACT, _TRANSFER)),
    "an even context ID": lambda aet: request(aet, presentation=_context(2, _ABSTRACT, _TRANSFER)),
    "one context ID twice": lambda aet: request(aet, presentation=_VERIFY + _VERIFY),
    "no presentation context": lambda aet: request(aet, presentation=b""),
    "no application context": lambda aet: request(aet, application=b""),
    "an application context that is not DICOM's": lambda aet: request(aet, application=item(0x10, b"1.2.3")),
    "two application contexts": lambda aet: request(aet, application=item(0x10, _NAME) * 2),
    "no user information": lambda aet: request(aet, user=b""),
    "a maximum length of 2 bytes": lambda aet: request(aet, user=item(0x50, item(0x51, b"\x40\x00"))),
    "sub-items longer than user information": lambda aet: request(aet, user=item(0x50, item(0x51, bytes(4), 900))),
    "a role item that lies about its UID": lambda aet: request(
        aet, user=user_item(extra=item(0x54, struct.pack(">H", 900) + b"1.2\1\1"))
    ),
    "a user identity that lies about its lengths": lambda aet: request(
        aet, user=user_item(extra=item(0x58, struct.pack(">BBH", 2, 0, 9000) + b"joe"))
    ),
    "an empty transfer syntax": lambda aet: request(aet, presentation=_context(1, _ABSTRACT, item(0x40, b""))),
    "UIDs of 60 000 characters": lambda aet: request(
        aet, presentation=_context(1, item(0x30, b"1." + b"2" * 60000), _TRANSFER)
    ),
    "UIDs that are no UIDs": lambda aet: request(
        aet, presentation=_context(1, item(0x30, b"../../etc/passwd\0\xff"), item(0x40, b"\xff\xfe"))
    ),
    "a calling AE title that is not ASCII": lambda aet: request(aet, calling=b"\xff\xfe\x80RADIOLOG\xe4\xf6\xfc "),
    "an empty calling AE title": lambda aet: request(aet, calling=b" " * 16),
    "a calling AE title of NULs": lambda aet: request(aet, calling=bytes(16)),
    "an AE title with a line break": lambda aet: request(aet, calling=b"A\r\nERROR fake l "),
    "an empty called AE title": lambda aet: request(b" " * 16),
    "protocol version 0": lambda aet: request(aet, version=0),
    "items nested in items": lambda aet: request(aet, presentation=item(0x20, item(0x20, item(0x20, _VERIFY)))),
}

_LEGAL: Mapping[str, Callable[[str], bytes]] = {
    "an unknown item": lambda aet: request(aet, extra=item(0x77, b"what is this")),
    "an unknown sub-item": lambda aet: request(aet, user=user_item(extra=item(0x5F, b"news"))),
    "AE titles padded with NULs": lambda aet: request(aet.encode().ljust(16, b"\0"), calling=b"RAW".ljust(16, b"\0")),
    "protocol version 3": lambda aet: request(aet, version=3),
    "an unlimited maximum length": lambda aet: request(aet, max_pdu=0),
    "a maximum length of 4 GiB": lambda aet: request(aet, max_pdu=0xFFFFFFFF),
    "a UID padded with NUL": lambda aet: request(
        aet, presentation=_context(1, item(0x30, VERIFICATION.encode() + b"\0"), item(0x40, IMPLICIT.encode() + b"\0"))
    ),
    "implementation identifiers of 200 bytes": lambda aet: request(aet, user=user_item(extra=item(0x5A, bytes(200)))),
}


def _malformed(build: Callable[[str], bytes]) -> Callable[[Victim], None]:
    def attack(victim: Victim) -> None:
        peer = victim.connect()
        peer.send(build(victim.aet))
        expect_end(peer, victim.patience, "rejected", "aborted", "closed", "reset")

    return attack


def _legal(build: Callable[[str], bytes]) -> Callable[[Victim], None]:
    def attack(victim: Victim) -> None:
        peer = victim.connect()
        peer.send(build(victim.aet))
        kind, body = peer.read(victim.patience)
        assert kind == 2, f"answered by PDU {kind} {body[:4].hex()}: it is legal"
        assert peer.echo(victim.patience) == 0
        peer.send(RELEASE)
        expect_end(peer, victim.patience, "released")

    return attack


def _thousands_of_contexts(victim: Victim) -> None:
    peer = victim.connect()
    contexts = [(1 + 2 * (n % 128), CT, (IMPLICIT, EXPLICIT)) for n in range(3000)]
    peer.send(request(victim.aet, contexts))
    expect_end(peer, victim.patience)


def _thousands_of_syntaxes(victim: Victim) -> None:
    peer = victim.connect()
    many = tuple(f"1.2.3.{n}" for n in range(200))
    peer.send(request(victim.aet, [(1 + 2 * n, CT, many) for n in range(128)]))
    _answered(peer, victim)


def _contexts_of_every_id(victim: Victim) -> None:
    peer = victim.connect()
    peer.send(request(victim.aet, [(1 + 2 * n, CT, (IMPLICIT,)) for n in range(128)]))
    _answered(peer, victim)


def _answered(peer: Peer, victim: Victim) -> None:
    kind, _ = peer.read(victim.patience)
    assert kind in (2, 3, 7), f"answered by PDU {kind}"


def _smallest_peers(victim: Victim) -> None:
    for maximum in (1, 2, 4, 5, 6, 7, 8, 12):
        peer = victim.connect()
        peer.send(request(victim.aet, max_pdu=maximum))
        expect_end(peer, victim.patience, "rejected", "aborted", "closed", "reset")


ATTACKS = [
    *(Attack(f"a request with {name}", _malformed(build)) for name, build in _MALFORMED.items()),
    *(Attack(f"a legal request with {name}", _legal(build)) for name, build in _LEGAL.items()),
    Attack("a request of 3000 contexts", _thousands_of_contexts),
    Attack("a request of 128 contexts of 200 syntaxes", _thousands_of_syntaxes),
    Attack("a request of 128 contexts", _contexts_of_every_id),
    Attack("peers that can receive next to nothing", _smallest_peers),
]
