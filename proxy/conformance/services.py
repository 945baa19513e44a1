"""Chapters 5 and 6 of PS3.2 Annex N: what each service does, and what of it is configured."""

from collections.abc import Iterator

from proxy.conformance.layout import Block, bullets, heading, table
from proxy.conformance.statement import Statement
from proxy.dicom.identifier import WILDCARD_VRS
from proxy.dicom.level import LEVELS, UNIQUE_KEYS

_NAMES = {
    "echo": "Verification",
    "find": "Query (C-FIND)",
    "get": "Retrieve (C-GET)",
    "move": "Retrieve (C-MOVE)",
    "store": "Storage",
    "commitment": "Storage Commitment",
}
_NOT_OURS = "Not supported."


def services(statement: Statement) -> Iterator[Block]:
    """Chapter 5."""
    yield heading("5", "Service and interoperability description")
    yield heading("5.1", "Mapping of services to Application Entities")
    rows = [(title, ", ".join(_titles(statement, service)) or "-") for service, title in _NAMES.items()]
    yield table(["service (SCP)", "AE"], rows)
    yield heading("5.2", "DIMSE services")
    yield "Verification (C-ECHO) is answered with success as long as the AE is alive, whatever the state of Orthanc."
    for number, title in enumerate(_ABSENT, 1):
        yield heading(f"5.2.{number}", title)
        yield _NOT_OURS
    yield from _storage(statement)
    yield from _commitment(statement)
    yield from _query_retrieve(statement)
    yield heading("5.2.8", "Print Management service")
    yield _NOT_OURS
    yield heading("5.3", "DICOM Web Services")
    yield _NOT_OURS
    yield heading("5.4", "Media services")
    yield _NOT_OURS
    yield heading("5.5", "Real-Time Video services")
    yield _NOT_OURS
    yield heading("5.6", "Cross-service considerations")
    yield (
        "Query and Retrieve tell what Orthanc holds. An instance that was received a moment ago and still waits in the "
        "spool is not among it; storage commitment waits for it."
    )
    yield heading("5.7", "Specific Character Sets")
    yield bullets(
        (
            "A query is read in the repertoire that its (0008,0005) names, code extensions of ISO 2022 included; one "
            "that names none in Orthanc's DefaultEncoding.",
            "An answer is written in the same repertoire where it holds every character, else in ISO_IR 192; "
            "(0008,0005) says which. No character is dropped or replaced.",
            "Person names match without regard to case, as a whole or in each of their three component groups.",
        )
    )


_ABSENT = (
    "Basic Worklist Management service",
    "Modality Performed Procedure Step service",
    "Unified Worklist and Procedure Step service",
    "Instance Availability Notification service",
)


def _titles(statement: Statement, service: str) -> list[str]:
    return [entity.aet for entity in statement.entities if entity.offers(service)]


def _storage(statement: Statement) -> Iterator[Block]:
    yield heading("5.2.5", "Storage service")
    yield heading("5.2.5.1", "SCU of the storage SOP classes")
    if not any(entity.sends for entity in statement.entities):
        yield _NOT_OURS
    else:
        yield (
            "For C-GET, C-MOVE and forwarding. An instance is sent as it is stored wherever the receiver accepts its "
            "transfer syntax. SOP Instance UIDs never change; of a C-MOVE the Move Originator is the requestor."
        )
        yield heading("5.2.5.1.1", "Transcoding of transfer syntaxes")
        yield (
            "Where the receiver of a C-GET or C-MOVE does not accept the stored transfer syntax, the instance is "
            "re-encoded (between uncompressed ones and Deflated) or decompressed; compressed only without loss. No "
            "pixel ever changes. Where that is impossible the one sub-operation fails. What is forwarded is never "
            "converted."
        )
    yield heading("5.2.5.2", "SCP of the storage SOP classes")
    for entity in statement.entities:
        if entity.offers("store"):
            promise = {
                "spool": "the instance is synced to the disk of this AE, which forwards it from there",
                "through": "everybody to whom it is to be forwarded has confirmed it",
            }
            yield (
                f"**{entity.aet}**: level 2 (full), all attributes are kept and none is coerced. Success means that "
                f"{promise[entity.store_mode]}."
            )
    if not _titles(statement, "store"):
        yield _NOT_OURS


