"""Instances that a target refuses for good: kept, with the reason beside them, until somebody decides.

    .dead/<letter>.dcm     the spool file
    .dead/<letter>.json    which target, why, since when

The reason is on disk before the instance moves, so there is none without. A letter taken back is a new arrival, meant
for that one target.
"""

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import orjson

from proxy.spool.durable import sync_folder, write_file
from proxy.spool.envelope import Envelope, read_head, write_head
from proxy.spool.incoming import Incoming
from proxy.spool.names import Name, is_safe_uid
from proxy.spool.progress import Progress, ProgressFiles
from proxy.spool.spool import Spool

_HEAD_READ = 4096


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter. `retryable` is False where another attempt could do harm; times are wall-clock."""

    id: str
    pipeline: str
    target: str
    why: str
    attempts: int
    received_at: float
    died_at: float
    bytes: int
    calling_aet: str
    sop_instance_uid: str
    retryable: bool = True


class DeadLetters:
    """The dead letters of a spool."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._folder = spool.root / ".dead"
        self._progress = ProgressFiles(spool.root / ".state")

    def list(self, most: int | None = None) -> list[Letter]:
        """The newest first, `most` of them at most."""
        letters = self._read_all(sorted(self._folder.glob("*.json"), reverse=True))
        return [*islice(letters, most)]

    def count(self) -> int:
        """How many."""
        return sum(1 for _ in self._folder.glob("*.json"))

    def find(self, letter_id: str) -> Letter:
        """Raises LookupError."""
        if not letter_id.isalnum():
            raise LookupError("no such dead letter")
        try:
            return Letter(**orjson.loads((self._folder / f"{letter_id}.json").read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise LookupError(f"no dead letter {letter_id}") from error

    def path(self, letter: Letter) -> Path:
        """Its instance."""
        return self._folder / f"{letter.id}.dcm"

    def bury(self, name: Name, envelope: Envelope, target: str, why: str, attempts: int, *, last: bool) -> Name | None:
        """A waiting instance is refused by `target`. `last`: no other target needs it. Raises OSError.

        Returns who moved up to its name, as `Spool.remove` does.
        """
        source = self._spool.path(name)
        with self._written(envelope, target, why, attempts, source.stat().st_size) as letter:
            if last:
                return self._spool.move_out(name, self.path(letter))
            self._copy(source, self.path(letter))
        self._spool.ledger.add(letter.bytes, 1)
        return None

    def bury_unreadable(self, name: Name, why: str) -> Name | None:
        """A waiting file that does not tell any more what it is. Raises OSError; returns as `bury` does."""
        now = time.time()
        envelope = Envelope("", "", "", "", "", 0, now, "", name.sop_instance_uid, "")
        size = self._spool.path(name).stat().st_size
        with self._written(envelope, "", why, 0, size, retryable=False) as letter:
            return self._spool.move_out(name, self.path(letter))

    def bury_arrival(self, incoming: Incoming, why: str) -> Letter:
        """An arriving instance must not be forwarded at all. Raises SpoolFull, OSError."""
        incoming.sync()
        with self._written(incoming.envelope, "", why, 0, incoming.length, retryable=False) as letter:
            incoming.path.rename(self.path(letter))
        incoming.named = True
        self._spool.ledger.add(letter.bytes, 1)
        self._spool.end(incoming)
        sync_folder(self._folder)
        return letter

    def retry(self, letter_id: str) -> Name:
        """Put it back among those that wait, for its target only. Raises LookupError, ValueError, OSError."""
        letter = self.find(letter_id)
        if not letter.retryable:
            raise ValueError(f"{letter.id} cannot be retried: {letter.why}")
        path = self.path(letter)
        with path.open("r+b") as file:
            head = file.read(_HEAD_READ)
            envelope, offset = read_head(head)
            if not (is_safe_uid(envelope.study_instance_uid) and is_safe_uid(envelope.series_instance_uid)):
                raise ValueError(f"{letter.id} has no usable UIDs")
            envelope = replace(envelope, id=f"{time.time_ns():016x}{secrets.token_hex(4)}")
            file.seek(0)
            file.write(write_head(envelope, offset))
            file.flush()
            os.fsync(file.fileno())
        self._progress.write(envelope.id, Progress(only=frozenset({letter.target})))
        name = self._spool.move_in(path, envelope)
        self._forget(letter)
        return name

    def drop(self, letter_id: str) -> Letter:
        """Delete it. Raises LookupError, OSError."""
        letter = self.find(letter_id)
        self.path(letter).unlink(missing_ok=True)
        self._spool.ledger.add(-letter.bytes, -1)
        self._forget(letter)
        return letter

    def sweep(self) -> None:
        """Forget reasons whose instance never came, or has gone, and copies that did not get whole."""
        for part in self._folder.glob("*.part"):
            part.unlink(missing_ok=True)
        for letter in self.list():
            if not self.path(letter).exists():
                self._forget(letter)

    def _read_all(self, paths: Iterable[Path]) -> Iterator[Letter]:
        for path in paths:
            try:
                yield self.find(path.stem)
            except LookupError:
                continue

    @contextlib.contextmanager
    def _written(
        self, envelope: Envelope, target: str, why: str, attempts: int, size: int, *, retryable: bool = True
    ) -> Iterator[Letter]:
        """The letter, durably; gone again where its instance cannot follow it."""
        letter = Letter(
            id=f"{time.time_ns():016x}{secrets.token_hex(4)}",
            pipeline=envelope.pipeline,
            target=target,
            why=why,
            attempts=attempts,
            received_at=envelope.received_at,
            died_at=time.time(),
            bytes=size,
            calling_aet=envelope.calling_aet,
            sop_instance_uid=envelope.sop_instance_uid,
            retryable=retryable,
        )
        write_file(self._folder / f"{letter.id}.json", orjson.dumps(asdict(letter)))
        try:
            yield letter
        except OSError:
            if not self.path(letter).exists():
                self._forget(letter)
            raise

    def _copy(self, source: Path, target: Path) -> None:
        part = target.with_suffix(".part")
        try:
            shutil.copyfile(source, part)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.rename(target)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        sync_folder(self._folder)

    def _forget(self, letter: Letter) -> None:
        (self._folder / f"{letter.id}.json").unlink(missing_ok=True)
