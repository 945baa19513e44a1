"""`orthanc-proxy cache warm`: downloads a study into the cache."""

from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from proxy.cache.instances import InstanceCache
from proxy.config import Settings
from proxy.dicom.identifier import RetrieveKeys
from proxy.dicom.messages import Located
from proxy.events import CacheChanged, Event
from proxy.journal import Journal
from proxy.orthanc.client import OrthancClient
from proxy.orthanc.listing import locate

_STUDY_INSTANCE_UID = 0x0020000D


def warmed(study_instance_uid: str, backend: str, settings: Settings, folder: Path) -> str:
    """Have the study in the cache below `folder`; a sentence on how that went.

    Raises OrthancError, ConfigError, and LookupError where Orthanc holds no such study.
    """
    with closing(OrthancClient(backend, settings.backends[backend], Journal())) as client:
        located = locate(client, RetrieveKeys("STUDY", {_STUDY_INSTANCE_UID: (study_instance_uid,)}))
        if not located:
            raise LookupError(f"{backend} holds no study {study_instance_uid}")
        return Warming(settings, folder, client).run(located)


class Warming:
    """Downloads what is not cached yet, a few at a time, with a progress bar."""

    def __init__(self, settings: Settings, folder: Path, client: OrthancClient) -> None:
        self._parallel = client.backend.downloads
        self._stored = 0
        journal = Journal(self._count)
        self._cache = InstanceCache(folder, settings.cache, journal, client.download)
        self._cache.start()

    def run(self, located: list[Located]) -> str:
        """Fetch them all; a sentence on how that went. Raises OrthancError."""
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        hits = 0
        with Progress(*columns, console=Console(stderr=True)) as progress, ThreadPoolExecutor(self._parallel) as pool:
            task = progress.add_task(f"{len(located)} instances", total=sum(one.size for one in located) or None)
            running = {pool.submit(self._fetch, one): one for one in located}
            try:
                for done in as_completed(running):
                    hits += done.result()
                    progress.advance(task, running[done].size)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        self._cache.close()
        words = f"{len(located)} instances: {hits} were cached, {self._stored} are now"
        left = len(located) - hits - self._stored
        return words + (f", {left} could not be (is the disk full, or cache.max_bytes too small?)" if left else "")

    def _fetch(self, located: Located) -> bool:
        """Have one instance in the cache; True when it was there."""
        instance = self._cache.lookup(located) or self._cache.fetch(located)
        instance.close()
        return instance.was_hit

    def _count(self, event: Event) -> None:
        if isinstance(event, CacheChanged) and event.written_bytes:
            self._stored += 1
