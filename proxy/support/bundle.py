"""The pieces of a support bundle, each with a word on what it is, and the archive that they go into."""

import io
import os
import tarfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from proxy.admin.api import ENDPOINTS
from proxy.cache.files import CacheFiles
from proxy.config.file import Configuration
from proxy.config.reference import effective
from proxy.doctor import running
from proxy.doctor.disk import free_bytes
from proxy.errors import ConfigError, OrthancError
from proxy.journal import Journal
from proxy.orthanc.client import OrthancClient
from proxy.spool.figures import figures, letters
from proxy.support.log_tail import tail
from proxy.support.versions import versions

_LOG_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of the bundle; `about` tells what it is, or why it could not be had (then it is empty)."""

    name: str
    content: bytes
    about: str


def pieces(loaded: Configuration) -> Iterator[Piece]:
    """Everything. What cannot be had is told and left out."""
    yield Piece("versions.json", _json(versions()), "program, packages, machine")
    lines = "".join(f"{line}\n" for line in effective(loaded.settings, loaded.origins))
    yield Piece("configuration.toml", lines.encode(), "settings in force and where they come from, secrets masked")
    yield from _orthancs(loaded)
    yield from _storage(loaded)
    yield _log(loaded)
    yield from _running(loaded)


def of_no_use(error: ConfigError) -> Iterator[Piece]:
    """The same where the configuration cannot be used: its complaints, which quote no secret."""
    yield Piece("versions.json", _json(versions()), "program, packages, machine")
    lines = "".join(f"{complaint}\n" for complaint in error.complaints)
    yield Piece("configuration.txt", lines.encode(), "what is wrong with the configuration: it cannot be used")


def _orthancs(loaded: Configuration) -> Iterator[Piece]:
    for name, backend in loaded.settings.backends.items():
        try:
            with closing(OrthancClient(name, backend, Journal())) as client:
                yield Piece(f"orthanc/{name}.json", _json(client.system()), "what Orthanc says of itself (/system)")
        except OrthancError as error:
            yield Piece(f"orthanc/{name}.json", b"", error.comment)
        except ConfigError as error:
            yield Piece(f"orthanc/{name}.json", b"", str(error))


def _storage(loaded: Configuration) -> Iterator[Piece]:
    """Numbers alone: the names of spooled files are UIDs."""
    storage = loaded.settings.storage.path
    try:
        spool = {**asdict(figures(storage)), "free_bytes": free_bytes(storage), "dead_letters": letters(storage)}
        yield Piece("spool.json", _json(spool), "what waits to be forwarded, and why letters are dead")
        cache = {**asdict(CacheFiles(storage / "cache").usage()), "free_bytes": free_bytes(storage / "cache")}
        yield Piece("cache.json", _json(cache), "how much is cached")
    except OSError as error:
        yield Piece("spool.json", b"", f"{error.filename or storage}: {error.strerror or error}")


def _log(loaded: Configuration) -> Piece:
    settings = loaded.settings.logging
    if not settings.log_to_file:
        return Piece("log.txt", b"", "no log file is written; add the lines of `journalctl -u orthanc-proxy` yourself")
    try:
        text = tail(settings.log_file_path, _LOG_BYTES)
    except OSError as error:
        return Piece("log.txt", b"", f"{settings.log_file_path}: {error.strerror or error}")
    return Piece("log.txt", text.encode(), "the end of the log file, without DEBUG lines, which may name a patient")


def _running(loaded: Configuration) -> Iterator[Piece]:
    """Metrics, and all that the API shows to everybody who may read."""
    admin = loaded.settings.admin
    paths = [("metrics.txt", "/metrics", "metrics")]
    paths += [
        (f"api/{one.path.strip('/')}.json", f"/api/v1{one.path}", one.summary)
        for one in ENDPOINTS
        if one.method == "GET" and not one.role and "{" not in one.path
    ]
    for name, path, about in paths:
        try:
            reply = running.ask(admin, path)
        except running.NotRunning as error:
            yield Piece("api", b"", f"no metrics and no state of the running program: {error}")
            return
        if reply.status != 200:
            yield Piece(name, b"", f"{path} says {reply.status}")
        else:
            yield Piece(name, reply.body, about)


def write(found: Iterable[Piece], target: Path) -> int:
    """Make the archive, for its owner's eyes only; its size in bytes. Raises OSError."""
    now = time.time()
    folder = f"orthanc-proxy-support-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}"
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as archive:
        for piece in found:
            entry = tarfile.TarInfo(f"{folder}/{piece.name}")
            entry.size, entry.mtime, entry.mode = len(piece.content), int(now), 0o600
            archive.addfile(entry, io.BytesIO(piece.content))
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)  # it may have been there
        return file.write(memory.getbuffer())


def contents(found: Iterable[Piece]) -> Piece:
    """A list of the others."""
    lines = [f"{piece.name:24} {len(piece.content):>9,}  {piece.about}\n" for piece in found]
    return Piece("contents.txt", "".join(lines).encode(), "this list")


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE, default=str)
