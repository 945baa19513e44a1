"""What all settings tables share: frozen, no unknown keys, sizes and durations in words."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field


class Table(BaseModel):
    """One TOML table: immutable once read, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, validate_default=True)


AeTitle = Annotated[
    str,
    Field(
        min_length=1,
        max_length=16,
        pattern=r"^[ -\[\]-~]+$",
        description="Application Entity title: 1 to 16 printable ASCII characters, no backslash (PS3.5 6.2, AE)",
    ),
]


def _not_empty(value: object) -> object:
    if value == "":
        raise ValueError("must be a path")  # "" would be the working directory
    return value


FilePath = Annotated[Path, BeforeValidator(_not_empty)]
Port = Annotated[int, Field(ge=0, le=65535, description="TCP port; 0 lets the kernel choose")]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Size = ByteSize
"""Bytes, as a number or in words: "10 GiB", "512MB"."""
