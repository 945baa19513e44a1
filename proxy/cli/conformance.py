"""`orthanc-proxy conformance`: the DICOM Conformance Statement of this configuration."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from proxy.cli.options import Config, Overrides, configuration, fail
from proxy.config import Settings
from proxy.config.file import Configuration
from proxy.errors import OrthancError


def conformance(
    config: Config = None,
    overrides: Overrides = None,
    form: Annotated[Literal["md", "json"], typer.Option("--format", help="For people or for programs")] = "md",
    live: Annotated[bool, typer.Option("--live", help="Ask Orthanc which transfer syntaxes it accepts")] = False,
    write: Annotated[Path | None, typer.Option(metavar="FILE", help="Write to FILE")] = None,
) -> None:
    """Print the DICOM Conformance Statement (PS3.2 Annex N) of what is configured."""
    from proxy.conformance.document import markdown  # here: it needs pynetdicom's tables, which take a while to load
    from proxy.conformance.statement import as_json, statement_of

    loaded = configuration(config, overrides)
    syntaxes = _asked(loaded.settings) if live else None
    statement = statement_of(loaded.settings, origins=list(_origins(loaded)), syntaxes=syntaxes)
    text = markdown(statement) if form == "md" else as_json(statement).decode()
    if write is None:
        typer.echo(text, nl=False)
        return
    try:
        write.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{write} cannot be written: {error.strerror or error}")


def _origins(loaded: Configuration) -> Iterator[str]:
    """The files, then the names (not the values) of what was given beside them."""
    yield from map(str, loaded.files)
    files = tuple(f"{file}:" for file in loaded.files)
    yield from sorted({origin for origin in loaded.origins.values() if not origin.startswith(files)})


def _asked(settings: Settings) -> dict[str, tuple[str, ...]]:
    """What each Orthanc says it accepts, by backend."""
    from proxy.journal import Journal
    from proxy.orthanc.client import OrthancClient

    syntaxes = {}
    for name, backend in settings.backends.items():
        client = OrthancClient(name, backend, Journal())
        try:
            syntaxes[name] = client.transfer_syntaxes()
        except OrthancError as error:
            fail(f"{name}: {error.comment}")
        finally:
            client.close()
    return syntaxes
