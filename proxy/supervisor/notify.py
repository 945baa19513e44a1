"""Tells systemd how the service is (sd_notify(3)): a datagram to $NOTIFY_SOCKET, nothing where that is unset."""

import os
import socket


def notify(state: str) -> None:
    """Send e.g. "READY=1". Never raises: no service manager is no reason not to serve."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # Linux's abstract namespace
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.connect(address)
            out.send(state.encode())
    except OSError:
        pass


def watchdog_interval() -> float | None:
    """Seconds between two WATCHDOG=1, half of what the unit's WatchdogSec allows; None = not asked for."""
    try:
        return int(os.environ["WATCHDOG_USEC"]) / 2_000_000
    except (KeyError, ValueError):
        return None
