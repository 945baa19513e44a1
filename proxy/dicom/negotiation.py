"""Which of the offered presentation contexts we accept, in which transfer syntax and in which roles.

One pure function for both wires. Sources: PS3.7 D.3.3.4 (roles), PS3.8 Table 9-18 (results), PS3.4 B.3, C.5, J.3.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from proxy.dicom.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE, SOP_CLASSES, UNCOMPRESSED
from proxy.dicom.messages import ContextAnswer, Offer, OfferedContext

ACCEPTED, ABSTRACT_SYNTAX_NOT_SUPPORTED, TRANSFER_SYNTAXES_NOT_SUPPORTED = 0, 3, 4

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT_PUSH = "1.2.840.10008.1.20.1"
PATIENT_ROOT, STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.1", "1.2.840.10008.5.1.4.1.2.2"

SERVICE_OF: Mapping[str, str] = {
    VERIFICATION: "echo",
    f"{PATIENT_ROOT}.1": "find",
    f"{STUDY_ROOT}.1": "find",
    f"{PATIENT_ROOT}.2": "move",
    f"{STUDY_ROOT}.2": "move",
    f"{PATIENT_ROOT}.3": "get",
    f"{STUDY_ROOT}.3": "get",
    STORAGE_COMMITMENT_PUSH: "commitment",
}
"""SOP class -> the service it belongs to; storage classes are not listed."""

_EXTENDED_FIELDS = 5  # relational, combined date-time, fuzzy names, time zone, enhanced multi-frame conversion


@dataclass(frozen=True, slots=True)
class Supported:
    """What an AE title of ours supports.

    `services` as in [pipelines.NAME] services; `transfer_syntaxes` are those that Orthanc takes and gives. SOP
    classes that the Standard does not name are taken by C-STORE with `unknown_sop_classes` only, but given by C-GET
    always: Orthanc may hold instances of them, and who proposes to receive them knows why.
    """

    services: Collection[str]
    storage_classes: Collection[str]
    transfer_syntaxes: Collection[str]
    unknown_sop_classes: bool = False

    def gives(self, sop_class_uid: str) -> bool:
        """True where instances of that SOP class may be sent."""
        return "get" in self.services and (sop_class_uid in self.storage_classes or sop_class_uid not in SOP_CLASSES)

    def takes(self, sop_class_uid: str) -> bool:
        """True where instances of that SOP class may be received."""
        unknown = self.unknown_sop_classes and sop_class_uid not in SOP_CLASSES
        return "store" in self.services and (sop_class_uid in self.storage_classes or unknown)


def negotiate(offer: Offer, supported: Supported) -> tuple[ContextAnswer, ...]:
    """One answer to each offered context, in their order."""
    return tuple(_answer(context, offer.roles.get(context.abstract_syntax), supported) for context in offer.contexts)


def extended(offer: Offer, answers: Collection[ContextAnswer]) -> dict[str, bytes]:
    """What is answered to SOP Class Extended Negotiation, for each accepted query/retrieve SOP class that asked.

    Of what can be asked, only relational queries and retrieves (the first byte) are supported, and a byte that was
    not asked for is not answered. A SOP class that is not here is served without any of it. Sources: PS3.4 C.5.1.1,
    C.5.2.1 and C.5.3.1.
    """
    accepted = {answer.abstract_syntax for answer in answers if answer.result == ACCEPTED}
    return {
        sop_class: bytes([asked[0] & 1, *bytes(min(len(asked), _EXTENDED_FIELDS) - 1)])
        for sop_class, asked in offer.extended.items()
        if asked and sop_class in accepted and SERVICE_OF.get(sop_class) in ("find", "get", "move")
    }


def _answer(context: OfferedContext, roles: tuple[bool, bool] | None, supported: Supported) -> ContextAnswer:
    as_scu, as_scp = _our_roles(context.abstract_syntax, roles, supported)
    is_storage = context.abstract_syntax not in SERVICE_OF
    chosen = _choose(context.transfer_syntaxes, supported.transfer_syntaxes if is_storage else UNCOMPRESSED)
    if not as_scu and not as_scp:
        result = ABSTRACT_SYNTAX_NOT_SUPPORTED
    elif chosen is None:
        result = TRANSFER_SYNTAXES_NOT_SUPPORTED
    else:
        return ContextAnswer(context.context_id, context.abstract_syntax, chosen, ACCEPTED, as_scu, as_scp)
    any_syntax = next(iter(context.transfer_syntaxes), IMPLICIT_LITTLE)
    return ContextAnswer(context.context_id, context.abstract_syntax, any_syntax, result, as_scu=False, as_scp=False)


def _our_roles(sop_class: str, roles: tuple[bool, bool] | None, supported: Supported) -> tuple[bool, bool]:
    """The (SCU, SCP) roles we take; (False, False) = the abstract syntax is not supported.

    Ours mirror the requestor's: for a C-GET it proposes to be SCP of the storage classes, and we are their SCU.
    Without role selection the requestor is SCU.
    """
    their_scu, their_scp = roles if roles is not None else (True, False)
    service = SERVICE_OF.get(sop_class)
    if service is not None:
        return False, their_scu and service in supported.services
    return their_scp and supported.gives(sop_class), their_scu and supported.takes(sop_class)


def _choose(offered: tuple[str, ...], acceptable: Collection[str]) -> str | None:
    """The requestor's first acceptable one; but never Implicit where Explicit Little Endian could be had."""
    chosen = next((syntax for syntax in offered if syntax in acceptable), None)
    if chosen == IMPLICIT_LITTLE and EXPLICIT_LITTLE in offered and EXPLICIT_LITTLE in acceptable:
        return EXPLICIT_LITTLE
    return chosen
