"""The reference of all settings as Markdown, and values as they are written in TOML."""

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path as FilePath

from pydantic import BaseModel, ByteSize, SecretStr

from proxy.config.names import Path, dotted
from proxy.config.schema import REQUIRED, Entry, describe, is_secret

_HEAD = """# Configuration reference

Every key of `config/config.toml` and of the files in its pipelines folder. Written by `make docs` from the settings
models (`orthanc-proxy config docs`); `orthanc-proxy config show` prints what is in force and where it comes from.

- The file is `--config FILE`, else `$ORTHANC_PROXY_CONFIG`, else `config/config.toml`, else
  `/etc/orthanc-proxy/config.toml`. Every `*.toml` in its `pipelines_path` is merged in; which file holds a table does
  not matter, but a table with a name of yours stands in one file only.
- Then come environment variables, then files in `/run/secrets` that are named like them, then `--set table.key=value`;
  the later wins. The variable of a key is `ORTHANC_PROXY__TABLE__KEY`, two underscores per level, as
  `ORTHANC_PROXY__BACKENDS__ORTHANC__URL`; lists and tables are JSON. An unknown one is an error.
- NAME is yours to choose. Sizes are bytes or words (`"10 GiB"`), times are seconds.
- Relative paths start at the working directory, but `pipelines_path` starts at its file.
"""


def markdown() -> str:
    """The whole reference."""
    return _HEAD + "".join(_section(table, list(entries)) for table, entries in groupby(describe(), _header))


def _header(entry: Entry) -> str:
    return f"[[{entry.table}]]" if entry.is_array else f"[{entry.table}]"


def _section(header: str, entries: list[Entry]) -> str:
    about = entries[0].about
    lines = ["", f"## `{header}`", "", _cell(about[:1].upper() + about[1:]), "", "| key | type | default | meaning |"]
    lines += ["| --- | --- | --- | --- |"]
    for entry in entries:
        default = "required" if entry.default is REQUIRED else f"`{toml(entry.default)}`"
        default = "" if entry.default is None else default
        lines.append(f"| `{entry.key}` | {_cell(entry.type)} | {_cell(default)} | {_cell(entry.description)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def toml(value: object) -> str:
    """A value as TOML writes it: paths as text, sizes in words where that is exact."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, ByteSize):
        return _size(value)
    if isinstance(value, (int, float)):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, FilePath):
        return toml(f"./{value}" if value.parts[:1] == ("tmp",) else str(value))
    if isinstance(value, SecretStr):
        return toml(value.get_secret_value())
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml(item) for item in value)}]"
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{toml_key(str(name))} = {toml(inner)}" for name, inner in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return json.dumps(str(value), ensure_ascii=False)


def _size(value: int) -> str:
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value and value % factor == 0:
            return f'"{value // factor} {unit}"'
    return str(int(value))


def toml_key(name: str) -> str:
    """A key as TOML writes it, quoted where it must be."""
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)


def effective(settings: BaseModel, origins: Mapping[Path, str]) -> Iterator[str]:
    """What is in force, as lines of TOML: secrets masked, and behind each value where it comes from."""
    yield from _table(settings, (), origins, is_array=False)


def _table(table: BaseModel, path: Path, origins: Mapping[Path, str], *, is_array: bool) -> Iterator[str]:
    deeper: list[tuple[BaseModel, Path, bool]] = []
    if path:
        name = dotted(tuple(toml_key(part) for part in path if isinstance(part, str)))
        yield f"[[{name}]]" if is_array else f"[{name}]"
    for key in type(table).model_fields:
        value, place = getattr(table, key), (*path, key)
        if isinstance(value, BaseModel):
            deeper.append((value, place, False))
        elif isinstance(value, dict) and any(isinstance(inner, BaseModel) for inner in value.values()):
            deeper += [(inner, (*place, name), False) for name, inner in value.items()]
        elif isinstance(value, list) and any(isinstance(inner, BaseModel) for inner in value):
            deeper += [(inner, (*place, number), True) for number, inner in enumerate(value)]
        elif value is not None:
            yield f"{key} = {_shown(value, place)}{_comment(place, origins)}"
    if path:
        yield ""
    for inner, place, array in deeper:
        yield from _table(inner, place, origins, is_array=array)


def _shown(value: object, path: Path) -> str:
    """The value as TOML, with stars for what must not be seen."""
    if isinstance(value, Mapping):
        return toml({name: _masked(inner, (*path, name)) for name, inner in value.items()})
    return toml(_masked(value, path))


def _masked(value: object, path: Path) -> object:
    if is_secret(path) and (value.get_secret_value() if isinstance(value, SecretStr) else value):
        return "********"
    return value


def _comment(path: Path, origins: Mapping[Path, str]) -> str:
    """Where a value comes from: that of the key itself, or of the inline table it stands in."""
    for length in range(len(path), 1, -1):
        if path[:length] in origins and (length == len(path) or isinstance(path[length], int)):
            return f"  # {origins[path[:length]]}"
    return ""
