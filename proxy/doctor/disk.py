"""Rights and room: the folders that the settings name, the cache and the spool in them."""

import os
from collections.abc import Iterator
from pathlib import Path

from proxy.admin import advice
from proxy.cache.files import CacheFiles
from proxy.config import Settings
from proxy.config.folders import nearest, unwritable
from proxy.doctor import remedies
from proxy.doctor.finding import Finding, State
from proxy.spool.figures import Figures, figures
from proxy.spool.incoming import RESERVED_STEP
from proxy.spool.room import lack_of_room
from proxy.spool.spool import FOLDER

_LITTLE = 256 << 20  # bytes on the disk of the log file
_OWN = "Give all below {} to the user of the service (chown -R)."


def disk_findings(settings: Settings) -> Iterator[Finding]:
    """To be asked as the user of the service, or rights say nothing. Nothing is made or changed."""
    yield from _rights(settings)
    if settings.logging.log_to_file:
        yield _log(settings.logging.log_file_path)
    yield _cache(settings)
    if any("store" in pipeline.services for pipeline in settings.pipelines.values()) or _is_spool(settings):
        yield from _spool(settings, figures(settings.storage.path))


def _rights(settings: Settings) -> Iterator[Finding]:
    complaints = [*unwritable(settings)]
    for complaint in complaints:
        key, _, says = complaint.partition(": ")
        yield Finding(key, "", State.FAILED, says, remedies.for_folder(complaint))
    foreign = [path for path in _ours(settings) if not os.access(path, os.W_OK, effective_ids=True)]
    for path in foreign:
        says = f"user {os.geteuid()} may not write to it; it belongs to user {path.stat().st_uid}"
        yield Finding("storage.path", str(path), State.FAILED, says, _OWN.format(settings.storage.path))
    if not complaints and not foreign:
        free = free_bytes(settings.storage.path)
        yield Finding("storage.path", str(settings.storage.path), State.OK, f"writable, {_size(free)} free")


def _ours(settings: Settings) -> Iterator[Path]:
    """What the service has made, where it is there."""
    paths = [settings.storage.path / name for name in ("cache", FOLDER, "commitment")]
    if settings.logging.log_to_file:
        paths.append(settings.logging.log_file_path)
    for path in paths:
        try:
            if path.exists():
                yield path
        except PermissionError:
            continue  # the folder above has been complained of


def _log(path: Path) -> Finding:
    free = free_bytes(path.parent)
    if free < _LITTLE:
        remedy = "Free disk space, or let logrotate keep less."
        return Finding("log file", str(path), State.WARNING, f"only {_size(free)} free", remedy)
    return Finding("log file", str(path), State.OK, f"{_size(free)} free")


def _cache(settings: Settings) -> Finding:
    folder = settings.storage.path / "cache"
    if not settings.cache.enabled:
        return Finding("cache", str(folder), State.SKIPPED, "switched off: cache.enabled = false")
    try:
        usage = CacheFiles(folder).usage()
    except OSError as error:
        return Finding("cache", str(folder), State.FAILED, error.strerror or str(error), _OWN.format(folder))
    says = f"{usage.instances} instances, {_size(usage.size)} of {_size(settings.cache.max_bytes)}"
    free = free_bytes(folder)
    if free < settings.cache.min_free_bytes:
        says += f"; the disk has {_size(free)} free, less than cache.min_free_bytes: nothing more is cached"
        return Finding("cache", str(folder), State.WARNING, says, "Free disk space, or see [cache] min_free_bytes.")
    return Finding("cache", str(folder), State.OK, says)


def _is_spool(settings: Settings) -> bool:
    try:
        return (settings.storage.path / FOLDER).is_dir()
    except PermissionError:
        return False


def _spool(settings: Settings, held: Figures) -> Iterator[Finding]:
    folder = str(settings.storage.path / FOLDER)
    lack = lack_of_room(
        settings.spool,
        used=held.bytes,
        count=held.waiting,
        free=free_bytes(settings.storage.path),
        wanted=RESERVED_STEP,
    )
    says = f"{held.waiting} instances wait, {_size(held.bytes)} of {_size(settings.spool.max_bytes)}"
    if lack:
        yield Finding("spool", folder, State.FAILED, f"C-STORE is refused: {lack}; {says}", advice.for_spool(lack))
    else:
        yield Finding("spool", folder, State.OK, says)
    if held.dead:
        remedy = "See `orthanc-proxy spool list --dead`; then retry, export or drop them."
        yield Finding("dead letters", folder, State.WARNING, f"{held.dead} instances that no target takes", remedy)


def free_bytes(folder: Path) -> int:
    """What may still be written on the disk of that folder, or of the one above that is there."""
    told = os.statvfs(nearest(folder))
    return told.f_bavail * told.f_frsize


def _size(size: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size} bytes"
