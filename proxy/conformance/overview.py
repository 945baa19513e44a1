"""Chapters 1 to 4 of PS3.2 Annex N: overview, introduction, implementation model."""

from collections.abc import Iterator

from proxy.conformance.contexts import Contexts
from proxy.conformance.layout import Block, bullets, heading, table, yes
from proxy.conformance.statement import Entity, Statement

_SERVICES = {
    "echo": "Verification",
    "storage": "Storage",
    "commitment": "Storage Commitment",
    "find": "Query",
    "get": "Retrieve (C-GET)",
    "move": "Retrieve (C-MOVE)",
}
_FEW = 2  # SOP classes; what is more is a number here and a table in chapter 7


def overview(statement: Statement) -> Iterator[Block]:
    """Chapter 1."""
    yield heading("1", "Overview")
    yield (
        f"{statement.product} is a DICOM Application Entity in front of an Orthanc. It answers Verification, Query, "
        "Retrieve, Storage and Storage Commitment by DIMSE, and speaks REST to the Orthanc that holds the instances. "
        "It creates no instances of its own, changes none, and displays none."
    )
    yield heading("1.1", "Content and transfer")
    yield table(
        ["AE", "content", "received", "sent", "created", "displayed"],
        [
            (entity.aet, _content(entity), yes(entity.offers("store")), yes(entity.sends), "N", "N")
            for entity in statement.entities
        ],
    )
    yield heading("1.2", "DIMSE services")
    for entity in statement.entities:
        yield f"**{entity.aet}** ([pipelines.{entity.name}])"
        yield table(["service", "SOP class", "SCU", "SCP"], _roles(entity))
    yield heading("1.3", "DICOM Web Services")
    yield "None. (Orthanc's REST API, which is used behind, is not DICOMweb.)"
    yield heading("1.4", "Media services")
    yield "None."
    yield heading("1.5", "Real-Time Video services")
    yield "None."
    yield heading("1.6", "De-identification profiles")
    yield "None."
    yield heading("1.7", "Specific Character Sets")
    yield "All that PS3.3 C.12.1.1.2 defines, in queries and their answers; see 5.7. Instances pass unchanged."


def _content(entity: Entity) -> str:
    if not entity.sends and not entity.offers("store"):
        return "none"
    return "every storage SOP class that PS3.6 names" + (" and any other" if _beyond(entity) else "")


def _beyond(entity: Entity) -> bool:
    return entity.beyond_sent or entity.beyond_received


def _roles(entity: Entity) -> Iterator[tuple[str, str, str, str]]:
    """Each SOP class once, with the roles in which it is accepted or proposed."""
    for service, title in _SERVICES.items():
        groups = [group for group in (*entity.accepts, *entity.proposes) if group.service == service]
        scu, scp = any(group.scu for group in groups), any(group.scp for group in groups)
        if service == "commitment":  # to report on an association of our own is the SCP's part, too
            scu = False
        for name in _names(groups):
            yield title, name, yes(scu), yes(scp)


def _names(groups: list[Contexts]) -> list[str]:
    names = list(dict.fromkeys(named.name for group in groups for named in group.sop_classes))
    return names if len(names) <= _FEW else [f"{len(names)} storage SOP classes (see 7.2)"]


def introduction(statement: Statement) -> Iterator[Block]:
    """Chapter 3; the table of contents, chapter 2, is made from the finished document."""
    yield heading("3", "Introduction")
    yield heading("3.1", "Revision history")
    yield (
        f"This statement is generated and belongs to {statement.product} {statement.version}; CHANGELOG.md tells what "
        "has changed from version to version."
    )
    yield heading("3.2", "Audience")
    yield "Whoever connects a DICOM system to this one: PACS administrators, integrators, vendors of such systems."
    yield heading("3.3", "Remarks")
    yield (
        "A conformance statement tells which services two systems have in common. It does not replace a test of both "
        "together, and says nothing about what the other one does with what it gets. The order of chapters is that of "
        "PS3.2 Annex N."
    )
    yield heading("3.4", "Terms and definitions")
    yield "Those of PS3.2 to PS3.8. *Orthanc* is the server behind; a *pipeline* is the configuration of one AE title."
    yield heading("3.5", "Abbreviations")
    yield (
        "AE: Application Entity. DIMSE: DICOM Message Service Element. PDU: Protocol Data Unit. REST: the HTTP "
        "interface of Orthanc. SCP, SCU: Service Class Provider, Service Class User. SOP: Service-Object Pair. UID: "
        "Unique Identifier."
    )
    yield heading("3.6", "References")
    yield "DICOM PS3.2 (Conformance), PS3.4 Annexes A, B, C and J (services), PS3.5 to PS3.8, PS3.15 Annex B (TLS)."


def model(statement: Statement) -> Iterator[Block]:
    """Chapter 4."""
    yield heading("4", "Implementation model")
    yield heading("4.1", "Application Entities and data flow")
    yield "```text\n" + "\n".join(_flow(statement)) + "\n```"
    for number, entity in enumerate(statement.entities, 1):
        yield heading(f"4.1.{number}", f"Functional definition of {entity.aet}")
        if entity.description:
            yield entity.description
        yield bullets(_functions(entity))


def _flow(statement: Statement) -> Iterator[str]:
    titles = ", ".join(entity.aet for entity in statement.entities)
    box = f"| {titles} |"
    edge = "+" + "-" * (len(box) - 2) + "+"
    blank = " " * len("requestor  <-- DIMSE -->  ")
    yield blank + edge
    yield f"requestor  <-- DIMSE -->  {box}  <-- REST -->  Orthanc"
    yield blank + edge
    if any(entity.proposes for entity in statement.entities):
        yield f"{blank}   |"
        yield f"{blank}   +-- DIMSE -->  Move Destination, target of forwarding, requestor of commitment"


def _functions(entity: Entity) -> Iterator[str]:
    """What it does, one sentence for each service."""
    if entity.offers("echo"):
        yield "It answers C-ECHO, also while Orthanc is away."
    if entity.offers("find"):
        yield "It answers C-FIND from what Orthanc holds at that moment."
    if entity.offers("get"):
        yield "It answers C-GET: the instances go to the requestor on the same association."
    if entity.offers("move"):
        how = {
            "direct": "the instances go to the Move Destination on associations of its own",
            "orthanc-store": "Orthanc sends the instances (/modalities/{id}/store)",
            "orthanc-move": "Orthanc sends the instances (/modalities/{id}/move)",
        }
        yield f"It answers C-MOVE: {how[entity.move_strategy]}."
    if entity.archives:
        yield f"What Orthanc does not hold, a C-MOVE has from archives behind it: {', '.join(entity.archives)}."
    if entity.offers("store"):
        how = {"spool": "keeps it on disk, then forwards it", "through": "forwards it, then answers"}
        yield f"It receives instances by C-STORE: it {how[entity.store_mode]}."
    if entity.offers("commitment"):
        yield "It answers requests for storage commitment, and reports once all is decided."
