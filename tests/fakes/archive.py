"""An Orthanc as the cache sees it: files by what a listing names, and downloads that can go wrong."""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from proxy.dicom.messages import Located
from proxy.dicom.part10 import write_meta
from tests.fakes.received import CT, EXPLICIT, data_set

SERIES_ID = "5e41e500-00000000-00000000-00000000-00000000"


def dicom_file(sop_instance_uid: str, pixels: bytes = b"12345678") -> bytes:
    """A whole CT image."""
    return write_meta(CT, sop_instance_uid, EXPLICIT) + data_set(sop_instance_uid, pixels=pixels)


def identifier(text: str) -> str:
    """As Orthanc's: five groups of eight hexadecimal digits."""
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[at : at + 8] for at in range(0, 40, 8))


@dataclass
class Archive:
    """`behave` is called at the start of each download, and may raise or wait; pieces have `step` bytes."""

    behave: Callable[[Located], None] = lambda located: None
    step: int = 1 << 16
    files: dict[str, bytes] = field(default_factory=dict)
    downloads: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, sop_instance_uid: str, pixels: bytes = b"12345678", *, version: int = 1) -> Located:
        """One more image, or another version of one; as a listing names it."""
        file = dicom_file(sop_instance_uid, pixels)
        self.files[identifier(f"{sop_instance_uid} {version}")] = file
        return Located(
            instance_id=identifier(sop_instance_uid),
            file_uuid=identifier(f"{sop_instance_uid} {version}"),
            series_id=SERIES_ID,
            sop_instance_uid=sop_instance_uid,
            sop_class_uid=CT,
            transfer_syntax=EXPLICIT,
            size=len(file),
        )

    def download(
        self,
        located: Located,
        write: Callable[[memoryview], None],
        begin: Callable[[int], None],
        patience: float = 0.0,
    ) -> None:
        """See `proxy.cache.instances.Download`."""
        with self._lock:
            self.downloads.append(located.sop_instance_uid)
        self.behave(located)
        file = memoryview(self.files[located.file_uuid])
        begin(len(file))
        for at in range(0, len(file), self.step):
            write(file[at : at + self.step])
