"""The spool: received instances that their targets do not have yet, each a file of its own.

    <root>/<Study>/<Series>/<SOP>.dcm     waits to be forwarded; see `names`, `envelope`
    <root>/.incoming/007-12.part          arrives; nobody but its process looks at it
    <root>/.dead/...                      refused by a target for good; see `deadletters`
    <root>/.state/<id>.json               which of several targets have it already; see `progress`
    <root>/.ledger/                       what the processes agree on; see `ledger`
    <root>/.arrivals                      news for the forwarder; see `arrivals`

A name without a leading dot is given only to a file whose content is synced, and an instance is acknowledged only
when the name is synced, too (`durable`). So after a kill or a power cut at any moment what is named is whole, what was
acknowledged is named, and all else is a part file that the next start sweeps away. Several processes receive into one
spool; one process forwards from it.
"""

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from proxy.config import SpoolSettings
from proxy.errors import SpoolFull
from proxy.spool.arrivals import Teller
from proxy.spool.durable import Folders, make_folder, sync_folder
from proxy.spool.envelope import Envelope, read_head
from proxy.spool.incoming import FLUSH_AT, RESERVED_STEP, Incoming
from proxy.spool.ledger import Ledger
from proxy.spool.listing import Unreadable, files_in, folders_in, names_in, passed_over, raised
from proxy.spool.names import Name, numbers_of
from proxy.spool.room import lack_of_room
from proxy.spool.waiting import Waiting

_HEAD_READ = 4096
FOLDER = "dimse"


