"""How much lies in a spool, read off its folders: changes nothing, and needs no spool to be open."""

import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from proxy.spool.deadletters import Letter
from proxy.spool.listing import names_in, passed_over
from proxy.spool.spool import FOLDER


@dataclass(frozen=True, slots=True)
class Figures:
    """What waits: instances, their bytes, and when the oldest came (seconds since the epoch; 0 = none waits)."""

    waiting: int = 0
    bytes: int = 0
    oldest: float = 0.0
    dead: int = 0


def figures(storage: Path) -> Figures:
    """Of the spool below `storage`, the setting [storage] path. What cannot be looked into is passed over."""
    root = storage / FOLDER
    waiting = size = 0
    oldest = float("inf")
    for name in names_in(root, passed_over):
        with contextlib.suppress(OSError):
            status = (root / name.path).stat()
            waiting, size, oldest = waiting + 1, size + status.st_size, min(oldest, status.st_mtime)
    return Figures(waiting, size, oldest if waiting else 0.0, sum(1 for _ in (root / ".dead").glob("*.json")))


def letters(storage: Path, most: int = 100) -> list[dict[str, Any]]:
    """The newest dead letters without their UIDs: why each died, and where it was bound for."""
    found = []
    for path in sorted((storage / FOLDER / ".dead").glob("*.json"), reverse=True)[:most]:
        with contextlib.suppress(OSError, ValueError, TypeError):
            told = asdict(Letter(**orjson.loads(path.read_bytes())))
            del told["sop_instance_uid"]
            found.append(told)
    return found
