"""At which line of a TOML file a key stands; `tomllib` does not tell.

`tomllib` itself says where a statement ends: lines are added to it until it parses.
"""

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from proxy.config.names import Path


def key_lines(text: str) -> dict[Path, int]:
    """The line, from 1, of every table and key of a valid TOML document."""
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for number, statement in _statements(text):
        header = statement.lstrip()
        if header.startswith("["):
            table = _place(tomllib.loads(statement), counts, is_array=header.startswith("[["))
            lines.setdefault(table, number)
        else:
            for path in _paths(tomllib.loads(statement)):
                lines.setdefault((*table, *path), number)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each statement with the number of its first line."""
    pending, first = "", 0
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        if not pending and (not line.strip() or line.lstrip().startswith("#")):
            continue
        first = first if pending else number
        pending += line
        try:
            tomllib.loads(pending)
        except tomllib.TOMLDecodeError:
            continue
        yield first, pending
        pending = ""


def _place(parsed: Mapping[str, Any], counts: dict[Path, int], *, is_array: bool) -> Path:
    """The path that a header line opens; arrays of tables passed on the way stand at their last element."""
    path: Path = ()
    value: Any = parsed
    while isinstance(value, Mapping) and value:
        name, value = next(iter(value.items()))
        path = (*path, name)
        opens_array = is_array and isinstance(value, list)
        if opens_array:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
        if opens_array:
            break
    return path


def _paths(parsed: Mapping[str, Any]) -> Iterator[Path]:
    """All paths in a parsed statement: of a dotted key and of an inline table, too."""
    for name, value in parsed.items():
        yield (name,)
        if isinstance(value, Mapping):
            yield from ((name, *path) for path in _paths(value))
