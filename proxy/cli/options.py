"""Options that several commands share, and how they fail: short words on standard error, exit status 2."""

import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from proxy.config.file import Configuration, read
from proxy.errors import ConfigError

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Default: $ORTHANC_PROXY_CONFIG, config/config.toml, /etc/orthanc-proxy/config.toml",
    ),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="TABLE.KEY=VALUE", help="One setting; may be repeated")
]


def configuration(config: Path | None, overrides: list[str] | None = None) -> Configuration:
    """The configuration as told; where it is not usable, all complaints are printed and the program ends."""
    try:
        return read(config, os.environ, assignments(overrides or []))
    except ConfigError as error:
        refuse(error)


def assignments(overrides: list[str]) -> dict[str, str]:
    """`["listener.bind_port=104"]` as a mapping. Raises ConfigError."""
    given: dict[str, str] = {}
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals:
            raise ConfigError([f"--set {override}: must be TABLE.KEY=VALUE"])
        given[name.strip()] = text.strip()
    return given


def refuse(error: ConfigError) -> NoReturn:
    """Print every complaint and end with status 2."""
    for complaint in error.complaints:
        typer.echo(complaint, err=True)
    raise typer.Exit(2)


def fail(words: str) -> NoReturn:
    """Say what went wrong and end with status 1."""
    typer.echo(words, err=True)
    raise typer.Exit(1)
