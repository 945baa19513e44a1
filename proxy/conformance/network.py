"""Chapter 7 of PS3.2 Annex N: associations, presentation contexts and statuses."""

from collections.abc import Iterable, Iterator

from proxy.conformance.contexts import Contexts, Named
from proxy.conformance.layout import Block, heading, table, yes
from proxy.conformance.statement import Entity, Statement

_MANY = 3  # SOP classes or transfer syntaxes that still fit into a cell

Names = tuple[Named, ...]
Lists = list[Names]


def network(statement: Statement) -> Iterator[Block]:
    """The chapter."""
    yield heading("7", "Network and media communication details")
    yield heading("7.1", "General")
    yield heading("7.1.1", "General association parameters")
    yield table(["parameter", "value"], _parameters(statement))
    yield heading("7.2", "Specifications")
    lists = _lists(statement)
    for number, entity in enumerate(statement.entities, 1):
        yield from _specification(f"7.2.{number}", entity, statement, lists)
    yield heading(f"7.2.{len(statement.entities) + 1}", "Lists of SOP classes and transfer syntaxes")
    for number, names in enumerate(lists, 1):
        yield f"List {number}:"
        yield table(["name", "UID"], [(one.name, one.uid) for one in names])
    yield heading("7.3", "Status codes")
    yield from _statuses(statement)


def _parameters(statement: Statement) -> Iterator[tuple[str, object]]:
    association = statement.association
    limits = association.limits
    yield "Application Context Name", association.application_context
    yield "Implementation Class UID", association.implementation_class_uid
    yield "Implementation Version Name", association.implementation_version_name
    yield "Maximum PDU size received", f"{association.max_pdu} bytes" if association.max_pdu else "unlimited"
    yield "Maximum PDU size sent", f"as the peer says; at least {limits['smallest_peer_pdu']} bytes"
    yield "Associations accepted at the same time", limits["associations"]
    yield "Associations initiated at the same time", "one for each C-MOVE; a few for forwarding and for reports"
    yield "Presentation contexts of one association", limits["contexts"]
    yield "Outstanding asynchronous operations", "1; the Asynchronous Operations Window is not negotiated"
    yield "Time for an A-ASSOCIATE-RQ", f"{limits['request_timeout']:g} s"
    yield "An association without any message is aborted after", f"{limits['idle_timeout']:g} s"
    yield "Time for the response to a C-STORE sub-operation", f"{limits['response_timeout']:g} s"
    yield "Time to connect and associate", f"{limits['connect_timeout']:g} s"
    yield "Network", "TCP/IP; IPv4, or IPv6 where bind_address is one"


def _specification(number: str, entity: Entity, statement: Statement, lists: Lists) -> Iterator[Block]:
    yield heading(number, f"{entity.aet} Application Entity")
    yield heading(f"{number}.1", "Sequencing of real-world activities")
    yield (
        "Any number of operations may follow one another on an association, in any order; one is answered before the "
        "next is read. Received instances go on in the order in which those of one SOP Instance UID came."
    )
    yield heading(f"{number}.2", "Association parameters")
    yield "Those of 7.1.1."
    yield heading(f"{number}.3", "Association initiation")
    yield _contexts(entity.proposes, lists)
    if any(group.service == "storage" for group in entity.proposes):
        yield (
            "For a C-MOVE those SOP classes are proposed that its instances need, each stored transfer syntax in a "
            "context of its own, and what is left of Explicit and Implicit VR Little Endian in one more; beyond 128 "
            "contexts in further associations. For forwarding, the one that the instance needs."
        )
    yield heading(f"{number}.4", "Association acceptance")
    yield _contexts(entity.accepts, lists)
    yield _beyond(entity)
    yield (
        "The first acceptable transfer syntax in the requestor's order is accepted, but Explicit VR Little Endian "
        "where it is offered beside Implicit. Without SCP/SCU Role Selection the requestor is SCU. The bytes under "
        "*extended* are answered to a requestor that asks for all of them; fewer where it asks for fewer."
    )
    yield f"Who may associate: {_access(entity)}"
    yield table(
        ["result", "source", "reason", "meaning", "cause"],
        [(r.result, r.source, r.reason, r.meaning, r.cause) for r in statement.rejections],
    )


def _lists(statement: Statement) -> Lists:
    """What does not fit into a table of presentation contexts, each list once."""
    groups = [group for entity in statement.entities for group in (*entity.accepts, *entity.proposes)]
    names = (names for group in groups for names in (group.sop_classes, group.transfer_syntaxes))
    return list(dict.fromkeys(one for one in names if len(one) > _MANY))


def _contexts(groups: Iterable[Contexts], lists: Lists) -> Block:
    """The presentation contexts of one direction."""
    rows = [
        (
            _short(group.sop_classes, "SOP classes", lists),
            _short(group.transfer_syntaxes, "transfer syntaxes", lists),
            yes(group.scu),
            yes(group.scp),
            group.extended or "-",
        )
        for group in groups
    ]
    return table(["abstract syntax", "transfer syntaxes", "SCU", "SCP", "extended"], rows)


def _short(names: Names, what: str, lists: Lists) -> str:
    if names in lists:
        return f"the {len(names)} {what} of list {lists.index(names) + 1}"
    return ", ".join(f"{one.name} ({one.uid})" for one in names)


def _beyond(entity: Entity) -> str:
    roles = [role for role, taken in (("SCU", entity.beyond_sent), ("SCP", entity.beyond_received)) if taken]
    if not roles:
        return "SOP classes that PS3.6 does not name are not accepted."
    return f"SOP classes that PS3.6 does not name, private ones too, are accepted likewise, as {' and '.join(roles)}."


def _access(entity: Entity) -> str:
    who = {
        "open": "everybody.",
        "list": "whoever a rule of the configuration names, by calling AE title, address, User Identity or all.",
        "orthanc": "whoever Orthanc's DicomModalities allow.",
    }
    return who[entity.access]


def _statuses(statement: Statement) -> Iterator[Block]:
    limits = statement.association.limits
    yield heading("7.3.1", "General communication and failure behaviour")
    yield (
        "Each request gets exactly one final response, or the association is aborted. A failure has an Error Comment "
        "(0000,0902) that says why, without patient data, and an Offending Element (0000,0901) where there is one. "
        f"Aborted are: a PDU or message that breaks the protocol, one that takes longer than {limits['pdu_timeout']:g} "
        f"s from its first to its last byte, a request with more than {limits['contexts']} presentation contexts, a "
        "command set of a foreign operation, and an association that is silent for too long."
    )
    yield heading("7.3.2", "DIMSE services")
    for entity in statement.entities:
        for operation in entity.operations:
            yield f"**{entity.aet}**, {operation.command} (SCP):"
            yield table(
                ["status", "meaning", "cause"],
                [(f"{answer.status:04X}", answer.meaning, answer.cause) for answer in operation.answers],
            )
    if any(entity.sends for entity in statement.entities):
        yield "C-STORE (SCU): how the status of a response counts, of which the Move or Get response tells the sums."
        yield table(
            ["status", "meaning", "counted as"], [(f"{t.status:04X}", t.meaning, t.counts_as) for t in statement.taken]
        )
        yield "Any other status Bxxx counts as a warning, and all else as failed."
    if any(entity.offers("commitment") for entity in statement.entities):
        yield "N-EVENT-REPORT (SCP): 0000 is the end of it; after any other status the report is sent again later."
    yield heading("7.3.3", "DICOM Web Services")
    yield "Not supported."
