"""Why a port cannot be opened."""

import errno
import os

import pytest

from proxy.config.ports import why_not_opened


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.EADDRINUSE, "port 104 on 0.0.0.0 is in use by another program (find it with: ss -ltnp 'sport = :104')"),
        (errno.EACCES, "no permission to open port 104; ports below 1024 need root or CAP_NET_BIND_SERVICE"),
        (errno.EPERM, "no permission to open port 104; ports below 1024 need root or CAP_NET_BIND_SERVICE"),
        (errno.EADDRNOTAVAIL, "0.0.0.0 is not an address of this machine"),
        (errno.EMFILE, "cannot listen on 0.0.0.0:104: Too many open files"),
    ],
)
def test_the_reason_says_what_to_do(code: int, words: str) -> None:
    assert why_not_opened(OSError(code, os.strerror(code)), "0.0.0.0", 104) == words
