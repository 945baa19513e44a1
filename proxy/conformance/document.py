"""The statement as Markdown: the chapters of PS3.2 Annex N in their order."""

from collections.abc import Iterator

from proxy.conformance.layout import Block, contents, heading, wrapped
from proxy.conformance.network import network
from proxy.conformance.overview import introduction, model, overview
from proxy.conformance.security import annexes, security
from proxy.conformance.services import configuration, services
from proxy.conformance.statement import Statement


def markdown(statement: Statement) -> str:
    """The whole document."""
    before = [*overview(statement)]
    after = [
        *introduction(statement),
        *model(statement),
        *services(statement),
        *configuration(statement),
        *network(statement),
        *security(statement),
        *annexes(statement),
    ]
    between = [heading("2", "Table of contents")]
    between.append(contents([*before, *between, *after]))
    return "\n\n".join(map(wrapped, [*_cover(statement), *before, *between, *after])) + "\n"


def _cover(statement: Statement) -> Iterator[Block]:
    yield f"# DICOM Conformance Statement: {statement.product} {statement.version}"
    origins = ", ".join(f"`{origin}`" for origin in statement.origins) or "the defaults"
    services = "; ".join(f"{e.aet}: {', '.join(o.service for o in e.operations)}" for e in statement.entities)
    yield (
        f"Written by `{statement.product} conformance` from {origins}, by asking the functions that negotiate and "
        f"answer. {_SYNTAXES[statement.syntaxes_asked]} Another configuration has another statement: run the command "
        "to get yours."
    )
    yield f"Services that are switched on here: {services}."


_SYNTAXES = {
    True: "Transfer syntaxes are those that Orthanc accepts at this moment.",
    False: "Transfer syntaxes are all of PS3.6, which Orthanc accepts unless it is told otherwise; `--live` asks it.",
}
