"""The listening sockets: opened once, inherited by every worker process."""

import socket
from dataclasses import dataclass

from proxy.config import Listener
from proxy.config.ports import why_not_opened
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
        raise ConfigError([f"listener.{key}: {why_not_opened(error, address, port)}"]) from error
    return listening
