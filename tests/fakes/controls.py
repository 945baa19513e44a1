"""A stand-in for the supervisor: every answer is a plain attribute, every change is remembered."""

import time
from dataclasses import dataclass, field
from typing import Any

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
from proxy.spool.whose import Whose


@dataclass
class FakeControls:
    """Implements `proxy.admin.controls.Controls`; `changes` lists what was asked to change, in order."""

    changes: list[tuple[str, ...]] = field(default_factory=list)
    draining: bool = False
    level: str = "info"
    echo_answer: Echo = field(default_factory=lambda: Echo(True, "Success", 0.012))
    reload_answer: Done = field(default_factory=lambda: Done(True, ("pipelines.dicom_scp: rules changed",)))
    backend: BackendState = field(
        default_factory=lambda: BackendState("orthanc", "http://127.0.0.1:8042", True, "", "1.12.7", "extended")
    )
    spooled: SpoolSnapshot = field(default_factory=lambda: SpoolSnapshot(max_bytes=50 << 30))
    cached: CacheSnapshot = field(default_factory=lambda: CacheSnapshot(True, 3 << 30, 10 << 30, 6120, 42))
    patient: Whose = field(default_factory=lambda: Whose("Doe^Jane", "DEMO1", "A1", "20260105", "Knee", "MR"))
    settings: dict[str, Any] = field(default_factory=lambda: {"proxy": {"id": "fake"}, "backends": {}})

    def about(self) -> About:
        return About("radiology-east", "0.1.0", time.time() - 93784, "0.0.0.0:11112", 200, ("/etc/p/config.toml",))

    def probes(self) -> Probes:
        return Probes(self.draining, (self.backend,), self.spooled.full, 2, 2)

    def pipelines(self) -> tuple[PipelineInfo, ...]:
        return (
            PipelineInfo("dicom_scp", "HARMONY_SCP", ("echo", "find", "get", "move"), "orthanc", "list"),
            PipelineInfo("intake", "INTAKE", ("echo", "store", "commitment"), "orthanc"),
        )

    def workers(self) -> tuple[WorkerInfo, ...]:
        return (WorkerInfo(1, 4711, True, 0, time.time() - 93784), WorkerInfo(2, 4712, True, 1, time.time() - 360))

    def backends(self) -> tuple[BackendState, ...]:
        return (self.backend,)

    def archives(self) -> tuple[ArchiveInfo, ...]:
        return (ArchiveInfo("vna", ("dicom_scp",)),)

    def destinations(self) -> tuple[DestinationInfo, ...]:
        return (
            DestinationInfo("ws1", "WORKSTATION1", "192.0.2.10", 104),
            DestinationInfo("reading", "READING", "reading.example", 11112, "orthanc"),
        )

    def echo(self, destination: str) -> Echo:
        if destination not in {known.name for known in self.destinations()}:
            raise LookupError(destination)
        self.changes.append(("echo", destination))
        return self.echo_answer

    def spool(self) -> SpoolSnapshot:
        return self.spooled

    def retry_dead_letter(self, letter_id: str) -> Done:
        return self._letter("retry", letter_id)

    def drop_dead_letter(self, letter_id: str) -> Done:
        return self._letter("drop", letter_id)

    def _letter(self, verb: str, letter_id: str) -> Done:
        if letter_id not in {letter.id for letter in self.spooled.dead_letters}:
            raise LookupError(letter_id)
        self.changes.append((verb, letter_id))
        return Done(True)

    def whose_dead_letter(self, letter_id: str) -> Whose:
        self._letter("whose", letter_id)
        return self.patient

    def retry_all_dead_letters(self) -> Done:
        self.changes.append(("retry all",))
        return Done(True, (f"{self.spooled.dead_count} put back",))

    def cache(self) -> CacheSnapshot:
        return self.cached

    def clear_cache(self) -> Done:
        self.changes.append(("clear cache",))
        return Done(True, ("6120 instances dropped",))

    def configuration(self) -> dict[str, Any]:
        return self.settings

    def log_level(self) -> str:
        return self.level

    def set_log_level(self, level: str) -> Done:
        self.changes.append(("log level", level))
        self.level = level
        return Done(True)

    def reload(self) -> Done:
        self.changes.append(("reload",))
        return self.reload_answer


def spool_in_trouble() -> SpoolSnapshot:
    """A spool with a queue that is paused and two dead letters."""
    now = time.time()
    return SpoolSnapshot(
        waiting=312,
        bytes=164 << 20,
        max_bytes=50 << 30,
        oldest_age=754.0,
        queues=(TargetQueue("intake", "orthanc", 312, "connection refused", now + 41),),
        dead_count=2,
        dead_letters=(
            DeadLetter(
                "d-1", "intake", "orthanc", "Orthanc answers 400: Bad file format", 5, now - 7200, 525312, "CT1"
            ),
            DeadLetter(
                "d-2", "intake", "vna", "0xA900 Data set does not match SOP class", 5, now - 60, 1 << 20, "MR<2>"
            ),
        ),
    )
