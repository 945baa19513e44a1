"""`orthanc-proxy init`: writes a configuration for taking an Orthanc's place."""

import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.options import fail, refuse
from proxy.config import Backend
from proxy.config.file import read
from proxy.drop_in import MAIN, PIPELINE, Found, Wishes, files, next_steps
from proxy.errors import ConfigError, OrthancError

_STORAGE = Path("/var/lib/orthanc-proxy")  # for a configuration below /etc, as the systemd unit has it


def init(
    url: Annotated[str, typer.Option("--from-orthanc", metavar="URL", help="As http://127.0.0.1:8042")],
    user: Annotated[str, typer.Option("--user", help="Name for Orthanc's REST API")] = "",
    password_file: Annotated[Path | None, typer.Option(metavar="FILE", help="File with the password")] = None,
    ca: Annotated[Path | None, typer.Option(metavar="FILE", help="CA bundle that signed its certificate")] = None,
    directory: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go")] = Path("config"),
    take_over: Annotated[bool, typer.Option("--take-over", help="Listen on Orthanc's own DICOM port")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there")] = False,
) -> None:
    """Write config.toml and pipelines/dicom-scp.toml from what an Orthanc tells of itself."""
    there = [str(directory / place) for place in (MAIN, PIPELINE) if (directory / place).exists()]
    if there and not force:
        fail(f"{' and '.join(there)} {'is' if len(there) == 1 else 'are'} there already; --force overwrites")
    wishes = Wishes(
        take_over=take_over,
        username=user,
        password_file=password_file.absolute() if password_file is not None else None,
        ca=ca.absolute() if ca is not None else None,
        storage=_STORAGE if directory.absolute().is_relative_to("/etc") else None,
    )
    found = _asked(url, wishes)
    _write(directory, files(found, wishes))
    typer.echo(f"{directory / MAIN} and {directory / PIPELINE} are written for Orthanc {found.version} at {found.url}")
    typer.echo(f"(AE title {found.aet}, {len(found.modalities)} modalities). Next:")
    for number, step in enumerate(next_steps(found, wishes, directory / MAIN), 1):
        typer.echo(f"  {number}. {step}")


def _asked(url: str, wishes: Wishes) -> Found:
    """What Orthanc tells of itself; the program ends where it does not."""
    from proxy.admin.advice import for_backend  # here: who is refused need not wait for the HTTP client
    from proxy.journal import Journal
    from proxy.orthanc.client import OrthancClient

    try:
        backend = Backend(
            url=url, username=wishes.username, password_file=wishes.password_file, verify=wishes.ca or True
        )
    except ValueError:
        fail(f"{url} is no address of an Orthanc, as http://127.0.0.1:8042")
    if backend.username != wishes.username or backend.password.get_secret_value():
        fail("name and password do not belong into the address: give --user and --password-file")
    try:
        with closing(OrthancClient("orthanc", backend, Journal())) as client:
            system, modalities, can = client.system(), client.modalities(), client.capabilities
    except ConfigError as error:
        refuse(error)
    except OrthancError as error:
        fail(f"{backend.url}: {error.comment}. {for_backend('orthanc', error.comment)}".rstrip())
    name = str(system.get("Name") or "")
    return Found(backend.url, name, can.dicom_aet, can.dicom_port, can.version, modalities)


def _write(directory: Path, texts: Mapping[Path, str]) -> None:
    """All files, or none where they would make no sound configuration."""
    with tempfile.TemporaryDirectory(prefix="orthanc-proxy-init-") as folder:
        try:
            _write_all(Path(folder), texts)
            read(Path(folder) / MAIN, {}, secrets=Path(folder) / "none")
            _write_all(directory, texts)
        except ConfigError as error:
            refuse(ConfigError([complaint.replace(folder, str(directory)) for complaint in error.complaints]))
        except OSError as error:
            fail(f"{error.filename or directory} cannot be written: {error.strerror or error}")


def _write_all(directory: Path, texts: Mapping[Path, str]) -> None:
    for place, text in texts.items():
        path = directory / place
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
