"""A cached instance at hand."""

import contextlib
import mmap
from dataclasses import dataclass

from proxy.cache.footer import Footer


@dataclass(slots=True)
class CachedInstance:
    """An instance at hand: `data` is its data set, as it follows the file meta information, until `close`."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    data: memoryview
    was_hit: bool
    _whole: memoryview
    _map: mmap.mmap | None = None

    def close(self) -> None:
        """Give the bytes back. A view that is still in use elsewhere keeps them until it goes."""
        with contextlib.suppress(BufferError):
            self.data.release()
            self._whole.release()
            if self._map is not None:
                self._map.close()


def cached_instance(footer: Footer, whole: memoryview, mapped: mmap.mmap | None, *, was_hit: bool) -> CachedInstance:
    """The instance in `whole`, a cache file (`mapped` where it is mapped) or a DICOM file in memory."""
    data = whole[footer.dataset_offset : footer.length]
    return CachedInstance(
        footer.sop_class_uid, footer.sop_instance_uid, footer.transfer_syntax, data, was_hit, whole, mapped
    )
