"""A C-ECHO to somebody else, with its failure in words (PS3.7 9.1.5)."""

import re
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Self

from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification

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
    entity = ApplicationEntity(ae_title=calling_aet)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = timeout
    entity.add_requested_context(Verification)
    began = time.monotonic()
    tls_args = (ssl_context, address.host) if ssl_context is not None else None
    try:
        association = entity.associate(address.host, address.port, ae_title=address.aet, tls_args=tls_args)
    except OSError as error:
        raise EchoFailed(f"unknown host {address.host!r}: {error.strerror or error}") from None
    if not association.is_established:
        raise _not_established(association, address, timeout, ssl_context)
    try:
        status = association.send_c_echo()
    except ValueError:
        raise EchoFailed("the association was accepted, but not for Verification") from None
    finally:
        association.release()
    if "Status" not in status:
        raise EchoFailed(f"no answer to C-ECHO within {timeout:g} s, or the association was aborted")
    if status.Status != 0:
        comment = f": {status.ErrorComment}" if "ErrorComment" in status else ""
        raise EchoFailed(f"C-ECHO was answered with status {status.Status:04X}{comment}", rejected=True)
    return time.monotonic() - began


def _not_established(
    association: Association, address: Address, timeout: float, ssl_context: ssl.SSLContext | None
) -> EchoFailed:
    """Why there is no association. pynetdicom tells that of a rejection only; the rest we look up ourselves."""
    if association.is_rejected:
        answer = association.acceptor.primitive
        if answer is not None:
            return EchoFailed(
                _rejection(address, answer.result, answer.result_source, answer.diagnostic), rejected=True
            )
        return EchoFailed("the association was rejected", rejected=True)
    if association.rejected_contexts:
        return EchoFailed("it answers, but does not do Verification (C-ECHO)", rejected=True)
    return EchoFailed(_connection(address, timeout, ssl_context))


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
    except OSError as error:
        return f"cannot connect to {place}: {error.strerror or error}"
    return f"{place} takes connections, but broke off or did not answer the association request (is it DICOM? TLS?)"
