"""Which statuses we answer and why, how we take those of others, and when an association is rejected.

What an error becomes is asked of `proxy.dicom.status.status_for`; what a service answers of its own accord stands here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from proxy import access, errors
from proxy.config import LimitsSettings, Pipeline
from proxy.dicom.commitment import Reason
from proxy.dicom.status import PENDING, Status, status_for
from proxy.dicom.suboperations import SubOperations
from proxy.dicom.words import rejection_words, status_words

COMMANDS = {
    "echo": "C-ECHO",
    "find": "C-FIND",
    "get": "C-GET",
    "move": "C-MOVE",
    "store": "C-STORE",
    "commitment": "N-ACTION",
}
"""The DIMSE operation behind each name in [pipelines.NAME] services."""

_QUERY_RETRIEVE = ("C-FIND", "C-GET", "C-MOVE")
_RETRIEVE = ("C-GET", "C-MOVE")


@dataclass(frozen=True, slots=True)
class Answer:
    """A status that we answer: what it is called, and all that leads to it."""

    status: int
    meaning: str
    cause: str


@dataclass(frozen=True, slots=True)
class Taken:
    """How a C-STORE sub-operation counts that ends with that status."""

    status: int
    meaning: str
    counts_as: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """An A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""

    result: int
    source: int
    reason: int
    meaning: str
    cause: str


def answers(command: str, pipeline: Pipeline, limits: LimitsSettings) -> tuple[Answer, ...]:
    """All statuses with which `command` (as "C-FIND") may be answered; success, then Pending, Cancel, and failures."""
    causes: dict[Status, list[str]] = {}
    for status, cause in [*_given(command, pipeline, limits), *_raised(command, pipeline, limits)]:
        causes.setdefault(status, []).append(cause)
    ordered = sorted(causes, key=lambda status: (status != 0, status not in PENDING, status != Status.CANCEL, status))
    return tuple(Answer(int(status), status_words(status, command), "; ".join(causes[status])) for status in ordered)


def _given(command: str, pipeline: Pipeline, limits: LimitsSettings) -> Iterator[tuple[Status, str]]:
    """What services answer without any error."""
    yield Status.SUCCESS, _SUCCESS[command] if command != "C-STORE" else _STORED[pipeline.store_mode]
    yield Status.SOP_CLASS_NOT_SUPPORTED, "the operation does not belong to the SOP class of its presentation context"
    if command == "C-FIND":
        yield Status.PENDING, "one match; every key asked for is in it"
        if limits.results:
            yield Status.OUT_OF_RESOURCES, f"more than {limits.results} matches; the first {limits.results} were told"
    if command in _RETRIEVE:
        yield Status.PENDING, "sub-operations go on; the counts are in it"
        yield Status.SUBOPERATIONS_WARNING, "some sub-operations failed, or ended with a warning"
        yield Status.UNABLE_TO_PERFORM, f"all sub-operations failed; more than {limits.suboperations} instances match"
    if command in _QUERY_RETRIEVE:
        yield Status.CANCEL, "a C-CANCEL came"
    if command == "C-MOVE" and pipeline.archives:
        yield Status.UNABLE_TO_PERFORM, "Orthanc does not hold it, and the archives behind it failed to send it"
    if command == "C-STORE":
        yield Status.INVALID_SOP_INSTANCE, "the Affected SOP Instance UID is no UID"
        yield Status.MISMATCH, "the SOP class is not that of its presentation context"
    if command == "N-ACTION":
        yield from _COMMITMENT


_SUCCESS = {
    "C-ECHO": "always, whatever the state of Orthanc",
    "C-FIND": "all matches have been told",
    "C-GET": "all sub-operations have succeeded, or nothing matched",
    "C-MOVE": "all sub-operations have succeeded, or nothing matched",
    "N-ACTION": "the request is kept on disk; the report follows",
}
_STORED = {
    "spool": "the instance is synced to disk",
    "through": "everybody to whom it is to be forwarded has confirmed the instance",
}
_COMMITMENT = (
    (Status.NO_SUCH_SOP_INSTANCE, "not the Storage Commitment Push Model SOP Instance"),
    (Status.INVALID_ARGUMENT, "Transaction UID or Referenced SOP Sequence is missing, empty or malformed"),
    (Status.NO_SUCH_ACTION, "another Action Type ID than 1"),
    (Status.UNRECOGNIZED_OPERATION, "another operation than N-ACTION"),
)


def _raised(command: str, pipeline: Pipeline, limits: LimitsSettings) -> Iterator[tuple[Status, str]]:
    """What becomes of errors."""
    for error, commands, cause in _causes(pipeline, limits):
        if command in commands:
            yield status_for(error, command), cause


