"""What the admin server may ask and do, answered by the supervisor (`proxy.admin.controls.Controls`)."""

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proxy import __version__, log
from proxy.admin.controls import (
    About,
    ArchiveInfo,
    BackendState,
    CacheSnapshot,
    DeadLetter,
    DestinationInfo,
    Done,
    Echo,
    PipelineInfo,
    Probes,
    SpoolSnapshot,
    TargetQueue,
    WorkerInfo,
)
from proxy.config.process import LogLevel
from proxy.echo import Address, EchoFailed, echo
from proxy.spool.whose import Whose, whose
from proxy.tls import destination_context

if TYPE_CHECKING:
    from proxy.supervisor.oversight import Oversight

_COUNTED_EVERY = 10.0  # seconds between two walks through the cache folder


class SupervisorControls:
    """Implements `Controls`. Thread-safe: it reads what others replace in one piece."""

    def __init__(self, oversight: "Oversight") -> None:
        self._over = oversight
        self._usage: tuple[float, CacheSnapshot] = (float("-inf"), CacheSnapshot())
        self._level: LogLevel = oversight.settings.proxy.log_level

    # ---- what there is

    def about(self) -> About:
        """This installation."""
        settings = self._over.settings
        ports = [port for port in (self._over.listening.dicom_port, self._over.listening.tls_port) if port]
        return About(
            id=settings.proxy.id,
            version=__version__,
            started=self._over.started,
            dicom_address=", ".join(f"{settings.listener.bind_address}:{port}" for port in ports),
            max_associations=settings.limits.associations,
            config_files=tuple(str(path) for path in self._over.config_files),
        )

    def probes(self) -> Probes:
        """What readiness depends on, from memory."""
        workers = self._over.crew.workers
        return Probes(
            draining=self._over.draining,
            backends=self._over.probe.states(),
            spool_full=self._over.forwarder.snapshot().full,
            workers_alive=sum(1 for worker in workers if worker.ready and worker.alive),
            workers=len(workers),
        )

    def pipelines(self) -> tuple[PipelineInfo, ...]:
        """Our AE titles."""
        return tuple(
            PipelineInfo(
                name=name,
                aet=entry.aet,
                services=tuple(entry.services),
                backend=entry.backend,
                access=entry.access,
                move_strategy=entry.move_strategy,
                store_mode=entry.store_mode,
                description=entry.description,
            )
            for name, entry in self._over.settings.pipelines.items()
        )

    def workers(self) -> tuple[WorkerInfo, ...]:
        """The processes that serve associations."""
        return tuple(
            WorkerInfo(worker.number, worker.process.pid, worker.alive, worker.restarts, worker.since)
            for worker in list(self._over.crew.workers)
        )

    def backends(self) -> tuple[BackendState, ...]:
        """As last probed."""
        return self._over.probe.states()

    def archives(self) -> tuple[ArchiveInfo, ...]:
        """Modalities of Orthanc that some pipeline asks for what Orthanc does not hold."""
        users: dict[str, list[str]] = {}
        for name, pipeline in self._over.settings.pipelines.items():
            for archive in pipeline.archives:
                users.setdefault(archive, []).append(name)
        return tuple(ArchiveInfo(archive, tuple(pipelines)) for archive, pipelines in users.items())

    def destinations(self) -> tuple[DestinationInfo, ...]:
        """Configured ones, then those that the backends know."""
        known = [
            DestinationInfo(name, entry.aet, entry.host, entry.port)
            for name, entry in self._over.settings.destinations.items()
        ]
        for name, client in self._over.clients.items():
            entries = (client.known_modalities() or {}).values()
            known += [DestinationInfo(f"{name}/{m.name}", m.aet, m.host, m.port, source=name) for m in entries]
        return tuple(known)

    def echo(self, destination: str) -> Echo:
        """C-ECHO. Raises LookupError."""
        entry = next((one for one in self.destinations() if one.name == destination), None)
        if entry is None:
            raise LookupError(destination)
        configured = self._over.settings.destinations.get(destination)
        calling_aet = next(iter(self._over.settings.pipelines.values())).aet
        if configured is not None and configured.calling_aet:
            calling_aet = configured.calling_aet
        tls = destination_context(destination, configured) if configured is not None else None
        address = Address(entry.aet, entry.host, entry.port)
        try:
            seconds = echo(address, calling_aet, timeout=5.0, ssl_context=tls)
        except EchoFailed as failure:
            return Echo(False, str(failure))
        return Echo(True, "it answers", seconds)

    def configuration(self) -> Mapping[str, Any]:
        """The effective settings; secrets show as ***."""
        shown: dict[str, Any] = json.loads(self._over.settings.model_dump_json())
        return shown

    # ---- the spool and the cache

    def spool(self) -> SpoolSnapshot:
        """What waits, and what is dead."""
        now = self._over.forwarder.snapshot()
        pipelines = self._over.settings.pipelines
        only = next(iter(pipelines)) if len(pipelines) == 1 else ""
        return SpoolSnapshot(
            waiting=now.waiting,
            bytes=now.bytes,
            max_bytes=int(self._over.settings.spool.max_bytes),
            oldest_age=now.oldest_age,
            full=now.full,
            queues=tuple(TargetQueue(only, lane.target, lane.waiting, lane.why, lane.retry_at) for lane in now.lanes),
            dead_count=now.dead_count,
            dead_letters=tuple(
                DeadLetter(
                    id=letter.id,
                    pipeline=letter.pipeline,
                    target=letter.target,
                    why=letter.why,
                    received_at=letter.received_at,
                    bytes=letter.bytes,
                    attempts=letter.attempts,
                    calling_aet=letter.calling_aet,
                )
                for letter in now.dead_letters
            ),
        )

    def retry_dead_letter(self, letter_id: str) -> Done:
        """Put it back. Raises LookupError."""
        try:
            self._over.forwarder.dead_letters.retry(letter_id)
        except (ValueError, OSError) as error:
            return Done(False, (_words(error),))
        return Done(True, ("the instance is back in the queue",))

    def drop_dead_letter(self, letter_id: str) -> Done:
        """Delete it. Raises LookupError."""
        self._over.forwarder.dead_letters.drop(letter_id)
        return Done(True, ("the instance is deleted",))

    def whose_dead_letter(self, letter_id: str) -> Whose:
        """Patient and study. Raises LookupError."""
        letters = self._over.forwarder.dead_letters
        try:
            return whose(letters.path(letters.find(letter_id)))
        except (OSError, ValueError) as error:
            raise LookupError(letter_id) from error

    def retry_all_dead_letters(self) -> Done:
        """Put all of them back, those that died first before the others; one that cannot be holds up none."""
        letters = [letter for letter in reversed(self._over.forwarder.dead_letters.list()) if letter.retryable]
        failures = []
        for letter in letters:
            try:
                self._over.forwarder.dead_letters.retry(letter.id)
            except (LookupError, ValueError, OSError) as error:
                failures.append(_words(error))
        back = len(letters) - len(failures)
        return Done(not failures, (f"{back} instances are back in the queue", *dict.fromkeys(failures)))

    def cache(self) -> CacheSnapshot:
        """Counted now and then: it means walking through a folder."""
        counted, snapshot = self._usage
        if time.monotonic() - counted > _COUNTED_EVERY:
            usage, settings = self._over.cache.usage(), self._over.settings.cache
            snapshot = CacheSnapshot(
                settings.enabled, usage.size, int(settings.max_bytes), usage.instances, usage.series
            )
            self._usage = (time.monotonic(), snapshot)
        return snapshot

    def clear_cache(self) -> Done:
        """Drop every cached instance; what is being sent stays readable until it is sent."""
        self._over.cache.clear()
        self._usage = (float("-inf"), CacheSnapshot())
        return Done(True, ("the cache is empty",))

    # ---- steering

    def log_level(self) -> LogLevel:
        """What is logged now."""
        return self._level

    def set_log_level(self, level: LogLevel) -> Done:
        """In this process and in all workers, until the next reload."""
        self._level = level
        log.set_level(level)
        self._over.crew.tell("level", level)
        return Done(True, (f"log level is {level}",))

    def reload(self) -> Done:
        """Read the configuration again."""
        ok, words = self._over.reload()
        self._level = self._over.settings.proxy.log_level if ok else self._level
        return Done(ok, words)


def _words(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error.args[0])