def _commitment(statement: Statement) -> Iterator[Block]:
    yield heading("5.2.6", "Storage Commitment service")
    if not _titles(statement, "commitment"):
        yield _NOT_OURS
        return
    yield (
        "Push Model, SCP. A request is kept on disk before it is answered. An instance is committed when Orthanc holds "
        "it under that SOP Instance and SOP Class UID; what still waits in the spool is waited for. The report comes "
        "on the same association where all is decided within a few seconds and the requestor leaves it open; else on a "
        "new association to the address that is known for its AE title, in which this AE proposes to be SCP, and again "
        "until it is taken. Storage Media File-Set is not supported."
    )
    reasons = [(f"{reason.status:04X}", reason.meaning, reason.cause) for reason in statement.failure_reasons]
    yield table(["Failure Reason (0008,1197)", "meaning", "cause"], reasons)


def _query_retrieve(statement: Statement) -> Iterator[Block]:
    yield heading("5.2.7", "Query/Retrieve service")
    if not any(_titles(statement, service) for service in ("find", "get", "move")):
        yield _NOT_OURS
        return
    yield (
        "Patient Root and Study Root, SCP. Relational queries and retrieves are accepted, negotiated or not; combined "
        "date-time matching, fuzzy semantic matching of names, time zone adjustment and enhanced multi-frame "
        "conversion are not supported."
    )
    keys = [(level, f"({UNIQUE_KEYS[level] >> 16:04X},{UNIQUE_KEYS[level] & 0xFFFF:04X})") for level in LEVELS]
    yield table(["level", "unique key"], keys)
    yield (
        "Every other attribute may be a key, at every level: what Orthanc's database lacks is read from an instance. "
        "Private and unknown attributes are answered empty. Computed are NumberOf...Related..., Modalities in Study, "
        "SOP Classes in Study, Instance Availability (ONLINE) and Retrieve AE Title (the called one)."
    )
    wildcards = ", ".join(sorted(WILDCARD_VRS))
    yield table(
        ["matching (PS3.4 C.2.2.2)", "of values"],
        [
            ("single value", "all; PN without regard to case, all others with"),
            ("list of UIDs, or of other values", "all"),
            ("universal", "all; a lone asterisk is universal for every VR"),
            ("wildcard * and ?", wildcards),
            ("range", "DA, TM, DT; open at either end; a less precise value is the span that it covers"),
            ("sequence", "SQ: one item of keys"),
        ],
    )
    yield (
        "A retrieve names its level, or is taken at the level of its most specific unique key; at STUDY level an "
        "Accession Number may stand for the Study Instance UID. Lists of UIDs are accepted. C-CANCEL is honoured "
        "between two sub-operations, and between matches."
    )


def configuration(statement: Statement) -> Iterator[Block]:
    """Chapter 6."""
    association = statement.association
    yield heading("6", "Configuration")
    yield heading("6.1", "General configuration parameters")
    checked = "is checked" if association.checks_called_aet else "may be any: an unknown one goes to the first AE"
    yield f"Two TOML files; docs/configuration.md describes every key. The called AE title {checked}."
    yield table(
        ["AE title", "address", "port"],
        [(entity.aet, association.bind_address, association.bind_port) for entity in statement.entities],
    )
    yield heading("6.2", "Configuration of DIMSE services")
    if statement.remotes:
        yield table(
            ["remote AE title", "host", "port", "TLS"],
            [(remote.aet, remote.host, remote.port, "yes" if remote.tls else "no") for remote in statement.remotes],
        )
    yield "Remote AEs that Orthanc has in its DicomModalities are known without being listed, and asked for anew."
    yield "What any peer may ask of us ([limits]; seconds and bytes; 0 = no limit of its own):"
    yield table(["limit", "value"], association.limits.items())
    for number, title in enumerate(("DICOM Web Services", "media storage services", "Real-Time Video services"), 3):
        yield heading(f"6.{number}", f"Configuration of {title}")
        yield _NOT_OURS
    yield heading("6.6", "Configuration of audit trail")
    yield _NOT_OURS
