"""The listening sockets: opened once, inherited by every worker process."""

import errno
import socket
from dataclasses import dataclass

from proxy.config import Listener
from proxy.errors import ConfigError

_BACKLOG = 512  # a modality that sends one association per image makes bursts


@dataclass(frozen=True, slots=True)
class Listening:
    """The plain and the TLS socket; either may be absent."""

    plain: socket.socket | None
    tls: socket.socket | None

    @property
    def dicom_port(self) -> int | None:
        """The port for DICOM without TLS."""
        return None if self.plain is None else int(self.plain.getsockname()[1])

    @property
    def tls_port(self) -> int | None:
        """The port for DICOM over TLS."""
        return None if self.tls is None else int(self.tls.getsockname()[1])

    def close(self) -> None:
        """Refuse connections from now on (once no worker holds the sockets any more)."""
        for listening in (self.plain, self.tls):
            if listening is not None:
                listening.close()


def open_listening(settings: Listener) -> Listening:
    """Bind what `settings` ask for. Raises ConfigError in words that say what to do."""
    with_tls = settings.tls.certificate is not None
    if not with_tls:
        return Listening(_bind("bind_port", settings.bind_address, settings.bind_port), None)
    if settings.tls.bind_port is None:
        return Listening(None, _bind("bind_port", settings.bind_address, settings.bind_port))
    return Listening(
        _bind("bind_port", settings.bind_address, settings.bind_port),
        _bind("tls.bind_port", settings.bind_address, settings.tls.bind_port),
    )


def _bind(key: str, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise ConfigError([f"listener.{key}: {_why(error, address, port)}"]) from error
    return listening


def _why(error: OSError, address: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} on {address} is in use by another program (find it with: ss -ltnp 'sport = :{port}')"
        case errno.EACCES | errno.EPERM:
            return f"no permission to open port {port}; ports below 1024 need root or CAP_NET_BIND_SERVICE"
        case errno.EADDRNOTAVAIL:
            return f"{address} is not an address of this machine"
    return f"cannot listen on {address}:{port}: {error.strerror or error}"
