"""The head of a DICOM file: preamble and file meta information, read and written without decoding the rest.

Sources: PS3.10 7.1 (file meta information), PS3.5 7.1.2 (it is always Explicit VR Little Endian).
"""

import struct
from dataclasses import dataclass

from proxy.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_PREAMBLE = 128
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_MOST_ELEMENTS = 64
_SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX = 0x0002, 0x0003, 0x0010


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What the file meta information says; `dataset_offset` counts from the beginning of the file, in bytes."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    dataset_offset: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who sent a received instance to whom: kept in (0002,0016) to (0002,0018) and (0002,0026) to (0002,0028).

    `address` and `port` are the sender's; `receiver` is the name of the machine that received it.
    """

    calling_aet: str
    called_aet: str
    address: str = ""
    port: int = 0
    receiver: str = ""


def read_meta(data: bytes | memoryview) -> FileMeta:
    """The meta information at the beginning of a file, with or without the preamble. Raises ValueError."""
    view = memoryview(data)
    offset = _PREAMBLE + 4 if bytes(view[_PREAMBLE : _PREAMBLE + 4]) == b"DICM" else 0
    found: dict[int, str] = {}
    for _ in range(_MOST_ELEMENTS):
        if len(view) < offset + 8 or bytes(view[offset : offset + 2]) != b"\x02\x00":
            break
        element, vr = struct.unpack_from("<H2s", view, offset + 2)
        if vr in _LONG_VRS:
            if len(view) < offset + 12:
                raise ValueError("file meta information is cut off")
            (length,) = struct.unpack_from("<I", view, offset + 8)
            start = offset + 12
        else:
            (length,) = struct.unpack_from("<H", view, offset + 6)
            start = offset + 8
        offset = start + length
        if offset > len(view):
            raise ValueError("file meta information is cut off")
        if element in (_SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX):
            found[element] = bytes(view[start:offset]).decode("ascii", "replace").rstrip("\0 ")
    if _TRANSFER_SYNTAX not in found:
        raise ValueError("no file meta information with a transfer syntax")
    return FileMeta(found.get(_SOP_CLASS, ""), found.get(_SOP_INSTANCE, ""), found[_TRANSFER_SYNTAX], offset)


def write_meta(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax: str, *, provenance: Provenance | None = None
) -> bytes:
    """Preamble, prefix and file meta information for a data set in that transfer syntax."""
    body = b"".join(
        [
            _long(0x0001, b"OB", b"\x00\x01"),
            _short(_SOP_CLASS, b"UI", sop_class_uid),
            _short(_SOP_INSTANCE, b"UI", sop_instance_uid),
            _short(_TRANSFER_SYNTAX, b"UI", transfer_syntax),
            _short(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
            _short(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
            *(_provenance(provenance) if provenance is not None else ()),
        ]
    )
    return b"\0" * _PREAMBLE + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(body)) + body


def _provenance(provenance: Provenance) -> list[bytes]:
    elements = [
        _short(0x0016, b"AE", provenance.calling_aet),
        _short(0x0017, b"AE", provenance.calling_aet),
        _short(0x0018, b"AE", provenance.called_aet),
    ]
    if provenance.address:
        sender = f"dicom://{provenance.address}:{provenance.port}".encode()
        elements += [_long(0x0026, b"UR", sender), _long(0x0027, b"UR", sender)]
    if provenance.receiver:
        elements.append(_long(0x0028, b"UR", f"dicom://{provenance.receiver}".encode("ascii", "replace")))
    return elements


def _short(element: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii", "replace")
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value


def _long(element: int, vr: bytes, value: bytes) -> bytes:
    value += b" " * (len(value) % 2)
    return struct.pack("<HH2sHI", 2, element, vr, 0, len(value)) + value
