"""Attacks with identifiers: what cannot be read must never match more than was asked (PS3.4 C)."""

import struct
from collections.abc import Callable, Mapping

from tests.attack.kit import Attack, Victim, expect_status
from tests.support import raw
from tests.support.raw import C_FIND, C_GET, IMPLICIT, STUDY_FIND, STUDY_GET, command, element, explicit, message

_LEVEL = element(0x00080052, "STUDY")
_STUDY = 0x0020000D
_UNDEFINED = 0xFFFFFFFF


def _nested(depth: int, *, closed: bool) -> bytes:
    """A sequence in a sequence in a sequence."""
    opening = element(0x00081140, b"", _UNDEFINED) + element(0xFFFEE000, b"", _UNDEFINED)
    closing = element(0xFFFEE00D, b"") + element(0xFFFEE0DD, b"")
    return opening * depth + (closing * depth if closed else b"")


_UNREADABLE: Mapping[str, bytes] = {
    "cut off within a value": _LEVEL + element(_STUDY, b"1.2.3.4.5.6")[:-4],
    "cut off within a header": _LEVEL + element(_STUDY, b"1.2")[:5],
    "whose last element lies about its length": _LEVEL + element(_STUDY, b"1.2.3", 0x7FFFFFFF),
    "whose first element lies about its length": element(0x00080052, b"STUDY ", 400) + element(_STUDY, b"1.2.3"),
    "of noise": bytes(range(13, 200)),
    "in Explicit VR on a context of Implicit VR": explicit(0x00080052, "CS", "STUDY")
    + explicit(_STUDY, "UI", b"1.2.3"),
    "with a sequence that never ends": _LEVEL + _nested(1, closed=False),
    "nested 3 000 deep": _LEVEL + _nested(3000, closed=True),
    "nested 30 000 deep": _LEVEL + _nested(30000, closed=True),
    "with an item outside a sequence": _LEVEL + element(0xFFFEE000, b"1234"),
    "with an undefined length where none can be": element(0x00080052, b"", _UNDEFINED) + b"STUDY ",
}

_SENSELESS: Mapping[str, bytes] = {
    "that is empty": b"",
    "without a level or a key that tells it": element(0x00100010, "X"),
    "of an unknown level": element(0x00080052, "ROOM") + element(_STUDY, b""),
    "of a level of 4000 characters": element(0x00080052, "STUDY" * 800),
}

_RETRIEVES_NOTHING: Mapping[str, bytes] = {
    **_SENSELESS,
    "with an empty unique key": _LEVEL + element(_STUDY, b""),
    "with NULs for a unique key": _LEVEL + element(_STUDY, bytes(8)),
    "with spaces for a unique key": _LEVEL + element(_STUDY, b" " * 8),
    "with a star for a unique key": _LEVEL + element(_STUDY, "*"),
    "with a wildcard in a unique key": _LEVEL + element(_STUDY, "1.2.*"),
    "with a backslash for a unique key": _LEVEL + element(_STUDY, "\\"),
    "without its unique key": _LEVEL + element(0x00100010, "*"),
}

_MATCHES_NOTHING: Mapping[str, bytes] = {
    "a path for a UID": element(_STUDY, b"../../../etc/passwd"),
    "a query language for a UID": element(_STUDY, b"1' OR '1'='1"),
    "a UID of 5000 digits": element(_STUDY, b"1" * 5000),
}


def _find(identifier: bytes) -> Callable[[Victim], None]:
    def attack(victim: Victim) -> None:
        peer = victim.associate((1, STUDY_FIND, (IMPLICIT,)))
        peer.send(message(1, command(C_FIND, sop_class=STUDY_FIND, data=True), identifier))
        expect_status(peer, 0xA900, 0xC000, 0xC001, timeout=victim.patience)

    return attack


def _get(identifier: bytes, *allowed: int) -> Callable[[Victim], None]:
    def attack(victim: Victim) -> None:
        peer = victim.associate(
            (1, STUDY_GET, (IMPLICIT,)), (3, raw.CT, (raw.EXPLICIT,)), roles=[raw.CT, raw.SECONDARY_CAPTURE]
        )
        peer.send(message(1, command(C_GET, sop_class=STUDY_GET, data=True), identifier))
        expect_status(peer, *(allowed or (0xA900, 0xC000, 0xC001)), timeout=victim.patience)

    return attack


