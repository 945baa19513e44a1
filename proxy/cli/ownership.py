"""Commands that root gives beside the service: what they make must be the service's, or it could not use it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from proxy.config.folders import nearest


@contextlib.contextmanager
def as_owner_of(folder: Path) -> Iterator[None]:
    """Inside, root acts as the user whom `folder`, or what there is of it, belongs to. Others act as they are."""
    owner = nearest(folder).stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
