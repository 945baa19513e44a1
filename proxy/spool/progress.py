"""Which of its targets a waiting instance has reached, and whether it is meant for certain targets only.

A file per instance, made only where there is something to tell: with one target, an instance is delivered when its
file is gone. It is not synced: losing it means one more delivery, and re-sent duplicates are harmless.
"""

import contextlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import orjson


@dataclass(frozen=True, slots=True)
class Progress:
    """`done`: the targets that have it; `only`: the targets it is meant for, None = as routing says."""

    done: frozenset[str] = frozenset()
    only: frozenset[str] | None = None

    def left(self, routed: Collection[str]) -> tuple[str, ...]:
        """The targets that still need it, in the order of `routed`."""
        wanted = routed if self.only is None else sorted(self.only)
        return tuple(target for target in wanted if target not in self.done)


class ProgressFiles:
    """The progress of all waiting instances, by their ids, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, instance_id: str) -> Progress:
        """Nothing done, where nothing is told."""
        try:
            told = orjson.loads((self._folder / f"{instance_id}.json").read_bytes())
            only = told["only"]
            return Progress(frozenset(told["done"]), None if only is None else frozenset(only))
        except (OSError, ValueError, KeyError, TypeError):
            return Progress()

    def write(self, instance_id: str, progress: Progress) -> None:
        """Raises OSError."""
        only = None if progress.only is None else sorted(progress.only)
        content = orjson.dumps({"done": sorted(progress.done), "only": only})
        part = self._folder / f".{instance_id}.part"
        part.write_bytes(content)
        part.rename(self._folder / f"{instance_id}.json")

    def forget(self, instance_id: str) -> None:
        """Never raises."""
        with contextlib.suppress(OSError):
            os.unlink(self._folder / f"{instance_id}.json")  # noqa: PTH108  (half the time of a Path)
