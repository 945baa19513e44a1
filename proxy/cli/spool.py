"""`orthanc-proxy spool list | show | retry | drop | export`, also beside a running service."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import track

from proxy.cli.exporting import export as exported
from proxy.cli.options import Config, Overrides, configuration, fail
from proxy.cli.ownership import as_owner_of
from proxy.spool.contents import Contents, Entry
from proxy.spool.spool import FOLDER, Spool

app = typer.Typer(help="Received instances that their targets do not have yet.", no_args_is_help=True)
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="As `spool list` names them")]
AllDead = Annotated[bool, typer.Option("--all", help="All dead letters")]
Json = Annotated[bool, typer.Option("--json", help="For programs: a JSON object per line")]


@app.command("list")
def list_(
    dead: Annotated[bool, typer.Option("--dead", help="Dead letters only")] = False,
    most: Annotated[int, typer.Option(min=1, help="Show so many of each at most; with --json all")] = 100,
    as_json: Json = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Show what waits and what is dead, then how much of it there is."""
    with _contents(config, overrides) as contents:
        shown = [contents.dead()] if dead else [contents.dead(), contents.waiting()]
        for entry in chain(*(islice(entries, None if as_json else most) for entries in shown)):
            typer.echo(orjson.dumps(_facts(entry)) if as_json else _line(entry))
        if not as_json:
            waiting = "" if dead else f", {contents.count_waiting()} wait to be forwarded"
            typer.echo(f"{contents.dead_letters.count()} dead letters{waiting}")


@app.command()
def show(
    ids: Ids = None,
    as_json: Json = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Tell all that is known of instances: whence they came, where they lie, and why they are not delivered."""
    with _contents(config, overrides) as contents:
        for entry in (_found(contents, one) for one in _given(ids)):
            if as_json:
                typer.echo(orjson.dumps(_facts(entry)))
                continue
            for name, value in _facts(entry).items():
                typer.echo(f"{name:20} {value}")


@app.command()
def retry(
    ids: Ids = None,
    all_dead: AllDead = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Send dead letters to their targets once more."""
    with _contents(config, overrides) as contents:
        _each(contents, ids, all_dead, "retrying", contents.dead_letters.retry, "back in the queue")


@app.command()
def drop(
    ids: Ids = None,
    all_dead: AllDead = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Delete dead letters for good. What waits cannot be dropped: it is promised."""
    with _contents(config, overrides) as contents:
        number = contents.dead_letters.count() if all_dead else len(_given(ids))
        if not yes:
            typer.confirm(f"Delete {number} received instances that no target has?", abort=True, err=True)
        _each(contents, ids, all_dead, "dropping", contents.dead_letters.drop, "deleted")


@app.command()
def export(
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where the files go", file_okay=False)],
    ids: Ids = None,
    dead: Annotated[bool, typer.Option("--dead", help="All dead letters")] = False,
    waiting: Annotated[bool, typer.Option("--waiting", help="All that waits")] = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Copy instances as plain DICOM files; they stay in the spool."""
    with _contents(config, overrides, as_owner=False) as contents:  # it may write where the service may not
        chosen = chain(
            contents.dead() if dead else (),
            contents.waiting() if waiting else (),
            (_found(contents, one) for one in (ids or () if dead or waiting else _given(ids))),
        )
        number, words = exported([*chosen], to)
    for line in words:
        typer.echo(line, err=True)
    typer.echo(f"{number} instances copied to {to}")
    if words:
        raise typer.Exit(1)


@contextlib.contextmanager
def _contents(config: Path | None, overrides: list[str] | None, *, as_owner: bool = True) -> Iterator[Contents]:
    settings = configuration(config, overrides).settings
    folder = settings.storage.path / FOLDER
    if not folder.is_dir():
        fail(f"there is no spool at {folder}")
    try:
        with as_owner_of(folder) if as_owner else contextlib.nullcontext():
            with contextlib.closing(Spool(settings.storage.path, settings.spool)) as spool:
                yield Contents(spool)
    except BrokenPipeError:  # whoever read our output has seen enough
        raise
    except OSError as error:
        fail(f"{error.filename or folder}: {error.strerror or error}")


def _given(ids: list[str] | None) -> list[str]:
    return ids or fail("say which: an ID of `orthanc-proxy spool list`, or an option for all")


def _found(contents: Contents, entry_id: str) -> Entry:
    try:
        return contents.find(entry_id)
    except LookupError as error:
        fail(str(error.args[0]))


def _each(
    contents: Contents, ids: list[str] | None, all_dead: bool, doing: str, do: Callable[[str], object], done: str
) -> None:
    """Do it to each dead letter, the oldest first; those that cannot be are told, and the others go on."""
    chosen = [letter.id for letter in reversed(contents.dead_letters.list())] if all_dead else _given(ids)
    failures = 0
    for one in track(chosen, doing, console=Console(stderr=True), disable=len(chosen) < _FEW):
        try:
            do(one)
        except (LookupError, ValueError) as error:
            failures += 1
            typer.echo(error.args[0], err=True)
    typer.echo(f"{len(chosen) - failures} {done}")
    if failures:
        raise typer.Exit(1)


_FEW = 20


def _line(entry: Entry) -> str:
    letter, envelope = entry.letter, entry.envelope
    whence = envelope.calling_aet if envelope is not None else "?"
    what = envelope.sop_instance_uid if envelope is not None else entry.path.name
    if letter is not None:
        what = f"{letter.target or 'no target'}: {letter.why}"
    age = _age(time.time() - entry.received_at) if entry.received_at else "?"
    return (
        f"{entry.id:24}  {'dead' if letter else 'waits':5}  {age:>6}  {entry.size / 1e6:>9,.1f} MB  {whence:16}  {what}"
    )


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _facts(entry: Entry) -> dict[str, Any]:
    facts: dict[str, Any] = {"id": entry.id, "state": "dead" if entry.letter else "waiting", "file": str(entry.path)}
    facts["bytes"] = entry.size
    if entry.envelope is not None:
        facts |= {name: value for name, value in asdict(entry.envelope).items() if name not in ("id", "size")}
    if entry.letter is not None:
        facts |= {name: value for name, value in asdict(entry.letter).items() if name not in facts or facts[name] == ""}
    return {name: _readable(name, value) for name, value in facts.items()}


def _readable(name: str, value: Any) -> Any:
    if name.endswith("_at"):
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(value))
    return value
