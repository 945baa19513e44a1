"""What makes a cache file describe itself: UIDs, transfer syntax, where the data set begins, and a hash over all.

The footer stands behind the DICOM file, so that the file can be written as it comes and completed at the end. A
file without a sound footer is no cache file, whatever its name.
"""

import struct
from dataclasses import dataclass

import xxhash

_MAGIC = b"OPCACHE1"
_FIXED = struct.Struct("<IIQ16s8s")  # data set offset, length of names, length of the file, hash, magic
FOOTER_MOST = _FIXED.size + 3 * 64 + 2


@dataclass(frozen=True, slots=True)
class Footer:
    """`length` is that of the DICOM file, `dataset_offset` where its data set begins; both in bytes."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    dataset_offset: int
    length: int

    def pack(self, hasher: "xxhash.xxh3_128") -> bytes:
        """The footer's bytes; `hasher` has been fed the whole DICOM file."""
        names = self._names()
        hasher.update(names)
        return names + _FIXED.pack(self.dataset_offset, len(names), self.length, hasher.digest(), _MAGIC)

    def _names(self) -> bytes:
        return "\0".join((self.sop_class_uid, self.sop_instance_uid, self.transfer_syntax)).encode("ascii")


def read_footer(data: memoryview, *, verify: bool) -> Footer:
    """The footer of a whole cache file. Raises ValueError where it is none, or where `verify` finds it damaged."""
    if len(data) < _FIXED.size:
        raise ValueError("too short")
    offset, names_length, length, digest, magic = _FIXED.unpack_from(data, len(data) - _FIXED.size)
    if magic != _MAGIC or length + names_length + _FIXED.size != len(data) or offset > length:
        raise ValueError("no footer")
    if verify and xxhash.xxh3_128_digest(data[: length + names_length]) != digest:
        raise ValueError("damaged")
    names = bytes(data[length : length + names_length]).decode("ascii").split("\0")
    if len(names) != 3:
        raise ValueError("no footer")
    return Footer(names[0], names[1], names[2], offset, length)
