"""Chapter 8 and the annexes of PS3.2 Annex N."""

from collections.abc import Iterator

from proxy.conformance.layout import Block, heading, table
from proxy.conformance.statement import Security, Statement

_CLIENTS = {
    "none": "Clients are not asked for a certificate.",
    "optional": "Clients are asked for a certificate and need not have one.",
    "required": "Clients must have a certificate that is signed by the configured authority.",
}


def security(statement: Statement) -> Iterator[Block]:
    """Chapter 8."""
    yield heading("8", "Security")
    yield heading("8.1", "Introduction")
    yield "This AE is meant for a network that is closed or protected by TLS. No log line above DEBUG names a patient."
    yield heading("8.2", "External network requirements")
    yield "HTTP or HTTPS to Orthanc. Name service where hosts are configured by name; no DHCP, NTP or LDAP is used."
    yield heading("8.3", "TCP port configuration")
    yield table(["port", "use"], _ports(statement))
    yield heading("8.4", "DICOM security profiles")
    yield heading("8.4.1", "Secure use and user identity profiles")
    yield "None."
    yield heading("8.4.2", "Secure transport connection profiles")
    yield _tls(statement.security)
    yield heading("8.4.3", "Other profiles")
    yield "No media storage security, attribute confidentiality, digital signature or audit trail profile is claimed."
    yield heading("8.5", "User Identity Negotiation")
    checking = [entity.aet for entity in statement.entities if entity.checks_user_identity]
    who = ", ".join(checking) or "no AE of this configuration"
    yield (
        f"As acceptor: user name, alone or with passcode, is checked by {who}; what is checked is confirmed where a "
        "response is asked for. Other kinds (Kerberos, SAML, JWT) are read over. As initiator: not proposed."
    )
    yield heading("8.6", "Web services security features")
    yield "No DICOM web service is offered. Towards Orthanc: basic authentication, TLS, client certificates."
    yield heading("8.7", "Other security features")
    yield (
        "Access rules by calling AE title, address, user identity and Move Destination; certificates pinned to AE "
        f"titles ({statement.security.pinned} in this configuration); bounds on all that a peer may send (6.2)."
    )


def _ports(statement: Statement) -> Iterator[tuple[object, str]]:
    association, safety = statement.association, statement.security
    if safety.tls_port != association.bind_port:
        yield association.bind_port, "DICOM, accepted"
    if safety.tls:
        yield safety.tls_port, "DICOM over TLS, accepted"
    yield "as configured", "DICOM to Move Destinations, targets of forwarding and requestors of commitment"


def _tls(safety: Security) -> str:
    profile = "the BCP 195 profile of PS3.15 (TLS 1.2 with forward secrecy and authenticated encryption, TLS 1.3)"
    if not safety.tls:
        return f"Supported: {profile}. Not switched on for the listener in this configuration."
    return f"The listener conforms to {profile}. {_CLIENTS[safety.client_certificate]}"


def annexes(statement: Statement) -> Iterator[Block]:
    """Annexes A.A to A.E."""
    yield "## Annex A.A: Information Object Definitions"
    yield f"{statement.product} creates no instances. What it sends is what Orthanc holds, attribute by attribute."
    yield "## Annex A.B: Structured Report content encoding"
    yield "Not applicable."
    yield "## Annex A.C: Security details"
    yield "See chapter 8, and [listener.tls] in docs/configuration.md."
    yield "## Annex A.D: Mapping of attributes"
    yield "Not applicable: no attribute of an instance is changed."
    yield "## Annex A.E: Code set usage"
    yield "Not applicable."
