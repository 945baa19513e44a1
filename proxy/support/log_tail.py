"""The end of a log file, for somebody else: lines of DEBUG may name a patient and are left out.

A line that does not begin with a time (or is no JSON object) belongs to the one before it, as a traceback does.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

HARMLESS = frozenset({"info", "warning", "error", "critical"})
"""Levels whose lines name no patient (`proxy.log`)."""

_TEXT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z (\w+) ")


def harmless(lines: Iterable[str]) -> Iterator[str]:
    """Those lines, in either format, that are of a harmless level; what comes before the first level is of none."""
    keep = False
    for line in lines:
        level = _level(line)
        if level is not None:
            keep = level in HARMLESS
        if keep:
            yield line


def _level(line: str) -> str | None:
    """The level of a log line; None where the line goes on with the one before it."""
    if line.startswith("{"):
        try:
            told = orjson.loads(line)
        except orjson.JSONDecodeError:
            return ""  # cut off: nobody knows
        return str(told.get("level", ""))
    match = _TEXT.match(line)
    return match[1] if match else None


def tail(path: Path, most: int) -> str:
    """The harmless lines of the last `most` bytes. Raises OSError."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - most))
        text = file.read(most).decode("utf-8", "replace")
    lines = text.splitlines()
    if size > most:
        del lines[:1]  # it is cut
    return "".join(f"{line}\n" for line in harmless(lines))