def _too_long_a_list(victim: Victim) -> None:
    uids = "\\".join(f"1.2.3.{n}" for n in range(20000))
    peer = victim.associate((1, STUDY_GET, (IMPLICIT,)))
    peer.send(message(1, command(C_GET, sop_class=STUDY_GET, data=True), _LEVEL + element(_STUDY, uids)))
    expect_status(peer, 0xA900, 0xC000, 0xA700, 0xA701, 0xA702, 0xC001, timeout=victim.patience)


def _many_elements(victim: Victim) -> None:
    """A hundred thousand keys within the bound of bytes: any answer but silence."""
    identifier = _LEVEL + b"".join(struct.pack("<HHL", 0x0029, n & 0xFFFF, 0) for n in range(0x1000, 0xF000))
    peer = victim.associate((1, STUDY_FIND, (IMPLICIT,)))
    peer.send(message(1, command(C_FIND, sop_class=STUDY_FIND, data=True), identifier))
    peer.message(victim.patience * 2)


def _deflated(victim: Victim) -> None:
    """A compressed identifier is a bomb in a parcel: the syntax is not to be accepted for queries."""
    peer = victim.associate((1, STUDY_FIND, (raw.DEFLATED,)), (3, raw.VERIFICATION, (IMPLICIT,)))
    assert 1 not in peer.accepted, "a deflated identifier would be accepted"


def _stars(victim: Victim) -> None:
    """A name that a careless matcher tries in more ways than there is time for; Orthanc finds it, for it asks less."""
    peer = victim.associate((1, STUDY_FIND, (IMPLICIT,)))
    keys = _LEVEL + element(0x00100010, "*a" * 30 + "*b")
    peer.send(message(1, command(C_FIND, sop_class=STUDY_FIND, data=True), keys))
    expect_status(peer, 0x0000, timeout=victim.patience)


def _never_the_same(tag: int) -> Callable[[Victim], None]:
    """Sixty queries with 500 KB in one element, each of its own: what is remembered of them adds up."""

    def attack(victim: Victim) -> None:
        peer = victim.associate((1, STUDY_FIND, (IMPLICIT,)))
        for number in range(60):
            value = f"{number:08}\\" * 55_000 if tag == 0x00080005 else f"{number:08}".ljust(500_000, "1")
            sent = element(tag, value) + _LEVEL if tag < 0x00080052 else _LEVEL + element(tag, value)
            peer.send(message(1, command(C_FIND, sop_class=STUDY_FIND, data=True), sent))
            peer.answers(victim.patience)

    return attack


ATTACKS = [
    *(Attack(f"a C-FIND identifier {name}", _find(data), "retrieve") for name, data in _UNREADABLE.items()),
    *(Attack(f"a C-FIND identifier {name}", _find(data), "retrieve") for name, data in _SENSELESS.items()),
    *(Attack(f"a C-GET identifier {name}", _get(data), "retrieve") for name, data in _UNREADABLE.items()),
    *(Attack(f"a C-GET identifier {name}", _get(data), "retrieve") for name, data in _RETRIEVES_NOTHING.items()),
    *(
        Attack(f"a C-GET identifier with {name}", _get(_LEVEL + data, 0x0000, 0xA900, 0xC000), "retrieve")
        for name, data in _MATCHES_NOTHING.items()
    ),
    Attack("a C-FIND identifier with a name of many stars", _stars, "retrieve"),
    Attack("60 C-FIND identifiers of 500 KB of character sets", _never_the_same(0x00080005), "retrieve", slow=True),
    Attack("60 C-FIND identifiers with a key of 500 KB", _never_the_same(0x0008002A), "retrieve", slow=True),
    Attack("a C-GET identifier of 20 000 UIDs", _too_long_a_list, "retrieve"),
    Attack("a C-FIND identifier of 57 000 keys", _many_elements, "retrieve"),
    Attack("a deflated identifier", _deflated, "retrieve"),
]