def _causes(pipeline: Pipeline, limits: LimitsSettings) -> Iterator[tuple[Exception, tuple[str, ...], str]]:
    """Each error that an operation can end with: the error, the operations, and how it comes about."""
    every = tuple(COMMANDS.values())
    if pipeline.access != "open":
        yield errors.AccessDenied(""), every, "the access rules do not grant this operation to the requestor"
        yield errors.AccessDenied(""), ("C-MOVE",), "nor this Move Destination"
    illegal = "a missing or unknown level, an empty or missing unique key of a retrieve, wildcards where none may stand"
    yield errors.InvalidIdentifier(""), _QUERY_RETRIEVE, f"{illegal}, more than {limits.uids_per_list} values of a key"
    unreadable = f"longer than {int(limits.identifier)} bytes, or nests deeper than {limits.nesting} levels"
    yield errors.UnreadableIdentifier(""), _QUERY_RETRIEVE, f"the identifier cannot be decoded, is {unreadable}"
    yield errors.UnknownDestination(""), ("C-MOVE",), "the Move Destination is neither configured nor known to Orthanc"
    differs = "SOP Class or Instance UID differ from the command's; Study or Series Instance UID are missing or no UIDs"
    yield errors.InvalidInstance("", mismatch=True), ("C-STORE",), differs
    broken = f"the data set is cut, lies about lengths, or nests deeper than {limits.nesting} levels"
    yield errors.InvalidInstance(""), ("C-STORE",), broken
    full = f"no room in the spool or on its disk; an instance longer than {int(limits.instance)} bytes"
    yield errors.SpoolFull(""), ("C-STORE",), full
    yield errors.SpoolFull(""), ("N-ACTION",), "the request cannot be kept on disk"
    asking = (*_QUERY_RETRIEVE, "C-STORE") if pipeline.store_mode == "through" else _QUERY_RETRIEVE
    away = "Orthanc cannot be reached, or does not answer in time"
    if pipeline.store_mode == "through" and pipeline.through_fallback == "spool":
        yield errors.OrthancUnavailable(""), _QUERY_RETRIEVE, away
    else:
        yield errors.OrthancUnavailable(""), asking, away
    yield errors.OrthancRefused(""), asking, "Orthanc refuses the call"
    yield RuntimeError(), every, "an error of ours; the Error Comment has an id that is in the log"


def failure_reasons() -> tuple[Answer, ...]:
    """The Failure Reasons (0008,1197) in reports of storage commitment."""
    causes = {
        Reason.PROCESSING_FAILURE: "it was still on its way to Orthanc when the time was over",
        Reason.NO_SUCH_INSTANCE: "neither Orthanc nor the spool holds it",
        Reason.CLASS_CONFLICT: "Orthanc holds it with another SOP class",
    }
    return tuple(Answer(int(reason), status_words(reason), causes[reason]) for reason in Reason)


def taken() -> tuple[Taken, ...]:
    """How the responses to our own C-STORE requests count."""
    statuses = (0x0000, 0x0111, 0x0001, 0x0107, 0x0116, 0xB000, 0xB006, 0xB007, 0x0122, 0x0124, 0xA700, 0xA900, 0xC000)
    return tuple(Taken(status, status_words(status, "C-STORE"), _counted(status)) for status in statuses)


def _counted(status: int) -> str:
    counts = SubOperations(1)
    counts.record("", status)
    return "completed" if counts.completed else "warning" if counts.warning else "failed"


def rejections(limits: LimitsSettings) -> tuple[Rejection, ...]:
    """When an association is rejected."""
    user, presentation = access.SERVICE_USER, 3
    too_many = "[limits] associations, associations_per_aet or associations_per_address is reached"
    small = f"the requestor takes PDUs of less than {limits.smallest_peer_pdu} bytes only"
    elsewhere = "no access rule fits address and user identity, or the certificate is not that which is pinned"
    causes = (
        (1, user, access.NO_REASON, f"{small}; {elsewhere}"),
        (1, user, 2, "another application context than DICOM's"),
        (1, user, access.CALLING_AET_NOT_RECOGNIZED, "the access rules know no such calling AE title; it is no title"),
        (1, user, access.CALLED_AET_NOT_RECOGNIZED, "no AE of ours has that title, where titles are checked"),
        (1, 2, 2, "another protocol version than 1"),
        (2, presentation, 1, "shutting down"),
        (2, presentation, 2, too_many),
    )
    return tuple(
        Rejection(result, source, reason, rejection_words(result, source, reason), cause)
        for result, source, reason, cause in causes
    )