class Spool:
    """The spool below `storage` (the setting [storage] path). Raises OSError where it cannot be used."""

    def __init__(self, storage: Path, settings: SpoolSettings) -> None:
        self.root = storage.absolute() / FOLDER
        self._settings = settings
        make_folder(storage.absolute())
        for folder in ("", ".incoming", ".dead", ".state", ".ledger"):
            (self.root / folder).mkdir(mode=0o700, exist_ok=True)
        sync_folder(self.root.parent)
        sync_folder(self.root)
        self.ledger = Ledger(self.root / ".ledger")
        self._incoming = self.root / ".incoming"
        self._folders = Folders(self.root)
        self._teller = Teller(self.pipe)
        self._numbers = itertools.count()
        self._sweep_slot(self.ledger.slot)  # its former owner's
        self.sweep()

    def __repr__(self) -> str:
        return f"<Spool {self.ledger.count} waiting, {self.ledger.used / 1e6:.1f} MB>"

    @property
    def pipe(self) -> Path:
        """Where news of arrivals go."""
        return self.root / ".arrivals"

    def close(self) -> None:
        """Let go of it."""
        self._folders.close()
        self._teller.close()
        self.ledger.close()

    def begin(self, envelope: Envelope, flush_at: int = FLUSH_AT) -> Incoming:
        """Room for one more instance. Raises SpoolFull, OSError."""
        self.ledger.reserve(0, 1)
        try:
            path = self._incoming / f"{self.ledger.slot:03d}-{next(self._numbers)}.part"
            return Incoming(envelope, path, self._reserve, self._release, flush_at)
        except BaseException:
            self.ledger.reserve(0, -1)
            raise

    def holds_another(self, envelope: Envelope) -> bool:
        """Does an instance of the same SOP Instance UID wait already?"""
        name = _name(envelope)
        return self._folders.has(name.folder, name.file)

    def accept(self, incoming: Incoming) -> Name:
        """Take responsibility: when this returns, the instance survives a power cut. Raises SpoolFull, OSError.

        An instance whose like waits already, byte for byte, is not kept twice.
        """
        incoming.sync()
        envelope = incoming.envelope
        with self.ledger.mutex():
            name = self._free_name(_name(envelope))
            like = self._like(name, envelope)
            if like is None:
                self._folders.rename(os.fspath(incoming.path), name.folder, name.file)
                incoming.named = True
                self._tell(Waiting.of(name, envelope, incoming.length))
                self.ledger.add(incoming.length, 1)
            self.end(incoming)
        if like is not None:
            self._sync_like(like)
            return like
        self._folders.sync(name.folder)
        return name

    def end(self, incoming: Incoming) -> None:
        """The instance is no longer open: what is left of it goes, and so does what it has reserved. Never raises."""
        if not incoming.over:
            incoming.discard()
            self.ledger.reserve(0, -1)

    def lack_of_room(self) -> str:
        """Why C-STORE would be refused now, in words; "" = it would not."""
        try:
            return self._lack_of_room(*self.ledger.reserved())
        except OSError as error:
            return f"the spool cannot be written: {error.strerror}"

    def _lack_of_room(self, reserved: int, others: int) -> str:
        """For one instance beside `others` that are open, each of which may write one step more."""
        return lack_of_room(
            self._settings,
            used=self.ledger.used + reserved,
            count=self.ledger.count + others + 1,
            free=_free(self._incoming) - others * RESERVED_STEP,
            wanted=RESERVED_STEP,
        )

    def _reserve(self, size: int) -> None:
        with self.ledger.mutex():
            reserved, opened = self.ledger.reserved()
            why = self._lack_of_room(reserved, opened - 1)
            if why:
                raise SpoolFull(why)
            self.ledger.reserve(size, 0)

    def _release(self, size: int) -> None:
        self.ledger.reserve(-size, 0)

    def _free_name(self, first: Name) -> Name:
        if not self._folders.has(first.folder, first.file):
            return first
        taken = self.names_like(first)
        return first._replace(number=(taken[-1].number if taken else 1) + 1)

    def _like(self, free: Name, envelope: Envelope) -> Name | None:
        """The last of that UID, when it is the same."""
        if free.number == 1:
            return None
        try:
            last = self.names_like(free)[-1]
            other = self.envelope(last)
        except (IndexError, OSError, ValueError):
            return None
        same = ("pipeline", "calling_aet", "transfer_syntax", "sop_class_uid", "size", "digest")
        return last if all(getattr(other, fact) == getattr(envelope, fact) for fact in same) else None

    def _sync_like(self, like: Name) -> None:
        """Another process may have named it just now and not synced it yet, in a newer folder than we have open."""
        with contextlib.suppress(FileNotFoundError):  # forwarded meanwhile
            sync_folder(self.root / like.folder)

    def _tell(self, waiting: Waiting) -> None:
        if not self._teller.tell(waiting.encode()):
            self.ledger.miss()

    def path(self, name: Name) -> Path:
        """Its file."""
        return self.root / name.folder / name.file

    def envelope(self, name: Name) -> Envelope:
        """What is known of a waiting instance. Raises OSError; ValueError where the file is damaged."""
        with self.path(name).open("rb") as file:
            return read_head(file.read(_HEAD_READ))[0]

    def names(self, unreadable: Unreadable = raised) -> Iterator[Name]:
        """All that waits; those of one SOP Instance UID together and in order of arrival. Raises OSError."""
        return names_in(self.root, unreadable)

    def names_like(self, name: Name) -> list[Name]:
        """All of that SOP Instance UID that wait there, in order of arrival."""
        numbers = numbers_of(name.sop_instance_uid, files_in(self.root / name.folder, raised))
        return [name._replace(number=number) for number in sorted(numbers)]

    def waiting_uids(self) -> set[str]:
        """The SOP Instance UIDs of all that waits. Raises OSError."""
        return {name.sop_instance_uid for name in self.names()}

    def remove(self, name: Name, size: int) -> Name | None:
        """All targets have it: let it go. Returns who moved up to its name, as it was called before. Raises OSError."""
        with self.ledger.mutex():
            path = self.path(name)
            if self._settings.keep_delivered:
                kept = self.root / ".delivered" / name.path
                kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.rename(kept)
            else:
                path.unlink()
            self.ledger.add(-size, -1)
            return self._move_up(name)

    def move_out(self, name: Name, target: Path) -> Name | None:
        """Take a waiting instance away to `target`, durably; it still counts as in the spool. Raises OSError.

        Returns who moved up to its name, as `remove` does.
        """
        with self.ledger.mutex():
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path(name).rename(target)
            moved = self._move_up(name)
        sync_folder(target.parent)
        return moved

    def move_in(self, source: Path, envelope: Envelope) -> Name:
        """Put an instance that is in the spool's care back among those that wait, durably. Raises OSError."""
        with self.ledger.mutex():
            name = self._free_name(_name(envelope))
            size = source.stat().st_size
            self._folders.rename(os.fspath(source), name.folder, name.file)
            self._tell(Waiting.of(name, envelope, size))
        self._folders.sync(name.folder)
        return name

    def remove_empty_folders(self, older_than: float) -> None:
        """Remove series and study folders that are empty since `older_than` (wall clock, as st_mtime)."""
        for study in folders_in(self.root, passed_over):
            for folder in (*(f"{study}/{series}" for series in folders_in(self.root / study, passed_over)), study):
                with contextlib.suppress(OSError), self.ledger.mutex():
                    if (self.root / folder).stat().st_mtime < older_than:
                        (self.root / folder).rmdir()

    def _move_up(self, gone: Name) -> Name | None:
        """As long as any of a UID waits, one has no number: see `names`. Call under the mutex."""
        if gone.number > 1:
            return None
        left = self.names_like(gone)
        if not left or left[0].number == 1:
            return None
        former = left[0]
        self.path(former).rename(self.path(gone))
        return former

    def sweep(self) -> int:
        """Remove the part files of processes that are gone; how many."""
        return sum(self._sweep_slot(slot) for slot in self.ledger.abandoned())

    def _sweep_slot(self, slot: int) -> int:
        swept = 0
        for path in self._incoming.glob(f"{slot:03d}-*.part"):
            path.unlink(missing_ok=True)
            swept += 1
        return swept

    def settle(self) -> None:
        """Count what there is, and mend what a crash may have left between two renames. For the forwarder's start."""
        with self.ledger.mutex():
            used = count = 0
            former: Name | None = None
            for name in list(self.names(passed_over)):
                used, count = used + self.path(name).stat().st_size, count + 1
                if name.number > 1 and (former is None or former.key != name.key):
                    self._move_up(name._replace(number=1))
                former = name
            for path in (self.root / ".dead").rglob("*.dcm"):
                used, count = used + path.stat().st_size, count + 1
            self.ledger.settle(used, count)


def _name(envelope: Envelope) -> Name:
    return Name(envelope.study_instance_uid, envelope.series_instance_uid, envelope.sop_instance_uid)


def _free(path: Path) -> int:
    room = os.statvfs(path)
    return room.f_bavail * room.f_frsize
