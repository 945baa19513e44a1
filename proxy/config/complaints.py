"""What is wrong with a configuration, one line each: `FILE:LINE: table.key: what (did you mean ...?)`.

Values are quoted only where they cannot be secret.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from proxy.config.names import Path, dotted, unresolved
from proxy.config.pipelines import Pipeline
from proxy.config.schema import at, is_secret, keys_at, model_of, step
from proxy.config.variables import suggestion

Origin = Callable[[Path], str]

_AE_TITLE = "must be an AE title: 1 to 16 printable ASCII characters, no backslash"
_WORDS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "byte_size": 'must be a size, as 1048576 or "10 GiB"',
    "byte_size_unit": 'must be a size, as 1048576 or "10 GiB"',
    "dict_type": "must be a table",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "list_type": 'must be a list, as ["one", "two"]',
    "model_type": "must be a table",
    "path_type": "must be a path",
    "string_type": "must be text",
    "too_short": "must name at least one",
}


def from_validation(error: ValidationError, origin: Origin) -> list[str]:
    """The complaints of the settings models, one for each key."""
    said: dict[Path, list[str]] = {}
    for details in error.errors():
        if not details["loc"]:
            continue  # names that do not resolve: `from_names` tells them in any case
        path = _path(details)
        words = said.setdefault(path, [])
        if (sentence := _sentence(details, path)) not in words:
            words.append(sentence)
    return [f"{origin(path)}: {dotted(path)}: {', or '.join(words)}" for path, words in said.items()]


def from_names(data: Mapping[str, Any], origin: Origin) -> list[str]:
    """The complaints about names that do not resolve, told although other things may be wrong, too."""
    pipelines = {name: pipeline for name, raw in _tables(data, "pipelines") if (pipeline := _valid(raw)) is not None}
    backends = [name for name, _ in _tables(data, "backends")]
    destinations = [name for name, _ in _tables(data, "destinations")]
    return [
        f"{origin(path)}: {dotted(path)}: {what}"
        for path, what in unresolved(pipelines, backends, destinations)
        if backends or path[-1] != "backend"  # that there is no backend at all is said elsewhere
    ]


def _valid(raw: object) -> Pipeline | None:
    try:
        return Pipeline.model_validate(raw)
    except ValidationError:
        return None


def _tables(data: Mapping[str, Any], group: str) -> Iterator[tuple[str, Any]]:
    tables = data.get(group)
    if isinstance(tables, Mapping):
        yield from tables.items()


def _path(details: ErrorDetails) -> Path:
    """The place of an error; pydantic appends which member of a union it tried."""
    location = details["loc"]
    if details["type"] == "extra_forbidden":
        return location
    path: Path = ()
    for part in location:
        if step(at(path), part) is None:
            break
        path = (*path, part)
    return path


def _sentence(details: ErrorDetails, path: Path) -> str:
    kind, value = details["type"], details["input"]
    if kind == "extra_forbidden":
        what = "table" if isinstance(value, (dict, list)) and len(path) == 1 else "key"
        return f"unknown {what}{suggestion(str(path[-1]), keys_at(path[:-1]))}"
    if kind == "missing":
        return _missing(path)
    if kind.startswith("string_") and str(path[-1]).endswith("aet"):
        return _AE_TITLE
    words = _WORDS.get(kind) or details["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
    return words + _quoted(value, path, details)


def _missing(path: Path) -> str:
    if path == ("backends",):
        return 'is missing: there must be one table as [backends.orthanc] with url = "http://127.0.0.1:8042"'
    model = model_of(at(path[:-1]))
    field = model.model_fields.get(str(path[-1])) if model else None
    return f"is missing ({field.description})" if field and field.description else "is missing"


def _quoted(value: object, path: Path, details: ErrorDetails) -> str:
    if is_secret(path) or not isinstance(value, (str, int, float, bool)) or path[-1] == "url":
        return ""
    if details["type"] == "literal_error" and isinstance(value, str):
        expected = str(details.get("ctx", {}).get("expected", ""))
        words = [word.strip("' ") for word in expected.replace(" or ", ",").split(",")]
        near = suggestion(value, words)
        return f", not {value!r}" + (near if "did you mean" in near else "")
    return f", not {value!r}"


def in_order(complaints: list[str], files: Sequence[FilePath]) -> list[str]:
    """File by file and line by line; what stands in no file comes last."""

    def key(complaint: str) -> tuple[int, int]:
        for number, file in enumerate(files):
            if complaint.startswith(f"{file}:"):
                line = complaint.removeprefix(f"{file}:").partition(":")[0]
                return number, int(line) if line.isdecimal() else 0
        return len(files), 0

    return sorted(complaints, key=key)
