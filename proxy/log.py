"""Log lines: structlog over the standard library's handlers, as text or JSON, and the events written as lines.

Each process writes its own events; lines of several processes meet in one file because every one is a single
append. Nothing of a patient appears above DEBUG: events carry none, the libraries that would quote data sets in
their messages (pynetdicom, pydicom) are held silent, and of an exception only its kind and its place are told.
"""

import logging
import sys
import threading
import traceback
from logging.handlers import WatchedFileHandler
from typing import Any

import orjson
import structlog

from proxy import events
from proxy.config.process import LoggingSettings, LogLevel
from proxy.dicom.words import failed, rejection_words, status_code, status_words
from proxy.errors import ProxyError

HEALTHCHECK_AET = "HEALTHCHECK"
"""Associations of this calling AE title are logged at DEBUG only: a container's health check opens one a minute."""

_FIRST = ("timestamp", "level", "event", "logger", "exception")
_SAID_BY_THE_SENTENCE = (
    "calling_aet", "service", "qr_level", "destination", "status", "comment", "duration_ms", "matches", "n_ok",
)  # fmt: skip
_SILENT = ("pynetdicom", "pydicom", "py.warnings")
_QUIET = ("httpx", "httpcore", "uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "multipart")


def configure(settings: LoggingSettings, level: LogLevel, stream: Any = None) -> None:
    """Send all logging of this process to `stream` (standard error) and, if so set, to a file. May be repeated.

    Raises OSError when the log file cannot be opened.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(stream or sys.stderr)]
    if settings.log_to_file:
        settings.log_file_path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(WatchedFileHandler(settings.log_file_path, encoding="utf-8"))
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer = _as_json if settings.format == "json" else _as_text
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _without_its_words,
            renderer,
        ],
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    logging.captureWarnings(True)
    threading.excepthook = _thread_ended
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    set_level(level)


def set_level(level: LogLevel) -> None:
    """Change what is logged from now on, in this process."""
    logging.getLogger().setLevel(level.upper())


def _without_its_words(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Of an exception what it is and where it was raised; what it says may quote a data set, and is for DEBUG."""
    given = line.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given if isinstance(given, BaseException) else None
    if given is True:
        error = sys.exc_info()[1]
    if error is not None:
        whole = line.get("level") == "debug"
        line["exception"] = "".join(traceback.format_exception(error)).rstrip() if whole else _kind_and_place(error)
    return line


def _kind_and_place(error: BaseException) -> str:
    told: list[str] = []
    following: BaseException | None = error
    while following is not None and len(told) < 5:
        words = following.comment if isinstance(following, ProxyError) else getattr(following, "strerror", None)
        frames = "".join(traceback.format_tb(following.__traceback__))
        told.append(f"{frames}{type(following).__name__}{f': {words}' if words else ''}")
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
    return "\nwhich came after\n".join(told)


def _thread_ended(given: threading.ExceptHookArgs) -> None:
    """Instead of Python's own words on standard error, which say all."""
    if given.exc_value is not None and not isinstance(given.exc_value, SystemExit):
        name = given.thread.name if given.thread is not None else "?"
        logging.getLogger("proxy").error("thread %s has ended by an error of ours", name, exc_info=given.exc_value)


def _plain(value: object) -> str:
    """A value in a text line: quoted where it holds anything but visible ASCII-like characters and no blanks."""
    text = str(value)
    return text if text and text.isprintable() and not set(' "=') & set(text) else repr(text)


def _as_text(_logger: object, _method: str, line: structlog.typing.EventDict) -> str:
    """`TIME level message  key=value ...`; a line break inside a value cannot forge a line."""
    message = str(line.get("event", ""))
    message = message if message.isprintable() else repr(message)[1:-1]
    told = _FIRST + _SAID_BY_THE_SENTENCE if "service" in line else _FIRST
    rest = " ".join(f"{key}={_plain(value)}" for key, value in line.items() if key not in told and value != "")
    text = f"{line.get('timestamp', '')} {line.get('level', ''):<7} {message}"
    if rest:
        text += f"  {rest}"
    exception = line.get("exception")
    return f"{text}\n{exception}" if exception else text


def _as_json(_logger: object, _method: str, line: structlog.typing.EventDict) -> str:
    ordered = {"ts": line.pop("timestamp", ""), "level": line.pop("level", ""), **line}
    return orjson.dumps(ordered, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class LogSubscriber:
    """Writes events as lines: one per association, one per operation, one per trouble; the rest at DEBUG."""

    def __init__(self, repeat_after: float = 10.0) -> None:
        self._log = structlog.stdlib.get_logger("proxy")
        self._refusals = _Repeats(repeat_after)
        self._opened: dict[str, events.AssociationOpened] = {}

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.OperationEnded():
                self._operation(event)
            case events.AssociationOpened():
                self._remember(event)
            case events.AssociationEnded():
                self._association(event)
            case events.AssociationRefused():
                self._refusal(event)
            case events.Forwarded():
                self._forwarded(event)
            case events.Trouble():
                write = self._log.error if event.severity == "error" else self._log.warning
                write(event.what, where=event.where)
            case events.CacheChanged() if event.damaged or event.failures:
                self._log.warning("cache trouble", damaged=event.damaged, failures=event.failures)
            case events.OrthancCalled() if logging.getLogger("proxy").isEnabledFor(logging.DEBUG):
                self._log.debug(
                    f"{event.method} {event.endpoint}",
                    backend=event.backend,
                    http_status=event.status,
                    duration_ms=_milliseconds(event.duration),
                )

    def _remember(self, event: events.AssociationOpened) -> None:
        while len(self._opened) > 10_000:  # those whose end was never told
            self._opened.pop(next(iter(self._opened)), None)
        self._opened[event.association_id] = event
        self._log.debug("association accepted", **_names(event), peer_ip=event.address, tls=event.tls)

    def _association(self, event: events.AssociationEnded) -> None:
        opened = self._opened.pop(event.association_id, None)
        fields = _names(event) | {
            "called_aet": event.called_aet,
            "peer_ip": opened.address if opened else "",
            "peer_port": opened.port if opened else "",
            "impl_version": opened.implementation_version if opened else "",
            "tls": opened.tls if opened else "",
            "tls_cn": opened.certificate_name if opened else "",
            "operations": event.operations,
            "duration_ms": _milliseconds(event.duration),
        }
        words = f"association {event.how}: {event.label}, {event.operations} operations"
        if event.how != "released" and event.why:
            words += f": {event.why}"
        level = logging.INFO if event.how in ("released", "aborted") else logging.WARNING
        self._log.log(_softened(level, event.calling_aet), words, **fields)

    def _operation(self, event: events.OperationEnded) -> None:
        fields = _names(event) | {
            "service": event.command,
            "msg_id": event.message_id,
            "qr_level": event.level,
            "destination": event.destination,
            "status": f"{status_code(event.status)} {status_words(event.status, event.command)}",
            "comment": event.comment,
            "duration_ms": _milliseconds(event.duration),
            "bytes": event.bytes,
        }
        if event.command in ("C-GET", "C-MOVE"):
            fields |= {"n_ok": event.completed, "n_warn": event.warning, "n_fail": event.failed}
            fields |= {"cache_hits": event.cache_hits, "cache_misses": event.cache_misses}
        elif event.command == "C-FIND":
            fields["matches"] = event.matches
        elif event.command == "C-STORE":
            fields["sop_class"] = event.sop_class
        level = logging.WARNING if failed(event.status) or event.failed else logging.INFO
        self._log.log(_softened(level, event.calling_aet), operation_words(event), **fields)

    def _refusal(self, event: events.AssociationRefused) -> None:
        untold = self._refusals.untold(f"{event.address} {event.why}", event.at)
        if untold is None:
            return
        words = rejection_words(event.result, event.source, event.reason)
        self._log.warning(
            f"association refused: {event.why or words}",
            calling_aet=event.calling_aet,
            called_aet=event.called_aet,
            peer_ip=event.address,
            reject=f"{event.result},{event.source},{event.reason} {words}" if event.result else words,
            **({"repeated": untold} if untold else {}),
        )

    def _forwarded(self, event: events.Forwarded) -> None:
        fields = {"pipeline": event.pipeline, "target": event.target, "duration_ms": _milliseconds(event.duration)}
        if event.outcome == "delivered":
            self._log.debug(f"delivered to {event.target}", **fields, bytes=event.bytes)
        elif event.outcome == "retry":
            untold = self._refusals.untold(f"forward {event.target} {event.why}", event.at)
            if untold is not None:
                self._log.warning(f"delivery to {event.target} will be tried again: {event.why}", **fields)
        else:  # the Trouble that comes with it is the line for people
            self._log.debug(f"{event.target} will not take an instance: {event.why}", **fields)


class _Repeats:
    """Lets the same line through once in `interval` seconds, so that a port scan or an outage cannot fill the disk."""

    def __init__(self, interval: float, capacity: int = 512) -> None:
        self._interval, self._capacity = interval, capacity
        self._told: dict[str, tuple[float, int]] = {}

    def untold(self, key: str, now: float) -> int | None:
        """None = keep silent; otherwise how many were kept silent since the last one."""
        last, silent = self._told.get(key, (float("-inf"), 0))
        if 0 <= now - last < self._interval:
            self._told[key] = (last, silent + 1)
            return None
        self._told.pop(key, None)
        while len(self._told) >= self._capacity:
            self._told.pop(next(iter(self._told)), None)
        self._told[key] = (now, 0)
        return silent


def operation_words(event: events.OperationEnded) -> str:
    """An operation as one sentence: `C-FIND STUDY from WS1: 12 matches, 0x0000 Success, 41 ms`."""
    parts = [f"{event.command} {event.level}".strip() + f" from {event.calling_aet}"]
    if event.destination:
        parts[0] += f" to {event.destination}"
    facts = []
    if event.command == "C-FIND":
        facts.append(f"{event.matches} matches")
    elif event.command in ("C-GET", "C-MOVE"):
        total = event.completed + event.failed + event.warning
        facts.append(f"{event.completed} of {total} sent")
    facts.append(f"{status_code(event.status)} {status_words(event.status, event.command)}")
    if event.comment:
        facts.append(event.comment)
    facts.append(f"{_milliseconds(event.duration):g} ms")
    return f"{parts[0]}: {', '.join(facts)}"


def _names(event: events.AssociationOpened | events.AssociationEnded | events.OperationEnded) -> dict[str, Any]:
    return {
        "assoc": event.label,
        "assoc_id": event.association_id,
        "calling_aet": event.calling_aet,
        "pipeline": event.pipeline,
    }


def _softened(level: int, calling_aet: str) -> int:
    return logging.DEBUG if calling_aet == HEALTHCHECK_AET and level <= logging.INFO else level


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
