"""What makes a cache file describe itself: which file of Orthanc's it is, UIDs, transfer syntax, and a hash over all.

The footer stands behind the DICOM file, so that the file can be written as it comes and completed at the end. A
file without a sound footer is no cache file, whatever its name.
"""

import struct
from dataclasses import dataclass

import xxhash

_MAGIC = b"OPCACHE2"
_PLACES = struct.Struct("<IIQ")  # data set offset, length of names, length of the file
_SEAL = struct.Struct("<16s8s")  # hash of all before it, magic
_FIXED = _PLACES.size + _SEAL.size
FOOTER_MOST = _FIXED + 3 * 64 + 129 + 3


@dataclass(frozen=True, slots=True)
class Footer:
    """`length` is that of the DICOM file, `dataset_offset` where its data set begins; both in bytes.

    `key` names the very file, as `proxy.cache.files.key_of` does.
    """

    key: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    dataset_offset: int
    length: int

    def pack(self, hasher: "xxhash.xxh3_128") -> bytes:
        """The footer's bytes; `hasher` has been fed the whole DICOM file."""
        names = "\0".join((self.key, self.sop_class_uid, self.sop_instance_uid, self.transfer_syntax)).encode("ascii")
        told = names + _PLACES.pack(self.dataset_offset, len(names), self.length)
        hasher.update(told)
        return told + _SEAL.pack(hasher.digest(), _MAGIC)


def read_footer(data: memoryview, *, verify: bool) -> Footer:
    """The footer of a whole cache file. Raises ValueError where it is none, or where `verify` finds it damaged."""
    if len(data) < _FIXED:
        raise ValueError("too short")
    offset, names_length, length = _PLACES.unpack_from(data, len(data) - _FIXED)
    digest, magic = _SEAL.unpack_from(data, len(data) - _SEAL.size)
    if magic != _MAGIC or length + names_length + _FIXED != len(data) or offset > length:
        raise ValueError("no footer")
    if verify and xxhash.xxh3_128_digest(data[: -_SEAL.size]) != digest:
        raise ValueError("damaged")
    names = bytes(data[length : length + names_length]).decode("ascii").split("\0")
    if len(names) != 4:
        raise ValueError("no footer")
    return Footer(names[0], names[1], names[2], names[3], offset, length)
