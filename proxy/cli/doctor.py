"""`orthanc-proxy doctor`: runs the whole path, and says what helps where it is not well."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.check import files_of
from proxy.cli.findings import dump, show
from proxy.cli.options import Config, Overrides, assignments
from proxy.cli.ownership import as_owner_of
from proxy.config.file import read
from proxy.doctor.finding import Finding, State
from proxy.errors import ConfigError

_CORRECT = "Correct it; docs/configuration.md describes every key."


def doctor(
    config: Config = None,
    overrides: Overrides = None,
    aet: Annotated[str, typer.Option("-aet", "--aetitle", "--aet", help="Our AE title for the test calls")] = "DOCTOR",
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a JSON object")] = False,
) -> None:
    """Look at everything from the configuration to a retrieve. Exit status: 0 well, 1 something failed."""
    well = (dump if as_json else show)(_findings(config, overrides, aet))
    if not well:
        raise typer.Exit(1)


def _findings(config: Path | None, overrides: list[str] | None, aet: str) -> Iterator[Finding]:
    """The configuration first: nothing else can be looked at without."""
    from proxy.doctor.examination import Examination  # here, so that the short commands need not load what it needs

    try:
        loaded = read(config, os.environ, assignments(overrides or []))
    except ConfigError as error:
        for complaint in error.complaints:
            where, _, says = complaint.partition(": ")
            yield Finding("configuration", where, State.FAILED, says or complaint, _CORRECT)
        return
    yield Finding("configuration", files_of(loaded), State.OK, "valid")
    yield from Examination(loaded.settings, as_owner_of, aet).findings()
