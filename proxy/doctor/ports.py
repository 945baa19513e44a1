"""Our ports: served by us, free, or somebody else's."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

from proxy.config import Settings
from proxy.config.ports import why_not_opened
from proxy.doctor.finding import Finding, State

_FREE_IT = "End the other program, or set another {}."
_RIGHT = "Run it with that right (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE), or set another {}."


@dataclass(frozen=True, slots=True)
class Served:
    """What the running program says of itself; no ports where it did not answer."""

    ports: frozenset[int] = frozenset()
    version: str = ""


def cannot_open(address: str, port: int) -> str:
    """Why we could not listen there, in words; "" where we could."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return why_not_opened(error, address, port)
    return ""


def port_findings(settings: Settings, served: Served) -> Iterator[Finding]:
    """One for each port that the settings name."""
    listener, admin = settings.listener, settings.admin
    yield _of("listener.bind_port", listener.bind_address, listener.bind_port, served)
    if listener.tls.certificate is not None and listener.tls.bind_port is not None:
        yield _of("listener.tls.bind_port", listener.bind_address, listener.tls.bind_port, served)
    if admin.enabled:
        yield _of("admin.bind_port", admin.bind_address, admin.bind_port, served)


def _of(key: str, address: str, port: int, served: Served) -> Finding:
    where = f"{address}:{port}"
    if port == 0:
        return Finding(key, where, State.SKIPPED, "the kernel chooses a port at each start")
    if port in served.ports:
        return Finding(key, where, State.OK, f"served by orthanc-proxy {served.version}".rstrip())
    why = cannot_open(address, port)
    if not why:
        if served.ports:
            says = "orthanc-proxy runs, but does not listen here"
            return Finding(key, where, State.FAILED, says, "Restart it: a changed port needs that.")
        return Finding(key, where, State.OK, "free")
    remedy = _RIGHT if "permission" in why else _FREE_IT
    return Finding(key, where, State.FAILED, why, remedy.format(key))
