"""What the admin server may ask of, and do to, the running program: one protocol, offered by the supervisor.

Everything that the event stream does not tell comes through here. Methods are called from HTTP worker threads,
several at once; they answer within a few seconds and raise nothing but `LookupError` for an unknown name or id.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from proxy.config.process import LogLevel
from proxy.spool.whose import Whose


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a change: `words` are for the administrator, one line per fact."""

    ok: bool
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Echo:
    """A C-ECHO to a destination. `seconds` from connect to response."""

    ok: bool
    words: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A received instance that its target refuses for good. `id` names it in retry and drop; no UIDs."""

    id: str
    pipeline: str
    target: str
    why: str
    attempts: int = 0
    received_at: float = 0.0  # seconds since the epoch
    bytes: int = 0
    calling_aet: str = ""


@dataclass(frozen=True, slots=True)
class TargetQueue:
    """What waits for one target. `retry_at` (seconds since the epoch) while it is paused after a failure."""

    pipeline: str
    target: str
    waiting: int
    why: str = ""
    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class SpoolSnapshot:
    """The spool now. `oldest_age` in seconds; `full` says in words why C-STORE is refused, "" = it is not."""

    waiting: int = 0
    bytes: int = 0
    max_bytes: int = 0
    oldest_age: float = 0.0
    full: str = ""
    queues: tuple[TargetQueue, ...] = ()
    dead_count: int = 0
    dead_letters: tuple[DeadLetter, ...] = ()  # the newest hundred at most


@dataclass(frozen=True, slots=True)
class CacheSnapshot:
    """What the cache holds now; hits and misses come as events."""

    enabled: bool = True
    bytes: int = 0
    max_bytes: int = 0
    instances: int = 0
    series: int = 0


@dataclass(frozen=True, slots=True)
class BackendState:
    """An Orthanc as last probed. `mode`: how it is asked (see `proxy.orthanc.version`)."""

    name: str
    url: str  # without credentials
    reachable: bool
    words: str = ""
    version: str = ""
    mode: str = ""


@dataclass(frozen=True, slots=True)
class DestinationInfo:
    """A Move Destination. `source`: "configuration", or the name of the backend that knows it."""

    name: str
    aet: str
    host: str
    port: int
    source: str = "configuration"


@dataclass(frozen=True, slots=True)
class ArchiveInfo:
    """A modality of Orthanc that is asked for what Orthanc does not hold."""

    name: str
    pipelines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PipelineInfo:
    """One of our AE titles."""

    name: str
    aet: str
    services: tuple[str, ...]
    backend: str
    access: str = "open"
    move_strategy: str = "direct"
    store_mode: str = "spool"
    description: str = ""


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A process that serves associations. `since` in seconds since the epoch."""

    number: int
    pid: int
    alive: bool
    restarts: int = 0
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class About:
    """This installation. `dicom_address` as `0.0.0.0:11112`; `config_files` in the order they were read."""

    id: str
    version: str
    started: float
    dicom_address: str
    max_associations: int
    config_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Probes:
    """What readiness depends on."""

    draining: bool = False
    backends: tuple[BackendState, ...] = ()
    spool_full: str = ""
    workers_alive: int = 1
    workers: int = 1


class Controls(Protocol):
    """Offered by `proxy.supervisor`."""

    def about(self) -> About: ...
    def probes(self) -> Probes:
        """Answers from memory: a background probe keeps it fresh, so health checks cost Orthanc nothing."""

    def pipelines(self) -> tuple[PipelineInfo, ...]: ...
    def workers(self) -> tuple[WorkerInfo, ...]: ...
    def backends(self) -> tuple[BackendState, ...]: ...
    def archives(self) -> tuple[ArchiveInfo, ...]: ...
    def destinations(self) -> tuple[DestinationInfo, ...]: ...
    def echo(self, destination: str) -> Echo:
        """C-ECHO to a destination by name. Raises LookupError."""

    def spool(self) -> SpoolSnapshot: ...
    def retry_dead_letter(self, letter_id: str) -> Done:
        """Put it back in the queue. Raises LookupError."""

    def drop_dead_letter(self, letter_id: str) -> Done:
        """Delete it for good. Raises LookupError."""

    def retry_all_dead_letters(self) -> Done: ...
    def whose_dead_letter(self, letter_id: str) -> Whose:
        """Patient and study: for the role admin only. Raises LookupError."""

    def cache(self) -> CacheSnapshot: ...
    def clear_cache(self) -> Done: ...
    def configuration(self) -> Mapping[str, Any]:
        """The effective configuration as JSON-ready values, secrets replaced by "***"."""

    def log_level(self) -> LogLevel: ...
    def set_log_level(self, level: LogLevel) -> Done: ...
    def reload(self) -> Done:
        """Read the configuration again; an invalid one changes nothing and `words` say why."""
