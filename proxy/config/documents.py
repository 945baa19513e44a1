"""The TOML files: the main one, and every *.toml in its pipelines folder, merged into one tree with origins."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from proxy.config.names import Path, dotted
from proxy.config.positions import key_lines

_NAMED = ("pipelines", "backends", "destinations")
"""Groups whose tables the user names; each such table is whole in one file."""
_DEEPEST = 24  # tables and lists inside each other


@dataclass
class Tree:
    """The merged files. `origins` tells `FILE:LINE` of every table and key; `broken`: a file could not be read."""

    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[Path, str] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    files: list[FilePath] = field(default_factory=list)
    broken: bool = False

    def origin(self, path: Path) -> str:
        """Where the nearest table or key at or above `path` stands, or what it begins with; else the first file."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
            for place, origin in self.origins.items():  # a table without a header: [a.b] makes a, a variable both
                if place[:length] == path[:length]:
                    return origin
        return str(self.files[0]) if self.files else "configuration"


def read_documents(main: FilePath) -> Tree:
    """Read `main` and the pipelines beside it; whatever is wrong with them is in `complaints`."""
    tree = Tree()
    _add(tree, main)
    proxy = tree.data.get("proxy")
    named = proxy.get("pipelines_path") if isinstance(proxy, Mapping) else None
    folder = main.parent / (named if isinstance(named, str) else "pipelines")
    if folder.is_dir():
        for path in sorted(folder.glob("*.toml")):
            _add(tree, path)
    elif named is not None:
        where = tree.origin(("proxy", "pipelines_path"))
        tree.complaints.append(f"{where}: proxy.pipelines_path: there is no folder {folder}")
    return tree


def _add(tree: Tree, path: FilePath) -> None:
    """Read one file and merge it in."""
    tree.files.append(path)
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
        _check_measure(data)
    except (OSError, ValueError, RecursionError) as error:
        tree.broken = True
        tree.complaints.append(_unreadable(path, error))
        return
    origins = {place: f"{path}:{line}" for place, line in key_lines(text).items()}
    _merge(tree, data, origins, ())


def _check_measure(data: Mapping[str, Any]) -> None:
    """Raises RecursionError, ValueError for what tomllib reads, but nobody else could."""
    level: list[Any] = [data]
    for _ in range(_DEEPEST):
        if any(isinstance(value, int) and value.bit_length() > 63 for value in level):
            raise ValueError("an integer of more than 64 bits")
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise RecursionError


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list) else ()


def _unreadable(path: FilePath, error: OSError | ValueError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return f"{path}: is nested too deep"
    if isinstance(error, OSError):
        return f"{path}: cannot be read: {error.strerror or error}"
    if isinstance(error, UnicodeDecodeError):
        return f"{path}: is not UTF-8 text (byte {error.start})"
    words = str(error)
    found = re.search(r"at line (\d+)", words)
    line = f":{found[1]}" if found else ""
    return f"{path}{line}: is not TOML: {words}"


def _merge(tree: Tree, new: Mapping[str, Any], origins: Mapping[Path, str], path: Path) -> None:
    """Merge the table `new`, which stands at `path`, into the tree; what stands in two files is a complaint."""
    target: Any = tree.data
    for part in path:
        target = target[part]
    for name, value in new.items():
        here: Path = (*path, name)
        if name not in target:
            target[name] = dict(value) if isinstance(value, Mapping) else value
            tree.origins |= {place: origin for place, origin in origins.items() if place[: len(here)] == here}
        elif isinstance(value, Mapping) and isinstance(target[name], Mapping) and not _is_named(here):
            _merge(tree, value, origins, here)
        else:
            table = dotted(here)
            tree.complaints.append(f"{origins.get(here, '')}: {table}: is already set in {tree.origin(here)}")


def _is_named(path: Path) -> bool:
    return len(path) > 1 and path[0] in _NAMED
