"""The end of a log for somebody else: what may name a patient is left out, whatever the format."""

import io
import logging
from pathlib import Path

import pytest

from proxy import log
from proxy.config.process import LoggingSettings
from proxy.support.log_tail import HARMLESS, harmless, tail


def kept(text: str) -> str:
    return "\n".join(harmless(text.splitlines()))


def test_debug_lines_are_left_out_with_all_that_belongs_to_them() -> None:
    text = """2026-01-05T10:15:00.1Z info    one
2026-01-05T10:15:00.2Z debug   Doe^Jane
Traceback (most recent call last):
ValueError: Doe^Jane
2026-01-05T10:15:00.3Z error   two
Traceback (most recent call last):
ValueError
2026-01-05T10:15:00.4Z debug   Doe^Jane"""
    assert kept(text).splitlines() == [
        "2026-01-05T10:15:00.1Z info    one",
        "2026-01-05T10:15:00.3Z error   two",
        "Traceback (most recent call last):",
        "ValueError",
    ]


def test_json_lines_are_told_apart_by_their_level() -> None:
    text = '{"ts":"x","level":"info","event":"one"}\n{"ts":"x","level":"debug","event":"Doe^Jane"}\n{"level":"err'
    assert kept(text) == '{"ts":"x","level":"info","event":"one"}', "and what is cut off tells no level"


def test_what_comes_before_the_first_level_is_left_out() -> None:
    """It may be the rest of a traceback at DEBUG."""
    assert kept("ValueError: Doe^Jane\n2026-01-05T10:15:00.1Z info    one") == "2026-01-05T10:15:00.1Z info    one"


def test_a_level_that_is_not_known_is_left_out() -> None:
    assert kept("2026-01-05T10:15:00.1Z trace   Doe^Jane") == ""


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_programs_own_lines_are_read_level_by_level(form: str) -> None:
    """Written by `proxy.log` itself: were its format to change, nothing would be left, or too much."""
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        log.configure(LoggingSettings.model_validate({"format": form}), "debug", stream)
        for level in ("debug", "info", "warning", "error", "critical"):
            logging.getLogger("proxy.test").log(getattr(logging, level.upper()), "said at %s", level)
    finally:
        root.handlers[:], root.level = before
    lines = [*harmless(stream.getvalue().splitlines())]
    assert [next(level for level in HARMLESS | {"debug"} if f"said at {level}" in line) for line in lines] == [
        "info",
        "warning",
        "error",
        "critical",
    ]


def test_only_the_end_is_taken_and_a_line_that_is_cut_is_not(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    lines = [f"2026-01-05T10:15:00.{number:04}Z info    line {number}\n" for number in range(1000)]
    file.write_text("".join(lines))
    assert tail(file, 1 << 20) == "".join(lines)
    told = tail(file, 500)
    assert "".join(lines).endswith(told)
    assert 400 < len(told) <= 500
    assert told.startswith("2026")
