"""How findings are shown: a table for people, or JSON for programs."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from proxy.doctor.finding import Finding, State

_COLOUR = {State.OK: "green", State.WARNING: "yellow", State.SKIPPED: "dim", State.FAILED: "red"}


def show(findings: Iterable[Finding]) -> bool:
    """Print a table, with remedies where something is not well; True when nothing failed."""
    seen = list(_watched(findings))
    table = Table("what", "where", "", "says", box=None, pad_edge=False)
    if any(finding.remedy for finding in seen):
        table.add_column("remedy")
    for column in table.columns:
        column.overflow = "fold"
    for finding in seen:
        mark = f"[{_COLOUR[finding.state]}]{finding.state}[/]"
        table.add_row(*map(escape, (finding.what, finding.where)), mark, *map(escape, (finding.says, finding.remedy)))
    Console(width=None if sys.stdout.isatty() else 200).print(table, highlight=False)
    return not any(finding.failed for finding in seen)


def dump(findings: Iterable[Finding]) -> bool:
    """The same as one JSON object."""
    seen = list(findings)
    well = not any(finding.failed for finding in seen)
    document = {"well": well, "findings": [asdict(finding) for finding in seen]}
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    return well


def _watched(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Tell on a terminal what was looked at last, while it goes on."""
    with Console(stderr=True).status("looking") as status:
        for finding in findings:
            status.update(f"looking; {escape(finding.what)}: {finding.state}")
            yield finding
