"""Statuses and rejections in words for people: log lines, status page and metrics label them from here.

Sources: PS3.7 Annex C, PS3.4 Annexes B, C and J for statuses; PS3.8 Table 9-21 for rejections.
"""

ASSOCIATION_GONE = -1
"""The pseudo status of an operation that never got its final response."""

_STATUS = {
    0x0000: "Success",
    0x0001: "Success with warning",
    0x0107: "Attribute list error",
    0x0110: "Processing failure",
    0x0112: "No such SOP instance",
    0x0115: "Invalid argument value",
    0x0116: "Attribute value out of range",
    0x0117: "Invalid SOP instance",
    0x0119: "Class-instance conflict",
    0x0122: "SOP class not supported",
    0x0123: "No such action",
    0x0124: "Not authorized",
    0x0211: "Unrecognized operation",
    0xFE00: "Cancelled",
    0xFF00: "Pending",
    0xFF01: "Pending, with warning",
    0xB006: "Elements discarded",
    0xB007: "Data set does not match SOP class, stored",
    0xC010: "Refused by Orthanc",
    0x0111: "Duplicate SOP instance",
    0xA801: "Move Destination unknown",
    0xA900: "Data set or identifier does not match SOP class",
}
_OUT_OF_RESOURCES = {
    0xA700: "Out of resources",
    0xA701: "Out of resources: cannot count the matches",
    0xA702: "Out of resources: cannot perform the sub-operations",
}
_RANGES = ((0xA700, 0xA7FF, "Out of resources"), (0xC000, 0xCFFF, "Unable to process"))


def status_words(status: int, command: str = "") -> str:
    """What a DIMSE status means, as in "Success"; `command` (as "C-STORE") settles the ambiguous ones."""
    if status == ASSOCIATION_GONE:
        return "Association ended before the answer"
    if status == 0xB000:
        return "Elements coerced" if command == "C-STORE" else "Some sub-operations failed or warned"
    known = _STATUS.get(status) or _OUT_OF_RESOURCES.get(status)
    if known is not None:
        return known
    return next((words for low, high, words in _RANGES if low <= status <= high), "Failure")


def status_code(status: int) -> str:
    """A status in the way DICOM people write it: `0xA701`, or `-` where there was none."""
    return "-" if status == ASSOCIATION_GONE else f"0x{status:04X}"


_REJECTIONS = {
    (1, 1): "no reason given",
    (1, 2): "application context not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}


def rejection_words(result: int, source: int, reason: int) -> str:
    """An A-ASSOCIATE-RJ in words; result 0 stands for a connection that never became an association."""
    if result == 0:
        return "connection turned away"
    return _REJECTIONS.get((source, reason), "reserved reason")


def failed(status: int) -> bool:
    """True for a final status that an administrator would want to see: no success, cancel or mere warning."""
    return status not in (0x0000, 0xFE00, 0xFF00, 0xFF01, 0x0001, 0x0107, 0x0116, 0xB000, 0xB006, 0xB007)
