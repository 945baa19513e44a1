"""What lies in a spool, for people: waiting instances and dead letters, each by its id."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.spool.deadletters import DeadLetters, Letter
from proxy.spool.envelope import Envelope, read_head
from proxy.spool.spool import Spool

_HEAD_READ = 16 << 10


@dataclass(frozen=True, slots=True)
class Entry:
    """One instance; `envelope` is None where its file does not tell any more, `letter` where it waits."""

    id: str
    path: Path
    size: int
    envelope: Envelope | None
    letter: Letter | None = None

    @property
    def received_at(self) -> float:
        """Wall-clock time; 0 where nothing tells it."""
        if self.letter is not None:
            return self.letter.received_at
        return self.envelope.received_at if self.envelope is not None else 0.0


class Contents:
    """Reads; changes nothing, and may do so while others receive and forward."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self.dead_letters = DeadLetters(spool)

    def waiting(self) -> Iterator[Entry]:
        """What waits, those of one SOP Instance UID in order of arrival. What goes meanwhile is left out."""
        for name in self._spool.names():
            path = self._spool.path(name)
            try:
                size = path.stat().st_size
                envelope = _envelope(path)
            except FileNotFoundError:
                continue
            yield Entry(envelope.id if envelope is not None else name.path, path, size, envelope)

    def count_waiting(self) -> int:
        """How many wait."""
        return sum(1 for _ in self._spool.names())

    def dead(self) -> Iterator[Entry]:
        """The dead letters, the newest first."""
        for letter in self.dead_letters.list():
            yield self._of(letter)

    def find(self, entry_id: str) -> Entry:
        """Raises LookupError."""
        try:
            return self._of(self.dead_letters.find(entry_id))
        except LookupError:
            for entry in self.waiting():
                if entry.id == entry_id:
                    return entry
            raise LookupError(f"nothing in the spool has the id {entry_id}") from None

    def _of(self, letter: Letter) -> Entry:
        path = self.dead_letters.path(letter)
        try:
            envelope = _envelope(path)
        except FileNotFoundError:
            envelope = None
        return Entry(letter.id, path, letter.bytes, envelope, letter)


def _envelope(path: Path) -> Envelope | None:
    with path.open("rb") as file:
        try:
            return read_head(file.read(_HEAD_READ))[0]
        except ValueError:
            return None
