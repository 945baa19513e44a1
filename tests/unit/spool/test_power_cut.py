"""Invariant 4 with the power cut after every single step, on a disk that forgets what was not synced."""

import itertools
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.dicom.commitment import Reference, Transaction
from proxy.spool.deadletters import DeadLetters
from proxy.spool.names import Name
from proxy.spool.parcel import opened
from proxy.spool.transactions import Transactions
from tests.fakes.power import Power
from tests.fakes.received import CT, SERIES, STUDY, data_set, open_spool, service, store

Version = tuple[str, bytes]  # SOP Instance UID, the end of its pixels
X, Y, Z = (Name(STUDY, SERIES, uid) for uid in ("1.2.3", "1.2.4", "1.2.5"))


@dataclass
class Ledger:
    """What was acknowledged, in order, and what has been given to a target since."""

    acknowledged: list[Version] = field(default_factory=list)
    delivered: set[Version] = field(default_factory=set)
    promised: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    retried: bool = False  # then the first version comes anew, behind the others


def story(storage: Path, ledger: Ledger) -> None:
    """All that can happen to an instance on its way through the spool; from the first start on."""
    spool = open_spool(storage)
    letters = DeadLetters(spool)

    def arrives(name: Name, pixels: bytes) -> None:
        data = data_set(name.sop_instance_uid, pixels=pixels)
        assert store(service(spool), name.sop_instance_uid, data) == 0
        ledger.acknowledged.append((name.sop_instance_uid, pixels[-8:]))

    def leaves(name: Name, pixels: bytes) -> None:
        ledger.delivered.add((name.sop_instance_uid, pixels))
        spool.remove(name, 0)

    def refused(name: Name, *, last: bool) -> None:
        letters.bury(name, spool.envelope(name), "orthanc", "bad file", 1, last=last)

    arrives(X, b"first...")
    arrives(Y, bytes(200_000))
    arrives(X, b"second..")
    arrives(X, b"second..")
    promises = Transactions(storage)
    promise = promises.add(Transaction("1.9", (Reference(CT, "1.2.3"),)), "main", "SCU", "PROXY")
    ledger.promised.add(promise.id)
    refused(Y, last=True)
    arrives(Z, b"other...")
    refused(X, last=False)
    leaves(X, b"first...")
    arrives(X, b"third...")
    ledger.retried = True
    for letter in letters.list():
        letters.retry(letter.id)
    ledger.kept.add(promise.id)
    promises.remove(promise.id)
    while (name := next(spool.names(), None)) is not None:
        with opened(spool.path(name)) as parcel:
            pixels = bytes(parcel.data)[-8:]
        leaves(name, pixels)
    spool.remove_empty_folders(older_than=2e12)
    assert not (spool.root / STUDY).exists()
    arrives(Y, b"again...")
    spool.close()


def found_after(storage: Path) -> tuple[list[Version], list[Version]]:
    """A start on what the power cut has left: what waits, and what is dead. Raises when any of it is not whole."""
    spool = open_spool(storage)
    spool.settle()
    letters = DeadLetters(spool)
    letters.sweep()
    paths = [spool.path(name) for name in spool.names()]
    dead = [letters.path(letter) for letter in letters.list()]
    versions = []
    for path in (*paths, *dead):
        with opened(path) as parcel:
            versions.append((parcel.envelope.sop_instance_uid, bytes(parcel.data)[-8:]))
    assert spool.ledger.count == len(paths) + len(dead)
    assert [*(spool.root / ".incoming").iterdir(), *(spool.root / ".dead").glob("*.part")] == []
    spool.close()
    return versions[: len(paths)], versions[len(paths) :]


@pytest.mark.parametrize("left", ["nothing", "names", "all"])
def test_whatever_a_power_cut_leaves_nothing_acknowledged_is_lost_and_nothing_half_is_forwarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    disk, ledger, numbers = tmp_path / "disk", Ledger(), itertools.count()
    disk.mkdir()

    def look() -> None:
        whole = tmp_path / str(next(numbers))
        power.cut(whole, left)
        copy = whole / "var" / "storage"
        waiting, dead = found_after(copy)
        safe = {*waiting, *dead, *ledger.delivered}
        lost = [version for version in ledger.acknowledged if version not in safe]
        assert not lost, f"lost at step {power.steps}: {lost}"
        _assert_in_order(waiting, ledger)
        promises = Transactions(copy)
        assert ledger.promised - ledger.kept <= set(promises.ids())
        for promise_id in promises.ids():
            promises.read(promise_id)
        shutil.rmtree(whole)

    power = Power(disk, look)
    with power.watched(monkeypatch):
        story(disk / "var" / "storage", ledger)
    assert power.steps > 100, "the steps are not noticed"


def _assert_in_order(waiting: list[Version], ledger: Ledger) -> None:
    """Versions of one instance wait in the order in which they came."""
    arrived = [b"first...", b"second..", b"third..."]
    versions = [pixels for uid, pixels in waiting if uid == "1.2.3"]
    assert ledger.retried or versions == sorted(versions, key=arrived.index)
