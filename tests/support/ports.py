"""Ports for programs that cannot be told to let the kernel choose."""

import contextlib
import random
import socket
import time

# Below Linux's range of ephemeral ports, so that no outgoing connection takes one in between.
_RANGE = range(15000, 32000)


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    for port in random.sample(_RANGE, 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("0.0.0.0", port))
                return port
    raise RuntimeError("no free port found")


def wait_for_port(port: int, *, timeout: float = 10.0, host: str = "127.0.0.1") -> None:
    """Return as soon as somebody accepts connections there. Raises TimeoutError."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens on {host}:{port} after {timeout} s")
