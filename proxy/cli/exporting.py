"""`orthanc-proxy spool export`: copies of spooled instances as plain DICOM files."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from proxy.spool.contents import Entry
from proxy.spool.names import is_safe_uid
from proxy.spool.parcel import Damaged, opened


def export(entries: Sequence[Entry], folder: Path) -> tuple[int, list[str]]:
    """Copy each to `folder`; how many were, and words on those that are damaged or have gone. Raises OSError."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    copied, words = 0, []
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(f"{len(entries)} instances", total=sum(entry.size for entry in entries) or None)
        for entry in entries:
            try:
                words += _copy(entry, folder / _place(entry))
                copied += 1
            except FileNotFoundError:
                words.append(f"{entry.id} has left the spool meanwhile")
            progress.advance(task, entry.size)
    return copied, words


def _place(entry: Entry) -> Path:
    """<Study>/<Series>/<id>.dcm, or <id>.dcm where the UIDs are not known or no names."""
    file = f"{entry.path.stem if '/' in entry.id else entry.id}.dcm"
    envelope = entry.envelope
    uids = (envelope.study_instance_uid, envelope.series_instance_uid) if envelope is not None else ("", "")
    return Path(*uids, file) if all(is_safe_uid(uid) for uid in uids) else Path(file)


def _copy(entry: Entry, target: Path) -> list[str]:
    """One instance, written beside its name; words where it is not what was received."""
    if not entry.path.exists():
        raise FileNotFoundError(entry.path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    words = []
    try:
        with opened(entry.path) as parcel, part.open("wb") as file:
            file.write(parcel.head)
            file.write(parcel.data)
    except Damaged as damage:
        shutil.copyfile(entry.path, part)
        words = [f"{entry.id} is copied as it is: {damage}"]
    part.rename(target)
    return words
