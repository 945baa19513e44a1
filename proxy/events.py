"""What happens in the program, as plain data: the one source of log lines, metrics and the status page.

Every event can be turned to JSON (`dataclasses.asdict`) and carries no patient data: requestors are named by
AE title and address, data by counts and bytes.
"""

import time
from dataclasses import dataclass, field, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`at` is the wall-clock time in seconds since the epoch."""

    at: float = field(default_factory=time.time)

    def __reduce__(self) -> tuple[object, ...]:
        """For the way from process to process: a fifth of the time that pickle takes for dataclasses with slots."""
        return _remade, (type(self), tuple([getattr(self, name) for name in _names(type(self))]))


_NAMES: dict[type[Event], tuple[str, ...]] = {}


def _names(kind: type[Event]) -> tuple[str, ...]:
    if kind not in _NAMES:
        _NAMES[kind] = tuple(one.name for one in fields(kind))
    return _NAMES[kind]


def _remade(kind: type[Event], values: tuple[object, ...]) -> Event:
    return kind(**dict(zip(_names(kind), values, strict=True)))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationRefused(Event):
    """An A-ASSOCIATE-RQ was rejected, or a connection never came so far (result 0)."""

    calling_aet: str
    called_aet: str
    address: str
    result: int
    source: int
    reason: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationOpened(Event):
    """An association was accepted."""

    association_id: str
    label: str
    calling_aet: str
    called_aet: str
    address: str
    pipeline: str
    implementation_version: str = ""
    tls: bool = False
    port: int = 0
    certificate_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationEnded(Event):
    """An association is over. `how`: released, aborted, lost, timeout or protocol error."""

    association_id: str
    label: str
    calling_aet: str
    called_aet: str
    pipeline: str
    how: str
    why: str
    duration: float  # seconds
    operations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationProgress(Event):
    """An operation runs: told at its start and at most once a second after that."""

    association_id: str
    label: str
    calling_aet: str
    pipeline: str
    command: str
    message_id: int
    level: str = ""
    destination: str = ""
    remaining: int = 0
    completed: int = 0
    failed: int = 0
    warning: int = 0
    bytes: int = 0
    started: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationEnded(Event):
    """A DIMSE request got its final response (or its association went away: status -1)."""

    association_id: str
    label: str
    calling_aet: str
    pipeline: str
    command: str
    message_id: int
    status: int
    comment: str = ""
    level: str = ""
    destination: str = ""
    duration: float = 0.0  # seconds
    bytes: int = 0
    matches: int = 0
    completed: int = 0
    failed: int = 0
    warning: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    sop_class: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrthancCalled(Event):
    """One REST call. `endpoint` is a route with placeholders, as `/instances/{id}/file`; status 0 = no answer."""

    backend: str
    method: str
    endpoint: str
    status: int
    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheChanged(Event):
    """The cache did something: hits, misses, coalesced downloads, evictions, damaged files, write failures."""

    hits: int = 0
    misses: int = 0
    coalesced: int = 0
    evicted: int = 0
    evicted_bytes: int = 0
    written_bytes: int = 0
    damaged: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded(Event):
    """One attempt to deliver a spooled instance. `outcome`: delivered, retry, dead."""

    pipeline: str
    target: str
    outcome: str
    why: str = ""
    duration: float = 0.0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble(Event):
    """Something an administrator should know: `what` says it in their words, `where` names the part."""

    where: str
    what: str
    severity: str = "warning"  # or "error"
