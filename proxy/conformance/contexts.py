"""Which presentation contexts are accepted and proposed: found by offering each one to the function that negotiates."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import pynetdicom.sop_class
from pydicom.uid import UID_dictionary

from proxy.config import Pipeline
from proxy.dicom.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE, TRANSFER_SYNTAXES
from proxy.dicom.messages import ContextAnswer, Offer, OfferedContext, Peer
from proxy.dicom.negotiation import (
    ACCEPTED,
    SERVICE_OF,
    STORAGE_COMMITMENT_PUSH,
    VERIFICATION,
    Supported,
    extended,
    negotiate,
)

_NOBODY = Peer("", 0)
_UNNAMED = "2.25.1"  # stands for every SOP class that PS3.6 does not name
_EVERYTHING_ASKED = bytes((1, 1, 1, 1, 1))


@dataclass(frozen=True, slots=True)
class Named:
    """A UID and what PS3.6 calls it."""

    uid: str
    name: str


@dataclass(frozen=True, slots=True)
class Contexts:
    """SOP classes that are negotiated alike: each in any of these transfer syntaxes.

    `scu` and `scp` are the roles that we take; `extended` what is answered to SOP Class Extended Negotiation that
    asks for everything, byte by byte ("" = there is none).
    """

    service: str
    sop_classes: tuple[Named, ...]
    transfer_syntaxes: tuple[Named, ...]
    scu: bool
    scp: bool
    extended: str = ""


@cache
def named(uid: str) -> Named:
    """What that UID is called; a class that only pynetdicom knows goes by its keyword, with blanks."""
    entry = UID_dictionary.get(uid)
    if entry is not None:
        return Named(uid, f"{entry[0]} (retired)" if entry[3] else entry[0])
    keyword = next((name for name, value in vars(pynetdicom.sop_class).items() if value == uid), uid)
    return Named(uid, re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", keyword))


def accepted(supported: Supported) -> tuple[Contexts, ...]:
    """What an association acceptor agrees to, to a requestor that proposes both roles of every class."""
    groups: defaultdict[tuple[str, tuple[str, ...], bool, bool, str], list[str]] = defaultdict(list)
    for sop_class in [*SERVICE_OF, *supported.storage_classes]:
        answers = _answers(sop_class, supported)
        if answers:
            syntaxes = tuple(answer.transfer_syntax for answer in answers)
            service = SERVICE_OF.get(sop_class, "storage")
            alike = (service, syntaxes, answers[0].as_scu, answers[0].as_scp, _extended(sop_class, answers[0]))
            groups[alike].append(sop_class)
    return tuple(
        Contexts(service, _all_named(classes), tuple(map(named, syntaxes)), scu, scp, extension)
        for (service, syntaxes, scu, scp, extension), classes in groups.items()
    )


def beyond_the_standard(supported: Supported) -> tuple[bool, bool]:
    """The (SCU, SCP) roles that we take of SOP classes that PS3.6 does not name."""
    answers = _answers(_UNNAMED, supported)
    return (answers[0].as_scu, answers[0].as_scp) if answers else (False, False)


def proposed(pipeline: Pipeline, supported: Supported, *, forwards_by_dimse: bool) -> tuple[Contexts, ...]:
    """What we propose where we are the requestor. Storage is proposed for what is to be sent, in its own syntax."""
    plain = (named(IMPLICIT_LITTLE),)
    found = [Contexts("echo", (named(VERIFICATION),), plain, scu=True, scp=False)]
    moves = "move" in pipeline.services and pipeline.move_strategy == "direct"
    if moves or forwards_by_dimse:
        syntaxes = _in_order(supported.transfer_syntaxes)
        classes = _all_named(supported.storage_classes)
        found.append(Contexts("storage", classes, tuple(map(named, syntaxes)), scu=True, scp=False))
    if "commitment" in pipeline.services:
        found.append(Contexts("commitment", (named(STORAGE_COMMITMENT_PUSH),), plain, scu=False, scp=True))
    return tuple(found)


def _answers(sop_class: str, supported: Supported) -> list[ContextAnswer]:
    """The accepting answers to that class in each transfer syntax there is, both roles proposed."""
    syntaxes = _in_order({*TRANSFER_SYNTAXES, *supported.transfer_syntaxes})
    contexts = tuple(OfferedContext(1, sop_class, (syntax,)) for syntax in syntaxes)
    offer = Offer("", "", _NOBODY, contexts, roles={sop_class: (True, True)})
    return [answer for answer in negotiate(offer, supported) if answer.result == ACCEPTED]


def _extended(sop_class: str, answer: ContextAnswer) -> str:
    offer = Offer("", "", _NOBODY, (), extended={sop_class: _EVERYTHING_ASKED})
    return extended(offer, [answer]).get(sop_class, b"").hex(" ")


def _in_order(syntaxes: Iterable[str]) -> list[str]:
    """The uncompressed ones that everybody knows first, then by their numbers."""
    return sorted(syntaxes, key=lambda uid: (uid != EXPLICIT_LITTLE, uid != IMPLICIT_LITTLE, _numbers(uid)))


def _numbers(uid: str) -> list[int]:
    return [int(part) if part.isdecimal() else 0 for part in uid.split(".")]


def _all_named(uids: Iterable[str]) -> tuple[Named, ...]:
    return tuple(sorted(map(named, uids), key=lambda one: (one.name.endswith("(retired)"), one.name)))
