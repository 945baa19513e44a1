"""`orthanc-proxy config show | docs`."""

from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.options import Config, Overrides, configuration
from proxy.config.reference import effective, markdown

app = typer.Typer(help="What is configured, and what can be.", no_args_is_help=True)


@app.command()
def show(config: Config = None, overrides: Overrides = None) -> None:
    """Print the settings in force as TOML, secrets masked, with the origin of each value that was given."""
    loaded = configuration(config, overrides)
    for line in effective(loaded.settings, loaded.origins):
        typer.echo(line)


@app.command()
def docs(
    write: Annotated[Path | None, typer.Option(metavar="FILE", help="Write to FILE, as `make docs` does")] = None,
) -> None:
    """Print the reference of all settings as Markdown."""
    if write is None:
        typer.echo(markdown(), nl=False)
    else:
        write.write_text(markdown(), encoding="utf-8")
