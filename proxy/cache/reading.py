"""Cache files on their way back: copied or mapped, and believed only when their footer is sound and names them."""

import errno
import mmap
import os

from proxy.cache.cached import CachedInstance, cached_instance
from proxy.cache.files import key_of
from proxy.cache.footer import FOOTER_MOST, read_footer
from proxy.dicom.messages import Located

_TO_MAP = 2 << 20  # bytes from which a file is mapped; below that, copying it costs less
_POPULATE = 22  # MADV_POPULATE_READ, from Linux 5.14
_KNOWN_MOST = 10_000


class Reader:
    """Opens cache files. Thread-safe. `verify`: check the hash of each."""

    def __init__(self, *, verify: bool) -> None:
        self._verify = verify
        self._brought_in: set[str] = set()

    def open(self, path: str, located: Located) -> CachedInstance:
        """The instance in the file. Raises OSError where it cannot be read, ValueError where it is damaged."""
        mapped, whole = None, memoryview(b"")
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if 0 < located.size < _TO_MAP:
                whole = memoryview(os.read(descriptor, located.size + FOOTER_MOST))
            elif os.fstat(descriptor).st_size:  # an empty one cannot be mapped
                mapped = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
                self._bring_in(path, mapped)
                whole = memoryview(mapped)
        finally:
            os.close(descriptor)
        try:
            footer = read_footer(whole, verify=self._verify)
            if footer.key != key_of(located):
                raise ValueError("another file")
        except ValueError:
            whole.release()
            if mapped is not None:
                mapped.close()
            raise
        return cached_instance(footer, whole, mapped, was_hit=True)

    def _bring_in(self, path: str, mapped: mmap.mmap) -> None:
        """Have the disk read what is mapped for the first time. Raises OSError, where later it would be SIGBUS."""
        if path in self._brought_in:
            return
        try:
            mapped.madvise(_POPULATE)
        except OSError as error:
            if error.errno != errno.EINVAL:  # an older kernel
                raise
        if len(self._brought_in) >= _KNOWN_MOST:
            self._brought_in.clear()
        self._brought_in.add(path)
