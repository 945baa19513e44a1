"""`orthanc-proxy support-bundle`: one file for somebody who helps."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.options import Config, Overrides, assignments, fail
from proxy.config.file import read
from proxy.errors import ConfigError


def support_bundle(
    config: Config = None,
    overrides: Overrides = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.tar.gz", help="Default: a new name in this folder")
    ] = None,
) -> None:
    """Collect what is needed to help: settings without secrets, versions, log, metrics; nothing of a patient."""
    from proxy.support.bundle import contents, of_no_use, pieces, write  # here: it needs the admin server's tables

    target = output or Path(time.strftime("orthanc-proxy-support-%Y%m%d-%H%M%S.tar.gz"))
    try:
        found = list(pieces(read(config, os.environ, assignments(overrides or []))))
    except ConfigError as error:
        found = list(of_no_use(error))
    listed = contents(found)
    typer.echo(listed.content.decode(), nl=False)
    try:
        size = write([listed, *(piece for piece in found if piece.content)], target)
    except OSError as error:
        fail(f"{target} cannot be written: {error.strerror or error}")
    typer.echo(f"\n{target}: {size:,} bytes. It names AE titles, addresses, host and file names, and no patient;")
    typer.echo("look through it before you send it on.")
