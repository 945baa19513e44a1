"""Settings from outside the files: environment variables, secret files named like them, and --set.

`ORTHANC_PROXY__TABLE__KEY=value`, the grammar that users of Orthanc's images know: two underscores per level, JSON
where the value is a list or a table. Names below [backends], [pipelines] ... match existing ones whatever their case.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, get_args, get_origin

from proxy.config.names import Path
from proxy.config.schema import at, keys_at, mentions, model_of

PREFIX = "ORTHANC_PROXY__"
CONFIG = "ORTHANC_PROXY_CONFIG"
SECRETS = FilePath("/run/secrets")
"""Where docker and its kin mount secrets."""


@dataclass(frozen=True)
class Given:
    """One value from outside the files: `name` is how the user wrote its place, `origin` where."""

    name: str
    origin: str
    parts: tuple[str, ...]
    text: str


class Misplaced(ValueError):
    """Raised when a variable or a --set names no setting, or its value cannot be read."""


def from_environment(environ: Mapping[str, str]) -> Iterator[Given]:
    """The variables that are ours, shorter names first, so that a whole table comes before its keys."""
    for name in sorted(environ, key=lambda name: (len(name.split("__")), name)):
        if name.upper().startswith(PREFIX):
            yield Given(name, name, tuple(name[len(PREFIX) :].split("__")), environ[name])


def from_secrets(folder: FilePath) -> Iterator[Given]:
    """Files below /run/secrets that are named like our variables. Raises OSError."""
    if not folder.is_dir():
        return
    for file in sorted(folder.iterdir()):
        if file.name.upper().startswith(PREFIX) and file.is_file():
            text = file.read_text(encoding="utf-8").rstrip("\r\n")
            yield Given(file.name, str(file), tuple(file.name[len(PREFIX) :].split("__")), text)


def from_overrides(overrides: Mapping[str, str]) -> Iterator[Given]:
    """What --set table.key=value says."""
    for name, text in overrides.items():
        yield Given(name, f"--set {name}", tuple(name.split(".")), text)


def misspelt(environ: Mapping[str, str]) -> Iterator[str]:
    """Complaints about variables that look as if they were meant for us.

    Not every ORTHANC_PROXY_... is ours: Kubernetes and docker give every container the addresses of a service of
    that name, as ORTHANC_PROXY_PORT_11112_TCP.
    """
    for name in sorted(environ):
        upper = name.upper()
        if not upper.startswith("ORTHANC_PROXY_") or upper.startswith(PREFIX) or upper == CONFIG:
            continue
        if "__" in upper:
            right = PREFIX + upper.removeprefix("ORTHANC_PROXY_")
            yield f"{name}: unknown variable (two underscores after ORTHANC_PROXY: did you mean {right}?)"
        elif difflib.get_close_matches(upper, [CONFIG], cutoff=0.9):
            yield f"{name}: unknown variable (did you mean {CONFIG}?)"


def place(given: Given, data: Mapping[str, Any]) -> Path:
    """Where in the settings a value belongs. Raises Misplaced."""
    path: Path = ()
    for number, part in enumerate(given.parts):
        known = keys_at(path) or _names_at(path, data)
        matches = [key for key in known if _plain(key) == _plain(part)]
        if matches:
            path = (*path, part if part in matches else matches[0])
        elif get_origin(at(path)) is dict and part:
            path = (*path, part.lower() if given.origin != f"--set {given.name}" else part)
        else:
            raise Misplaced(_unknown(given, number, known))
    return path


def value(path: Path, text: str) -> Any:
    """The text as what `path` holds: JSON for tables and lists, otherwise left to the settings models.

    Raises Misplaced.
    """
    annotation = at(path)
    if type(None) in get_args(annotation) and (text == "null" or (text == "" and mentions(annotation, FilePath))):
        return None
    if model_of(annotation) or get_origin(annotation) in (list, dict) or _holds_list(annotation):
        try:
            return json.loads(text)
        except ValueError:
            raise Misplaced('must be JSON, as ["one", "two"] or {"key": "value"}') from None
    if mentions(annotation, bool) and text.lower() in ("true", "false"):
        return text.lower() == "true"
    return text


def set_value(data: dict[str, Any], path: Path, new: Any) -> None:
    """Put `new` at `path`, making tables on the way; a table is merged into the one that is there."""
    table: Any = data
    for part in path[:-1]:
        if not isinstance(table.get(part), dict):
            table[part] = {}
        table = table[part]
    old = table.get(path[-1])
    if isinstance(old, dict) and isinstance(new, dict):
        for name, inner in new.items():
            set_value(old, (name,), inner)
    else:
        table[path[-1]] = new


def suggestion(word: str, known: list[str]) -> str:
    """` (did you mean X?)`, or what there is where nothing is near and the list is short, or nothing."""
    lower = {key.lower(): key for key in known}
    near = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    if near:
        return f" (did you mean {lower[near[0]]}?)"
    return f" (known here: {', '.join(known)})" if 0 < len(known) <= 12 else ""


def _unknown(given: Given, number: int, known: list[str]) -> str:
    """The complaint about `given.parts[number]`, with the nearest whole name."""
    part, is_variable = given.parts[number], not given.origin.startswith("--set")
    near = difflib.get_close_matches(part.lower(), [key.lower() for key in known], n=1, cutoff=0.6)
    if near:
        parts = [*given.parts[:number], near[0], *given.parts[number + 1 :]]
        name = PREFIX + "__".join(parts).upper() if is_variable else ".".join(parts)
        return f"unknown {'variable' if is_variable else 'key'} (did you mean {name}?)"
    return f"unknown {'variable' if is_variable else 'key'}: nothing is called {part!r} there{suggestion(part, known)}"


def _names_at(path: Path, data: Mapping[str, Any]) -> list[str]:
    """The names that the user gave to tables at `path`."""
    table: Any = data
    for part in path:
        table = table.get(part) if isinstance(table, Mapping) else None
    return list(table) if isinstance(table, Mapping) and get_origin(at(path)) is dict else []


def _holds_list(annotation: Any) -> bool:
    return any(get_origin(part) is list for part in get_args(annotation))


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_")
