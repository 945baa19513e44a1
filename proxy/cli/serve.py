"""`orthanc-proxy serve`: the program itself."""

import os
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.options import Config, Overrides, assignments, configuration, refuse
from proxy.config.file import load
from proxy.doctor.preflight import preflight
from proxy.errors import ConfigError


def serve(
    config: Config = None,
    overrides: Overrides = None,
    ready_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the ports there as JSON once it serves")
    ] = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; SIGHUP reads the configuration again."""
    from proxy.supervisor import run  # here, so that the short commands need not load the servers

    loaded = configuration(config, overrides)
    try:
        preflight(loaded.settings)
        given = assignments(overrides or [])
        status = run(
            lambda: load(config, os.environ, given),
            loaded.settings,
            ready_file=ready_file,
            config_files=loaded.files,
        )
    except ConfigError as error:
        refuse(error)
    raise typer.Exit(status)
