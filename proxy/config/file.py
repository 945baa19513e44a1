"""Reads the configuration: files, then environment, then secret files, then the command line; the later wins.

Whatever is wrong is told at once, each complaint with its place: `config.toml:12: listener.bind_prt: unknown key
(did you mean bind_port?)`. Relative paths start at the working directory, but `pipelines_path` starts at its file.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from pydantic import ValidationError

from proxy.config import Settings
from proxy.config.complaints import from_names, from_validation, in_order
from proxy.config.documents import Tree, read_documents
from proxy.config.names import Path, dotted
from proxy.config.schema import at, mentions
from proxy.config.variables import (
    CONFIG,
    SECRETS,
    Given,
    Misplaced,
    from_environment,
    from_overrides,
    from_secrets,
    misspelt,
    place,
    set_value,
    value,
)
from proxy.errors import ConfigError

SEARCHED = (FilePath("config/config.toml"), FilePath("/etc/orthanc-proxy/config.toml"))
"""Where the file is looked for when neither --config nor $ORTHANC_PROXY_CONFIG names it."""

_WRITTEN = {("proxy", "pipelines_path"), ("logging", "log_file_path"), ("storage", "path")}
"""Paths that we make ourselves or have looked at already; every other path names a file that we must read."""


@dataclass(frozen=True)
class Configuration:
    """The settings, the files they were read from, and the origin of every value that was given."""

    settings: Settings
    files: tuple[FilePath, ...] = ()
    origins: Mapping[Path, str] = field(default_factory=dict)


def find(given: FilePath | None, environ: Mapping[str, str]) -> FilePath | None:
    """The main file: `given`, else $ORTHANC_PROXY_CONFIG, else the first of `SEARCHED` that is there, else None."""
    if given is not None:
        return given
    if environ.get(CONFIG):
        return FilePath(environ[CONFIG])
    return next((path for path in SEARCHED if path.is_file()), None)


def load(path: FilePath | None, environ: Mapping[str, str], overrides: Mapping[str, str] | None = None) -> Settings:
    """The settings alone. Raises ConfigError."""
    return read(path, environ, overrides).settings


def read(
    path: FilePath | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, str] | None = None,
    secrets: FilePath = SECRETS,
) -> Configuration:
    """The settings with their origins. `path` is the main file, or None to `find` it. Raises ConfigError."""
    main = find(path, environ)
    tree = read_documents(main) if main is not None else Tree()
    given = [*from_environment(environ), *_secrets(tree, secrets), *from_overrides(overrides or {})]
    if main is None and not given:
        looked = ", ".join(str(place) for place in SEARCHED)
        raise ConfigError([f"no configuration: give --config FILE or ${CONFIG}; looked for {looked}"])
    tree.complaints.extend(misspelt(environ))
    _apply(tree, given)
    settings = _settings(tree)
    tree.complaints.extend(_unreadable(tree))
    if tree.complaints or settings is None:
        raise ConfigError(in_order(tree.complaints, tree.files))
    return Configuration(settings, tuple(tree.files), tree.origins)


def _secrets(tree: Tree, folder: FilePath) -> Iterable[Given]:
    try:
        return list(from_secrets(folder))
    except (OSError, UnicodeDecodeError) as error:
        tree.complaints.append(f"{folder}: a secret cannot be read: {error}")
        return []


def _apply(tree: Tree, given: Iterable[Given]) -> None:
    """Put the values from outside the files into the tree."""
    for one in given:
        try:
            path = place(one, tree.data)
            new = value(path, one.text)
        except Misplaced as error:
            tree.complaints.append(f"{one.origin}: {error}")
        else:
            set_value(tree.data, path, new)
            tree.origins |= dict.fromkeys(_leaves(new, path), one.origin)


def _leaves(value: object, path: Path) -> Iterator[Path]:
    """The places of the values below `path`, which a JSON object brings several of."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, (*path, name))
    else:
        yield path


def _settings(tree: Tree) -> Settings | None:
    """The validated settings; or None, with the complaints in the tree."""
    settings = None
    try:
        settings = Settings.model_validate(tree.data)
    except ValidationError as error:
        told = from_validation(error, tree.origin)
        if tree.broken:  # what is missing may stand in the file that could not be read
            told = [line for line in told if ": is missing" not in line]
        tree.complaints.extend(told)
    if not tree.broken:
        tree.complaints.extend(from_names(tree.data, tree.origin))
    return settings


def _unreadable(tree: Tree) -> Iterator[str]:
    """Complaints about files that the settings name and that cannot be read."""
    for path, file in _files(tree.data, ()):
        try:
            with file.open("rb"):
                pass
        except OSError as error:
            if not file.is_dir():  # a folder of CA certificates is fine
                yield f"{tree.origin(path)}: {dotted(path)}: {file} cannot be read: {error.strerror}"


def _files(value: object, path: Path) -> Iterator[tuple[Path, FilePath]]:
    """Every file that is named anywhere below `value`."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _files(inner, (*path, name))
    elif isinstance(value, str) and value and path not in _WRITTEN and mentions(at(path), FilePath):
        yield path, FilePath(value)
