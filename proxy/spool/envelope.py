"""What is known of a received instance besides its data set, kept in the file meta information of its spool file.

The AE titles and addresses stand in their elements (0002,0016) to (0002,0018) and (0002,0026) to (0002,0028); the rest
(pipeline, time, hash, what routing looks at) in Private Information (0002,0102), a JSON object of fixed length. So the
file is whole in itself, nothing beside it can get lost or contradict it, and it can be written before all is known and
completed at the end in place.

Source: PS3.10 7.1.
"""

import secrets
import socket
import struct
import time
from dataclasses import dataclass, replace
from typing import Any

import orjson

from proxy.dicom.messages import StoreRequest
from proxy.dicom.part10 import Provenance, read_meta, write_meta
from proxy.dicom.structure import StructureError, Walker

_CREATOR = b"2.25.264152058713938857035063383499816953135.1\0\0"  # even length
_CREATOR_TAG, _PRIVATE_TAG = 0x00020100, 0x00020102
_GROUP_LENGTH_AT = 140  # preamble, "DICM", tag, VR and length of (0002,0000)
_EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
# What is filled in at the end, at its longest: three UIDs, a Modality, a length and a hash
_ROOM = 3 * 64 + 16 + 20 + 32


@dataclass(frozen=True, slots=True)
class Envelope:
    """One received instance. `id` names it for good; `received_at` is wall-clock time.

    `size` and `digest` (xxh3_128, hexadecimal) are those of the data set alone.
    """

    id: str
    pipeline: str
    calling_aet: str
    called_aet: str
    address: str
    port: int
    received_at: float
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    modality: str = ""
    size: int = 0
    digest: str = ""

    def complete(self, study: str, series: str, modality: str, size: int, digest: str) -> "Envelope":
        """The same with what is known only once all has come."""
        return replace(
            self,
            study_instance_uid=study,
            series_instance_uid=series,
            modality="".join(filter(str.isprintable, modality))[:16],
            size=size,
            digest=digest,
        )


def envelope_of(pipeline: str, request: StoreRequest) -> Envelope:
    """What a C-STORE request tells."""
    requestor = request.requestor
    return Envelope(
        id=f"{time.time_ns():016x}{secrets.token_hex(4)}",
        pipeline=pipeline,
        calling_aet=requestor.calling_aet,
        called_aet=requestor.called_aet,
        address=requestor.peer.address,
        port=requestor.peer.port,
        received_at=time.time(),
        sop_class_uid=request.sop_class_uid,
        sop_instance_uid=request.sop_instance_uid,
        transfer_syntax=request.transfer_syntax,
    )


_HOST = socket.gethostname()
_META = ("sop_class_uid", "sop_instance_uid", "transfer_syntax")
_PRIVATE = tuple(name for name in Envelope.__dataclass_fields__ if name not in _META)


def write_head(envelope: Envelope, length: int = 0) -> bytes:
    """Preamble and file meta information. `length`: that of a head to be replaced in place, 0 for a new one.

    Raises ValueError when it does not fit.
    """
    provenance = Provenance(envelope.calling_aet, envelope.called_aet, envelope.address, envelope.port, _HOST)
    meta = write_meta(
        envelope.sop_class_uid, envelope.sop_instance_uid, envelope.transfer_syntax, provenance=provenance
    )
    private = orjson.dumps({name: getattr(envelope, name) for name in _PRIVATE})
    overhead = 8 + len(_CREATOR) + 12
    room = (length - len(meta) - overhead) if length else (len(private) + _ROOM) // 2 * 2
    if len(private) > room:
        raise ValueError("file meta information does not fit")
    added = struct.pack("<HH2sH", 0x0002, 0x0100, b"UI", len(_CREATOR)) + _CREATOR
    added += struct.pack("<HH2sHI", 0x0002, 0x0102, b"OB", 0, room) + private.ljust(room)
    (group_length,) = struct.unpack_from("<I", meta, _GROUP_LENGTH_AT)
    head = bytearray(meta + added)
    struct.pack_into("<I", head, _GROUP_LENGTH_AT, group_length + len(added))
    return bytes(head)


def bare_head(envelope: Envelope) -> bytes:
    """Preamble and file meta information as other programs get them: the same whoever sent the instance."""
    return write_meta(envelope.sop_class_uid, envelope.sop_instance_uid, envelope.transfer_syntax)


def read_head(data: bytes | memoryview) -> tuple[Envelope, int]:
    """The envelope at the beginning of a spool file, and where the data set begins. Raises ValueError."""
    meta = read_meta(memoryview(data))
    walker = Walker(_EXPLICIT_LITTLE, 1, {_CREATOR_TAG, _PRIVATE_TAG}, kept_bytes=1 << 16)
    try:
        walker.feed(data[132 : meta.dataset_offset])
    except StructureError as error:
        raise ValueError("file meta information is damaged") from error
    if walker.found.get(_CREATOR_TAG) != _CREATOR:
        raise ValueError("not a file of this spool")
    private: dict[str, Any] = orjson.loads(walker.found.get(_PRIVATE_TAG, b""))
    try:
        facts = {name: private[name] for name in _PRIVATE}
        envelope = Envelope(
            **facts,
            sop_class_uid=meta.sop_class_uid,
            sop_instance_uid=meta.sop_instance_uid,
            transfer_syntax=meta.transfer_syntax,
        )
    except (KeyError, TypeError) as error:
        raise ValueError("file meta information is damaged") from error
    return envelope, meta.dataset_offset
