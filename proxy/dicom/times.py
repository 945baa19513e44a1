"""Dates and times as DICOM writes them, and whether one lies in the range that a key names.

A value that is less precise than a second covers a span: the time 1150 is all of that minute. So values and bounds
become spans of padded digits, which compare as text. Sources: PS3.5 6.2 (DA, TM, DT), PS3.4 C.2.2.2.5 (ranges).
"""

import re

_DATE = re.compile(r"(\d{4})[.\-/]?(\d{2})?[.\-/]?(\d{2})?")
_TIME = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(?:\.(\d{1,6}))?")
_OFFSET = re.compile(r"[+-]\d{4}$")
# more than a year, then a dash and four digits: an offset from UTC, not the end of a range
_DT_WITH_OFFSET = re.compile(r"\d{6}[\d.]*-\d{4}")
_FIRST_TIME, _LAST_TIME = "000000.000000", "235959.999999"
_FIRST_DATE, _LAST_DATE = "00000101", "99991231"

Span = tuple[str, str]
"""First and last moment that a value covers, padded to full length."""


def span(text: str, vr: str) -> Span | None:
    """What one value of a DA, TM or DT covers; None for text that is none."""
    if vr == "DA":
        return _date(text)
    if vr == "TM":
        return _time(text)
    text = _OFFSET.sub("", text)
    date = _date(text[:8])
    if date is None:
        return None
    if len(text) <= 8:
        return date[0] + _FIRST_TIME, date[1] + _LAST_TIME
    time = _time(text[8:])
    return None if time is None else (date[0] + time[0], date[0] + time[1])


def key_span(text: str, vr: str) -> Span | None:
    """What a key covers: one value, or a range with either end left open; None for text that is neither."""
    first, dash, last = _split(text, vr)
    if not dash:
        return span(text, vr)
    below, above = _extremes(vr)
    lower = span(first, vr) if first else (below, below)
    upper = span(last, vr) if last else (above, above)
    return None if lower is None or upper is None else (lower[0], upper[1])


def within(value: str, key: str, vr: str) -> bool:
    """Does a stored value lie in what a key covers? An empty or unreadable one lies in no range."""
    wanted, stored = key_span(key, vr), span(value.strip(), vr)
    if wanted is None:
        return value.strip() == key
    return stored is not None and wanted[0] <= stored[0] <= wanted[1]


def is_range(text: str, vr: str) -> bool:
    """Does the key name a range rather than one value?"""
    return bool(_split(text, vr)[1])


def _split(text: str, vr: str) -> tuple[str, str, str]:
    """Both ends of a range, and the dash between them; ("...", "", "") for a single value."""
    if vr == "DT" and _DT_WITH_OFFSET.fullmatch(text):
        return text, "", ""
    return text.partition("-")


def _extremes(vr: str) -> Span:
    if vr == "DA":
        return _FIRST_DATE, _LAST_DATE
    if vr == "TM":
        return _FIRST_TIME, _LAST_TIME
    return _FIRST_DATE + _FIRST_TIME, _LAST_DATE + _LAST_TIME


def _date(text: str) -> Span | None:
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day = match.groups()
    return year + (month or "01") + (day or "01"), year + (month or "12") + (day or "31")


def _time(text: str) -> Span | None:
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    hour, minute, second, fraction = match.groups()
    fraction = fraction or ""
    return (
        f"{hour}{minute or '00'}{second or '00'}.{fraction.ljust(6, '0')}",
        f"{hour}{minute or '59'}{second or '59'}.{fraction.ljust(6, '9')}",
    )
