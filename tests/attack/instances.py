"""Attacks with C-STORE: what cannot be an instance is not acknowledged, and nothing of it stays."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.attack.kit import Attack, Victim, expect_end_or_status
from tests.support import raw
from tests.support.raw import (
    CT,
    EXPLICIT,
    P_DATA,
    SECONDARY_CAPTURE,
    element,
    explicit,
    message,
    pdu,
    pdv,
    store_command,
)

_CONTEXT = (1, SECONDARY_CAPTURE, (EXPLICIT,))
_FAILURES = (0x0110, 0x0117, 0x0122, 0xA700, 0xA900, 0xC000, 0xC001, 0xC311)


def _dataset(
    instance: str | bytes, *, sop_class: str = SECONDARY_CAPTURE, study: str = "2.25.9001", tail: bytes = b""
) -> bytes:
    name = raw.uid(instance) if isinstance(instance, str) else instance
    return (
        explicit(0x00080016, "UI", raw.uid(sop_class))
        + explicit(0x00080018, "UI", name)
        + explicit(0x00100020, "LO", "ATTACK")
        + (explicit(0x0020000D, "UI", raw.uid(study)) if study else b"")
        + explicit(0x0020000E, "UI", raw.uid("2.25.9002"))
        + tail
    )


def _nested(depth: int) -> bytes:
    item = element(0xFFFEE000, b"", 0xFFFFFFFF)
    opening = explicit(0x00081140, "SQ", b"", 0xFFFFFFFF) + item
    return opening * depth + (element(0xFFFEE00D, b"") + element(0xFFFEE0DD, b"")) * depth


def _store(command: bytes, dataset: bytes, *allowed: int) -> Callable[[Victim], None]:
    """The store must fail, or the association end; and no file may be there that was not before."""

    def attack(victim: Victim) -> None:
        before = victim.received_files()
        peer = victim.associate(_CONTEXT)
        peer.send(message(1, command, dataset))
        expect_end_or_status(peer, victim.patience, *(allowed or _FAILURES))
        _expect_no_file(victim, before)

    return attack


def _expect_no_file(victim: Victim, before: set[Path]) -> None:
    deadline = time.monotonic() + victim.patience
    while left := victim.received_files() - before:
        assert time.monotonic() < deadline, f"{len(left)} files stay, as {next(iter(left)).name}"
        time.sleep(0.1)


_UID = "2.25.9100"
_BROKEN: Mapping[str, bytes] = {
    "cut off within a value": _dataset(_UID, tail=explicit(0x7FE00010, "OB", bytes(100))[:-40]),
    "cut off within a header": _dataset(_UID, tail=b"\xe0\x7f\x10\x00O"),
    "whose pixels lie about their length": _dataset(_UID, tail=explicit(0x7FE00010, "OB", bytes(100), 0x7FFFFFFF)),
    "of noise": bytes(range(9, 250)) * 4,
    "that is empty": b"",
    "nested 3 000 deep": _dataset(_UID, tail=_nested(3000)),
    "nested 60 000 deep": _dataset(_UID, tail=_nested(60000)),
    "without a Study Instance UID": _dataset(_UID, study=""),
    "with another SOP Instance UID": _dataset("2.25.777"),
    "with another SOP class": _dataset(_UID, sop_class=CT),
}
_BAD_UIDS: Mapping[str, bytes] = {
    "a relative path": b"../../../../../../tmp/attack.dcm",
    "an absolute path": b"/tmp/attack-absolute",
    "a NUL within": b"1.2\x00.3/evil",
    "100 digits": b"1" * 100,
    "dots alone": b"..",
    "letters": b"1.2.abc",
    "nothing": b"",
    "a line break": b"1.2\r\nERROR ",
}


def _bad_study_uid(victim: Victim) -> None:
    _store(store_command(SECONDARY_CAPTURE, _UID), _dataset(_UID, study="../../../../tmp/attack-study"))(victim)
    assert not Path("/tmp/attack-study").exists(), "a folder was made outside the spool"


def _bad_uid(name: bytes) -> Callable[[Victim], None]:
    def attack(victim: Victim) -> None:
        _store(store_command(SECONDARY_CAPTURE, name), _dataset(name))(victim)
        outside = list(Path("/tmp").glob("attack*.dcm")) + list(Path("/tmp").glob("attack-absolute*"))
        assert not outside, "a file was written outside the spool"

    return attack


def _sender_vanishes(victim: Victim) -> None:
    before = victim.received_files()
    for number in range(5):
        peer = victim.associate(_CONTEXT)
        whole = message(
            1,
            store_command(SECONDARY_CAPTURE, f"2.25.92{number}"),
            _dataset(f"2.25.92{number}", tail=explicit(0x7FE00010, "OB", bytes(4 << 20))),
        )
        peer.send(whole[: len(whole) * 3 // 4])
        (peer.reset, peer.close)[number % 2]()
    _expect_no_file(victim, before)


def _sender_stops(victim: Victim) -> None:
    before = victim.received_files()
    peer = victim.associate(_CONTEXT)
    whole = message(1, store_command(SECONDARY_CAPTURE, "2.25.93"), _dataset("2.25.93", tail=bytes(1 << 20)))
    peer.send(whole[: len(whole) // 2])
    assert peer.ending(victim.patience) != "open", "waited for without end"
    _expect_no_file(victim, before)


def _large_instance_memory(victim: Victim) -> None:
    """128 MB of one instance must not be in memory; it is never finished."""
    before = victim.received_files()
    peer = victim.associate(_CONTEXT)
    peer.send(message(1, store_command(SECONDARY_CAPTURE, "2.25.94")))
    peer.send(pdu(P_DATA, pdv(1, 0, _dataset("2.25.94", tail=explicit(0x7FE00010, "OB", b"", 512 << 20)))))
    block = pdu(P_DATA, pdv(1, 0, bytes(16000))) * 64
    peer.pump(block, 128 << 20, timeout=5)
    peer.reset()
    _expect_no_file(victim, before)


def _many_half_instances(victim: Victim) -> None:
    before = victim.received_files()
    for number in range(30):
        peer = victim.associate(_CONTEXT)
        whole = message(1, store_command(SECONDARY_CAPTURE, f"2.25.95{number}"), _dataset(f"2.25.95{number}"))
        peer.send(whole[: len(whole) - 30])
    assert raw.echo(victim.port, victim.aet) < 2
    victim.forget()
    _expect_no_file(victim, before)


ATTACKS = [
    *(
        Attack(f"a C-STORE data set {name}", _store(store_command(SECONDARY_CAPTURE, _UID), data), "store")
        for name, data in _BROKEN.items()
    ),
    *(Attack(f"a SOP Instance UID of {name}", _bad_uid(uid), "store") for name, uid in _BAD_UIDS.items()),
    Attack("a Study Instance UID that is a path", _bad_study_uid, "store"),
    Attack(
        "a C-STORE whose SOP class is not the context's",
        _store(store_command(CT, _UID), _dataset(_UID, sop_class=CT), 0xA900, 0x0122),
        "store",
    ),
    Attack("senders that vanish within an instance", _sender_vanishes, "store"),
    Attack("a sender that stops within an instance", _sender_stops, "store"),
    Attack("128 MB of an instance that is never finished", _large_instance_memory, "store"),
    Attack("30 instances half sent at once", _many_half_instances, "store"),
]
