"""What may be configured, read off the settings models: the keys of any table, and the whole reference."""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ByteSize, SecretStr
from pydantic.fields import FieldInfo

from proxy.config import Settings
from proxy.config.names import Path

REQUIRED = object()
"""Stands for the default of a key that has none."""


@dataclass(frozen=True)
class Entry:
    """One key of the reference. `table` is written as in TOML, with NAME where the user chooses a name."""

    table: str
    key: str
    type: str
    default: Any
    description: str
    is_array: bool = False  # the table is one of an array: [[table]]
    about: str = ""  # what the table is for


def model_of(annotation: Any) -> type[BaseModel] | None:
    """The settings model behind an annotation, if it is one."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def step(annotation: Any, part: str | int) -> Any:
    """The annotation one level deeper, or None where nothing of that name can stand."""
    model = model_of(annotation)
    if model is not None:
        field = model.model_fields.get(str(part))
        return field.annotation if field else None
    if get_origin(annotation) is dict and isinstance(part, str):
        return get_args(annotation)[1]
    if get_origin(annotation) is list and isinstance(part, int):
        return get_args(annotation)[0]
    return None


def at(path: Path) -> Any:
    """The annotation at `path`, or None where nothing can stand."""
    annotation: Any = Settings
    for part in path:
        annotation = step(annotation, part)
    return annotation


def keys_at(path: Path) -> list[str]:
    """The keys that the table at `path` knows; none where its names are the user's."""
    model = model_of(at(path))
    return list(model.model_fields) if model else []


def is_secret(path: Path) -> bool:
    """Whether the value at `path` must never be shown; so are values at places that do not exist."""
    if at(path) is None:
        return True
    hidden = any(mentions(at(path[: length + 1]), SecretStr) for length in range(len(path)))
    return hidden or str(path[-1]).endswith("password_hash")


def mentions(annotation: Any, wanted: type) -> bool:
    """Whether a scalar of type `wanted` is among what the annotation allows."""
    if model_of(annotation) is not None:
        return False
    return annotation is wanted or any(mentions(part, wanted) for part in get_args(annotation))


def describe() -> Iterator[Entry]:
    """The whole reference, table by table."""
    yield from _describe(Settings, "", is_array=False)


def _describe(model: type[BaseModel], table: str, *, is_array: bool) -> Iterator[Entry]:
    deeper: list[tuple[type[BaseModel], str, bool]] = []
    about = (model.__doc__ or "").split("\n")[0].partition(": ")[2]
    for key, field in model.model_fields.items():
        place = f"{table}.{key}" if table else key
        sub_table, name, array = _table_below(field.annotation)
        if sub_table is not None:
            deeper.append((sub_table, place + name, array))
        else:
            yield Entry(table, key, type_in_words(field), default_of(field), field.description or "", is_array, about)
    for sub_table, place, array in deeper:
        yield from _describe(sub_table, place, is_array=array)


def _table_below(annotation: Any) -> tuple[type[BaseModel] | None, str, bool]:
    """The table model that a field holds, the NAME part of its header, and whether it is an array of them."""
    if get_origin(annotation) is dict:
        return model_of(get_args(annotation)[1]), ".NAME", False
    if get_origin(annotation) is list:
        return model_of(get_args(annotation)[0]), "", True
    return model_of(annotation), "", False


def default_of(field: FieldInfo) -> Any:
    """The default of a field, or REQUIRED; secrets as their plain text (which is empty)."""
    if field.is_required():
        return REQUIRED
    value = field.get_default(call_default_factory=True, validated_data={})
    return value.get_secret_value() if isinstance(value, SecretStr) else value


_WORDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "seconds",
    bool: "true or false",
    FilePath: "path",
    ByteSize: "size",
    SecretStr: "text (secret)",
    types.NoneType: "",
}


def type_in_words(field: FieldInfo) -> str:
    """The type of a key for people, with its bounds: `whole number, 1 to 64`."""
    words = _in_words(field.annotation)
    bounds: dict[str, Any] = {}
    for rule in field.metadata:
        bounds |= {name: getattr(rule, name) for name in ("ge", "gt", "le") if hasattr(rule, name)}
    if "seconds" in words:
        return f"{words}, above {bounds['gt']:g}" if "gt" in bounds else words
    lowest = bounds["gt"] + 1 if "gt" in bounds else bounds.get("ge", 0)
    if "le" in bounds:
        return f"{words}, {lowest} to {bounds['le']}"
    return f"{words}, at least {lowest}" if lowest else words


def _in_words(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f'"{part}"' for part in parts)
    if origin in (Union, types.UnionType):
        return " or ".join(word for part in parts if (word := _in_words(part)))
    if origin is list:
        return f"list of {_in_words(parts[0])}"
    if origin is dict:
        return f"names, each with {_in_words(parts[1])}"
    if hasattr(annotation, "__metadata__"):
        return _in_words(annotation.__origin__)
    return _WORDS[annotation]
