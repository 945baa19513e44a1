"""What waits in a spool, read off its folders: they are the only index there is."""

from collections.abc import Callable, Iterator
from pathlib import Path

from proxy.spool.names import Name, is_safe_uid, parse_file

Unreadable = Callable[[OSError], object]
"""Is told of each folder that cannot be looked into."""


def names_in(root: Path, unreadable: Unreadable) -> Iterator[Name]:
    """All that waits below `root`; those of one SOP Instance UID together and in order of arrival."""
    for study in folders_in(root, unreadable):
        for series in folders_in(root / study, unreadable):
            parsed = map(parse_file, files_in(root / study / series, unreadable))
            yield from sorted(Name(study, series, *one) for one in parsed if one is not None)


def folders_in(path: Path, unreadable: Unreadable) -> list[str]:
    """The studies, or the series of one, by name."""
    return sorted(filter(is_safe_uid, files_in(path, unreadable)))


def files_in(path: Path, unreadable: Unreadable) -> list[str]:
    """The names in a folder; none where it does not exist."""
    try:
        return [entry.name for entry in path.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        unreadable(error)
        return []


def raised(error: OSError) -> None:
    """For those to whom it is an error."""
    raise error


def passed_over(error: OSError) -> None:
    """For those who do not mind: the forwarder tells it."""
