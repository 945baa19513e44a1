"""Storage commitments that are promised and not reported yet: a file each below <storage.path>/commitment.

Whoever reports one holds its claim; a claim ends with its process.
"""

import contextlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

import orjson

from proxy.dicom.commitment import Reference, Transaction
from proxy.spool.durable import make_folder, sync_folder, write_file

FOLDER = "commitment"


@dataclass(frozen=True, slots=True)
class Promise:
    """A transaction and whom to tell: `requestor_aet` from `our_aet`. `received_at` is wall-clock time."""

    id: str
    transaction: Transaction
    pipeline: str
    requestor_aet: str
    our_aet: str
    received_at: float


class Transactions:
    """The promises below `storage`. Raises OSError where that cannot be used."""

    def __init__(self, storage: Path) -> None:
        self._folder = storage.absolute() / FOLDER
        make_folder(self._folder.parent)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(self._folder.parent)

    def add(self, transaction: Transaction, pipeline: str, requestor_aet: str, our_aet: str) -> Promise:
        """Keep it, durably. Raises OSError."""
        promise = Promise(
            f"{time.time_ns():016x}{secrets.token_hex(4)}", transaction, pipeline, requestor_aet, our_aet, time.time()
        )
        write_file(self._path(promise.id), orjson.dumps(asdict(promise)))
        return promise

    def ids(self) -> list[str]:
        """All, the oldest first."""
        return sorted(path.stem for path in self._folder.glob("*.json"))

    def read(self, promise_id: str) -> Promise:
        """Raises LookupError where it is gone, or damaged; OSError where it cannot be read."""
        try:
            told = orjson.loads(self._path(promise_id).read_bytes())
            transaction = told.pop("transaction")
            references = tuple(Reference(**reference) for reference in transaction["references"])
            return Promise(**told, transaction=Transaction(transaction["uid"], references))
        except (FileNotFoundError, ValueError, TypeError, KeyError) as error:
            raise LookupError(promise_id) from error

    @contextlib.contextmanager
    def claim(self, promise_id: str) -> Iterator[bool]:
        """While True is given, nobody else reports it. False: somebody does, or it is done."""
        try:
            file = self._path(promise_id).open("rb")
        except OSError:
            yield False
            return
        with file:
            try:
                flock(file, LOCK_EX | LOCK_NB)
            except OSError:
                yield False
                return
            yield self._path(promise_id).exists()

    def remove(self, promise_id: str) -> None:
        """It is reported (or given up)."""
        self._path(promise_id).unlink(missing_ok=True)

    def _path(self, promise_id: str) -> Path:
        return self._folder / f"{promise_id}.json"
