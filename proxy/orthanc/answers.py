"""From an HTTP answer of Orthanc to a value or to one of our errors: the only place that knows its status codes.

Orthanc describes errors in JSON, with or without a Content-Type depending on its version, or not at all.
"""

from datetime import datetime
from typing import Any, TypeVar

import httpx
import orjson

from proxy.errors import InstanceGone, OrthancRefused, OrthancUnavailable

T = TypeVar("T")
_AUTHENTICATION = frozenset({401, 403})
_LATER = frozenset({408, 425, 429})
_STORAGE_FULL = 507


def checked(status: int, body: bytes) -> None:
    """Raise for anything but success: OrthancUnavailable, OrthancRefused."""
    if 200 <= status < 300:
        return
    if status in _AUTHENTICATION:
        raise OrthancRefused(f"Orthanc refuses our credentials (HTTP {status})", status)
    code, words = described(body)
    if status == _STORAGE_FULL:
        raise OrthancUnavailable("Orthanc's storage is full (HTTP 507)")
    if status in _LATER or (status >= 500 and not _is_final(code)):
        raise OrthancUnavailable(f"Orthanc answers HTTP {status}{words}")
    raise OrthancRefused(f"Orthanc answers HTTP {status}{words}", status, code)


def gone_if_missing(status: int, body: bytes) -> None:
    """The same for an instance that was just located: 404 means that it was deleted since. Raises InstanceGone."""
    if status == 404:
        raise InstanceGone("Orthanc does not hold this instance any more")
    checked(status, body)


def json_of(response: httpx.Response, kind: type[T]) -> T:
    """The JSON value of a successful answer, which must be a `kind`. Raises OrthancRefused for anything else."""
    checked(response.status_code, response.content)
    return value_of(response.content, kind)


def value_of(body: bytes, kind: type[T]) -> T:
    """The JSON value of a body, which must be a `kind`. Raises OrthancRefused for anything else."""
    try:
        value: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise OrthancRefused("what answers at Orthanc's address is no Orthanc (no JSON)") from error
    if not isinstance(value, kind):
        raise OrthancRefused("what answers at Orthanc's address is no Orthanc (wrong JSON)")
    return value


def time_of(text: str) -> datetime:
    """A time as Orthanc writes them, "20260105T101500". Raises OrthancRefused for anything else."""
    try:
        return datetime.strptime(text.strip(), "%Y%m%dT%H%M%S")  # UTC by agreement
    except ValueError as error:
        raise OrthancRefused("what answers at Orthanc's address is no Orthanc (no time)") from error


def described(body: bytes) -> tuple[int, str]:
    """Orthanc's own error code and its generic words; never `Details`, which may quote a value."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return 0, ""
    if not isinstance(value, dict):
        return 0, ""
    code = value.get("OrthancStatus", 0)
    message = str(value.get("OrthancError") or value.get("Message") or "")
    return (code if isinstance(code, int) else 0), f": {message}"[:80] if message else ""


def _is_final(orthanc_status: int) -> bool:
    """Errors that Orthanc reports as HTTP 500 though it is well itself and asking again does not help.

    6, 8, 15 and 17 name bad input, 9 a DICOM node behind Orthanc that it does not reach or that fails.
    """
    return orthanc_status in {6, 8, 9, 15, 17}
