"""Whether we may write where the settings say, told before anything is opened."""

import os
from collections.abc import Iterator
from pathlib import Path

from proxy.config import Settings


def unwritable(settings: Settings) -> Iterator[str]:
    """Complaints about folders that cannot be made or written to; nothing is made yet."""
    folders = {"storage.path": settings.storage.path}
    if settings.logging.log_to_file:
        folders["logging.log_file_path"] = settings.logging.log_file_path.parent
    for key, folder in folders.items():
        there = nearest(folder)
        if not there.is_dir():
            yield f"{key}: {there} is not a folder"
        elif os.statvfs(there).f_flag & os.ST_RDONLY:
            yield f"{key}: {there} is on a file system that is mounted read-only"
        elif not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
            yield f"{key}: user {os.geteuid()} may not write to {there}, which belongs to user {there.stat().st_uid}"


def nearest(path: Path) -> Path:
    """The path itself where it is there, else the nearest folder above it that is."""
    return next(one for one in (path.absolute(), *path.absolute().parents) if _is_there(one))


def _is_there(path: Path) -> bool:
    """`Path.exists`, but False for what we may not even look at."""
    try:
        return path.exists()
    except PermissionError:
        return False
