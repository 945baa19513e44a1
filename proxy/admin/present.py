"""Numbers and times in the form people read: the filters of the templates."""

import time

from proxy.spool.whose import Whose

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


def size(amount: float) -> str:
    """Bytes with three digits or so: `0`, `526 KB`, `1.25 GB` (1 KB = 1024 bytes)."""
    if amount < 1:
        return "0"
    value, unit = float(amount), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    digits = 0 if unit == 0 or value >= 99.5 else 1 if value >= 9.95 else 2
    return f"{value:.{digits}f} {_UNITS[unit]}"


def rate(bytes_per_second: float) -> str:
    """`12.5 MB/s`, and nothing where nothing moves."""
    return f"{size(bytes_per_second)}/s" if bytes_per_second >= 1 else ""


def number(amount: float) -> str:
    """Thousands set off by a thin space; nothing for nothing."""
    return f"{amount:,.0f}".replace(",", "\u2009") if amount else ""


def counted(amount: float, one: str, many: str = "") -> str:
    """`1 match`, `12 matches`, `no matches`; the plural is `one` and an s where it is not given."""
    return f"{number(amount) or 'no'} {one if amount == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """`41 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    whole = int(seconds)
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            rest = whole % length // part
            return f"{whole // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def ago(at: float, now: float) -> str:
    """How long ago, in one unit: `now`, `12 s`, `5 min`, `3 h`, `2 d`."""
    seconds = now - at
    if seconds < 1.5:
        return "now"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def clock(at: float) -> str:
    """The time of day on this machine, `14:07:31`."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def moment(at: float) -> str:
    """Date and time on this machine, for tooltips."""
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(at))


def whose(told: Whose) -> str:
    """Patient and study in one line: `Doe^Jane, DEMO1 · accession A1 · CT 20260105 Knee`."""
    study = " ".join(part for part in (told.modality, told.study_date, told.study_description) if part)
    parts = (
        ", ".join(part for part in (told.patient_name, told.patient_id) if part),
        told.accession_number and f"accession {told.accession_number}",
        study,
    )
    return " · ".join(part for part in parts if part) or "The instance does not tell."


def percent(part: float, whole: float) -> str:
    """`87 %`, or a dash where there is no whole."""
    return f"{100 * part / whole:.0f} %" if whole else "–"
