"""Storage classes and transfer syntaxes: which there are, how an instance can be sent, what a destination is offered.

Sources: PS3.6 Annex A (UIDs), PS3.5 Section 10 and Annex A (transfer syntaxes), PS3.8 9.3.2.2 (at most 128
presentation contexts to one association).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from pydicom.uid import UID_dictionary
from pynetdicom import AllStoragePresentationContexts

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"

UNCOMPRESSED = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG)
"""What identifiers and event information may be encoded in, the preferred first."""

_REENCODABLE = (*UNCOMPRESSED, DEFLATED_LITTLE)

LOSSLESS = frozenset(
    {
        "1.2.840.10008.1.2.4.57",  # JPEG Lossless, Process 14
        "1.2.840.10008.1.2.4.70",  # JPEG Lossless, Process 14 SV1
        "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
        "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless Only
        "1.2.840.10008.1.2.4.201",  # HTJ2K Lossless Only
        "1.2.840.10008.1.2.4.202",  # HTJ2K with RPCL, Lossless Only
        "1.2.840.10008.1.2.5",  # RLE Lossless
    }
)
"""Compressed transfer syntaxes that never change a pixel: the only ones an instance is ever compressed to."""

TRANSFER_SYNTAXES = frozenset(
    uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax" and uid.startswith("1.2.840.")
)
"""Every transfer syntax that PS3.6 names: what Orthanc accepts by default ("1.2.840.10008.1.*")."""

_NOT_STORED = frozenset({"1.2.840.10008.1.20.1", "1.2.840.10008.1.20.2", "1.2.840.10008.1.3.10"})

STORAGE_CLASSES = frozenset(str(context.abstract_syntax) for context in AllStoragePresentationContexts) | {
    # Retired and trial classes are still in every archive, and Orthanc (DCMTK) takes them.
    uid
    for uid, (name, kind, *_) in UID_dictionary.items()
    if kind == "SOP Class" and "Storage" in name and uid not in _NOT_STORED
}
"""Every SOP class whose instances are stored by C-STORE, as far as pydicom and pynetdicom know."""

SOP_CLASSES = frozenset(uid for uid, (_, kind, *_) in UID_dictionary.items() if kind in ("SOP Class", "Meta SOP Class"))
"""Every SOP class that PS3.6 names, storage or not."""

CONTEXTS_PER_ASSOCIATION = 128


class How(Enum):
    """What has to happen to an instance before it can be sent."""

    AS_STORED = "as stored"
    REENCODE = "re-encode"  # another uncompressed syntax; not one pixel touched
    TRANSCODE = "transcode"  # decompress, or compress without loss
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, slots=True)
class Sending:
    """How an instance is sent, and in which transfer syntax ("" where it cannot be)."""

    how: How
    transfer_syntax: str = ""


def sending(stored: str, accepted: Sequence[str]) -> Sending:
    """How an instance stored in transfer syntax `stored` goes to a receiver that accepts those in `accepted`.

    Never in a way that could alter its pixels: no lossy syntax is chosen unless it is the stored one.
    """
    if stored in accepted:
        return Sending(How.AS_STORED, stored)
    uncompressed = next((syntax for syntax in _REENCODABLE if syntax in accepted), "")
    if uncompressed:
        return Sending(How.REENCODE if stored in _REENCODABLE else How.TRANSCODE, uncompressed)
    lossless = next((syntax for syntax in accepted if syntax in LOSSLESS), "")
    return Sending(How.TRANSCODE, lossless) if lossless else Sending(How.IMPOSSIBLE)


Proposal = tuple[str, list[str]]
"""A presentation context to propose: abstract syntax and transfer syntaxes."""


def proposals(needs: Iterable[tuple[str, str]]) -> list[list[Proposal]]:
    """The contexts to propose for instances of these (SOP class, stored transfer syntax), one list per association.

    Every stored syntax gets a context of its own, so that the destination cannot choose another one; what is left
    of Explicit and Implicit VR Little Endian is proposed as the way out (PS3.5 10.1 demands Implicit). Classes
    keep their first-come order and are never torn apart.
    """
    stored: dict[str, dict[str, None]] = {}
    for sop_class, syntax in needs:
        stored.setdefault(sop_class, {})[syntax] = None
    associations: list[list[Proposal]] = [[]]
    for sop_class, syntaxes in stored.items():
        contexts = _class_proposals(sop_class, list(syntaxes))
        if len(associations[-1]) + len(contexts) > CONTEXTS_PER_ASSOCIATION:
            associations.append([])
        associations[-1] += contexts
    return [contexts for contexts in associations if contexts]


def _class_proposals(sop_class: str, stored: list[str]) -> list[Proposal]:
    fallback = [syntax for syntax in (EXPLICIT_LITTLE, IMPLICIT_LITTLE) if syntax not in stored]
    contexts: list[Proposal] = [(sop_class, [syntax]) for syntax in stored]
    if fallback:
        contexts.append((sop_class, fallback))
    return contexts
