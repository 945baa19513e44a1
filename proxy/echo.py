"""A C-ECHO to somebody else, with its failure in words (PS3.7 9.1.5)."""

import re
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Self

from proxy import wire
from proxy.errors import DestinationUnreachable, NoAcceptableContext, ReceiverLost

_AE = re.compile(r"^(?P<aet>[^@\\]{1,16})@(?P<host>\[[^]]+]|[^:\[\]]+):(?P<port>\d{1,5})$")


class EchoFailed(Exception):
    """Raised when a peer does not answer a C-ECHO with success. `rejected`: it is alive, but does not let us in."""

    def __init__(self, why: str, *, rejected: bool = False) -> None:
        super().__init__(why)
        self.rejected = rejected


@dataclass(frozen=True)
class Address:
    """An application entity and where it listens, written `AE@host:port` (`AE@[::1]:port` for IPv6)."""

    aet: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the written form. Raises ValueError."""
        match = _AE.match(text.strip())
        if match is None or not 0 < int(match["port"]) < 65536:
            raise ValueError(f"{text!r} is not AE@host:port, as HARMONY_SCP@127.0.0.1:11112")
        return cls(match["aet"].strip(), match["host"].strip("[]"), int(match["port"]))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.aet}@{host}:{self.port}"


def echo(
    address: Address, calling_aet: str, *, timeout: float = 10.0, ssl_context: ssl.SSLContext | None = None
) -> float:
    """Associate, C-ECHO, release; the seconds that took. Raises EchoFailed."""
    began = time.monotonic()
    try:
        answer = wire.echo(
            (address.host, address.port),
            calling_aet=calling_aet,
            called_aet=address.aet,
            timeout=timeout,
            tls=ssl_context,
        )
    except wire.Rejected as error:
        raise EchoFailed(_rejection(address, error.result, error.source, error.reason), rejected=True) from error
    except DestinationUnreachable as error:
        raise EchoFailed(_connection(address, timeout, ssl_context)) from error
    except NoAcceptableContext as error:
        raise EchoFailed("it answers, but does not do Verification (C-ECHO)", rejected=True) from error
    except ReceiverLost as error:
        raise EchoFailed(f"the association was accepted, but C-ECHO was not answered: {error.comment}") from error
    if answer.status != 0:
        comment = "".join(character if character.isprintable() else "?" for character in answer.comment)
        words = f"C-ECHO was answered with status {answer.status:04X}"
        raise EchoFailed(f"{words}: {comment}" if comment else words, rejected=True)
    return time.monotonic() - began


def _rejection(address: Address, result: int, source: int, reason: int) -> str:
    """A-ASSOCIATE-RJ in words (PS3.8 Table 9-21)."""
    why = {
        (1, 1): "it gives no reason",
        (1, 2): "application context name not supported",
        (1, 3): "it does not know our AE title (-aet); list it there",
        (1, 7): f"it is not called {address.aet!r} (-aec)",
        (2, 1): "it gives no reason",
        (2, 2): "protocol version not supported",
        (3, 1): "it is congested",
        (3, 2): "it has too many associations",
    }.get((source, reason), f"source {source}, reason {reason}")
    return f"association rejected ({'permanent' if result == 1 else 'transient'}): {why}"


def _connection(address: Address, timeout: float, ssl_context: ssl.SSLContext | None) -> str:
    """Connect once more by hand, for the reason."""
    place = f"{address.host}:{address.port}"
    try:
        with socket.create_connection((address.host, address.port), timeout=timeout) as connection:
            if ssl_context is not None:
                with ssl_context.wrap_socket(connection, server_hostname=address.host) as secured:
                    secured.settimeout(min(timeout, 1.0))
                    secured.recv(1)  # TLS 1.3: a refused client certificate shows only now
    except ConnectionRefusedError:
        return f"connection refused: nothing listens on {place}"
    except ConnectionResetError:
        return f"{place} broke off" + (" the TLS handshake: does it speak TLS?" if ssl_context is not None else "")
    except ssl.SSLCertVerificationError as error:
        return f"its certificate was not accepted: {error.verify_message}"
    except ssl.SSLError as error:
        return f"TLS failed: {error.reason or error}"
    except TimeoutError:
        if ssl_context is None:
            return f"no answer from {place} within {timeout:g} s: wrong address, or a firewall"
    except socket.gaierror as error:
        return f"unknown host {address.host!r}: {error.strerror or error}"
    except OSError as error:
        return f"cannot connect to {place}: {error.strerror or error}"
    return f"{place} takes connections, but broke off or did not answer the association request (is it DICOM? TLS?)"
