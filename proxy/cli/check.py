"""`orthanc-proxy check [--live]`: is the configuration usable, and is everybody it names there?"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from proxy.cli.options import Config, Overrides, configuration, refuse
from proxy.cli.preflight import preflight
from proxy.config import Backend, Destination, Settings
from proxy.config.file import Configuration
from proxy.echo import Address, EchoFailed, echo
from proxy.errors import ConfigError, ProxyError
from proxy.tls import destination_context

_TIMEOUT = 5.0  # seconds for each destination


@dataclass(frozen=True)
class Finding:
    """One line of the table: who, where, whether it is well, and in which words."""

    what: str
    where: str
    well: bool
    words: str


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
    typer.echo(f"configuration is valid: {_files(loaded)}")
    for pipeline in loaded.settings.pipelines.values():
        typer.echo(f"  {pipeline.aet}: {', '.join(pipeline.services)} by [backends.{pipeline.backend}]")
    if live and not _report(live_findings(loaded.settings)):
        raise typer.Exit(1)


def live_findings(settings: Settings) -> Iterator[Finding]:
    """Ask every backend for its version and every destination for a C-ECHO, one after the other."""
    for name, backend in settings.backends.items():
        yield _found(f"backends.{name}", backend.url, partial(_ask_backend, name, backend))
    calling_aet = next(iter(settings.pipelines.values())).aet
    for name, destination in settings.destinations.items():
        where = str(Address(destination.aet, destination.host, destination.port))
        yield _found(f"destinations.{name}", where, partial(_ask_destination, name, destination, calling_aet))


def _found(what: str, where: str, ask: Callable[[], str]) -> Finding:
    try:
        return Finding(what, where, True, ask())
    except ProxyError as error:
        return Finding(what, where, False, error.comment)
    except (EchoFailed, ConfigError, OSError) as error:
        return Finding(what, where, False, str(error))


def _ask_backend(name: str, backend: Backend) -> str:
    from proxy.journal import Journal
    from proxy.orthanc.client import OrthancClient  # here, so that `check` alone starts quickly

    client = OrthancClient(name, backend, Journal())
    try:
        client.ping()
        return f"Orthanc {client.capabilities.version}, C-FIND mode {client.capabilities.mode}"
    finally:
        client.close()


def _ask_destination(name: str, destination: Destination, calling_aet: str) -> str:
    address = Address(destination.aet, destination.host, destination.port)
    context = destination_context(name, destination)
    seconds = echo(address, destination.calling_aet or calling_aet, timeout=_TIMEOUT, ssl_context=context)
    return f"C-ECHO in {seconds * 1000:.0f} ms"


def _report(findings: Iterator[Finding]) -> bool:
    """Print the table; True when all is well."""
    table = Table("what", "where", "", "says", box=None, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    all_well = True
    for finding in findings:
        mark = "[green]ok[/]" if finding.well else "[red]FAILED[/]"
        table.add_row(finding.what, finding.where, mark, finding.words)
        all_well = all_well and finding.well
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return all_well


def _files(loaded: Configuration) -> str:
    return ", ".join(map(str, loaded.files)) or "environment only"
