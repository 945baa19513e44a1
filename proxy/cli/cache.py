"""`orthanc-proxy cache stats | clear | warm STUDY_UID`."""

from pathlib import Path
from typing import Annotated

import typer

from proxy.cache.files import CacheFiles
from proxy.cli.options import Config, Overrides, configuration, fail, refuse
from proxy.cli.ownership import as_owner_of
from proxy.config import Settings
from proxy.errors import ConfigError, OrthancError

app = typer.Typer(help="Hot instances on this machine.", no_args_is_help=True)


@app.command()
def stats(config: Config = None, overrides: Overrides = None) -> None:
    """Say what is cached."""
    settings = configuration(config, overrides).settings
    usage = _files(settings).usage()
    typer.echo(f"{_folder(settings)}: {usage.instances} instances of {usage.series} series")
    typer.echo(f"{_megabytes(usage.size)} of {_megabytes(settings.cache.max_bytes)}{_off(settings)}")


@app.command()
def clear(config: Config = None, overrides: Overrides = None) -> None:
    """Drop everything that is cached. Associations under way are not disturbed."""
    settings = configuration(config, overrides).settings
    files = _files(settings)
    usage = files.usage()
    try:
        files.clear()
    except OSError as error:
        fail(f"{_folder(settings)} cannot be cleared: {error.strerror or error}")
    typer.echo(f"dropped {usage.instances} instances, {_megabytes(usage.size)}")


@app.command()
def warm(
    study_uid: Annotated[str, typer.Argument(metavar="STUDY_UID", help="StudyInstanceUID (0020,000D)")],
    backend: Annotated[str, typer.Option(help="Which [backends.NAME]; default: that of the first pipeline")] = "",
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Download a study into the cache, so that its first retrieve is as fast as its second."""
    settings = configuration(config, overrides).settings
    name = backend or next(iter(settings.pipelines.values())).backend
    if name not in settings.backends:
        fail(f"no [backends.{name}]; there is: {', '.join(settings.backends)}")
    if not settings.cache.enabled:
        fail("the cache is switched off: cache.enabled = false")
    from proxy.cli.warming import warmed  # here, so that the short commands need not load the HTTP client

    try:
        with as_owner_of(_folder(settings)):
            typer.echo(warmed(study_uid.strip(), name, settings, _folder(settings)))
    except OrthancError as error:
        fail(f"{name}: {error.comment}")
    except LookupError as error:
        fail(str(error.args[0]))
    except ConfigError as error:
        refuse(error)


def _folder(settings: Settings) -> Path:
    return settings.storage.path / "cache"


def _files(settings: Settings) -> CacheFiles:
    return CacheFiles(_folder(settings))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _off(settings: Settings) -> str:
    return "" if settings.cache.enabled else "; the cache is switched off"
