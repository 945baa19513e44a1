"""DIMSE statuses by name, and the one table that turns an error into a status.

Sources: PS3.7 Annex C; PS3.4 B.2.3 (C-STORE), C.4.1.1.4 (C-FIND), C.4.2.1.5 (C-MOVE), C.4.3.1.4 (C-GET).
"""

from enum import IntEnum

from proxy import errors


class Status(IntEnum):
    """The statuses this Application Entity sends."""

    SUCCESS = 0x0000
    PENDING = 0xFF00
    PENDING_WARNING = 0xFF01  # an optional key was not supported
    CANCEL = 0xFE00
    PROCESSING_FAILURE = 0x0110
    NO_SUCH_SOP_INSTANCE = 0x0112
    INVALID_ARGUMENT = 0x0115
    INVALID_SOP_INSTANCE = 0x0117
    CLASS_INSTANCE_CONFLICT = 0x0119
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NO_SUCH_ACTION = 0x0123
    NOT_AUTHORIZED = 0x0124
    UNRECOGNIZED_OPERATION = 0x0211
    OUT_OF_RESOURCES = 0xA700
    UNABLE_TO_CALCULATE = 0xA701
    UNABLE_TO_PERFORM = 0xA702
    DESTINATION_UNKNOWN = 0xA801
    MISMATCH = 0xA900
    SUBOPERATIONS_WARNING = 0xB000
    UNABLE_TO_PROCESS = 0xC000
    REFUSED_BY_ORTHANC = 0xC010


PENDING = frozenset({Status.PENDING, Status.PENDING_WARNING})
# Warnings a C-STORE may come back with: the instance *was* stored (PS3.4 B.2.3)
STORE_WARNINGS = frozenset({0xB000, 0xB006, 0xB007, 0x0001, 0x0107, 0x0116})

_FIND, _RETRIEVE, _STORE, _OTHER = "find", "retrieve", "store", "other"
_SERVICE = {"C-FIND": _FIND, "C-GET": _RETRIEVE, "C-MOVE": _RETRIEVE, "C-STORE": _STORE}


def status_for(error: BaseException, command: str) -> Status:
    """The status with which `command` (as "C-FIND") answers `error`; anything unknown is a bug of ours."""
    service = _SERVICE.get(command, _OTHER)
    match error:
        case errors.AccessDenied():
            return Status.NOT_AUTHORIZED
        case errors.UnreadableIdentifier():
            return Status.UNABLE_TO_PROCESS
        case errors.InvalidIdentifier():
            return Status.MISMATCH
        case errors.InvalidInstance():
            return Status.MISMATCH if error.mismatch else Status.UNABLE_TO_PROCESS
        case errors.UnknownDestination():
            return Status.DESTINATION_UNKNOWN
        case errors.DestinationUnreachable():
            return Status.UNABLE_TO_PERFORM
        case errors.SpoolFull():
            return Status.OUT_OF_RESOURCES
        case errors.OrthancRefused():
            return Status.PROCESSING_FAILURE if service is _OTHER else Status.REFUSED_BY_ORTHANC
        case errors.OrthancError():
            by_service = {
                _FIND: Status.OUT_OF_RESOURCES,
                _RETRIEVE: Status.UNABLE_TO_CALCULATE,
                _STORE: Status.OUT_OF_RESOURCES,
            }
            return by_service.get(service, Status.PROCESSING_FAILURE)
    return Status.UNABLE_TO_PROCESS if service in (_FIND, _RETRIEVE) else Status.PROCESSING_FAILURE
