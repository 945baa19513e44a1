"""`orthanc-proxy check [--live]`: is the configuration usable, and is everybody it names there?"""

from typing import Annotated

import typer

from proxy.cli.options import Config, Overrides, configuration, refuse
from proxy.config.file import Configuration
from proxy.doctor.preflight import preflight
from proxy.errors import ConfigError


def check(
    config: Config = None,
    overrides: Overrides = None,
    live: Annotated[bool, typer.Option("--live", help="Reach every backend and destination, too")] = False,
) -> None:
    """Validate the configuration. Exit status: 0 well, 1 somebody cannot be reached, 2 not usable."""
    loaded = configuration(config, overrides)
    try:
        preflight(loaded.settings)
    except ConfigError as error:
        refuse(error)
    typer.echo(f"configuration is valid: {files_of(loaded)}")
    for pipeline in loaded.settings.pipelines.values():
        typer.echo(f"  {pipeline.aet}: {', '.join(pipeline.services)} by [backends.{pipeline.backend}]")
    if live:
        from proxy.cli.findings import show  # here, so that `check` alone starts quickly
        from proxy.doctor.peers import peer_findings

        if not show(peer_findings(loaded.settings)):
            raise typer.Exit(1)


def files_of(loaded: Configuration) -> str:
    """Where the settings were read from, for people."""
    return ", ".join(map(str, loaded.files)) or "environment only"
