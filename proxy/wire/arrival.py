"""A connection that has not shown its whole A-ASSOCIATE-RQ yet: TLS handshake, header, body, strict check."""

import contextlib
import socket
import ssl
import time
from enum import Enum, auto
from ipaddress import IPv6Address, ip_address
from typing import Any

from proxy.config import LimitsSettings
from proxy.dicom.messages import Offer, Peer
from proxy.tls import peer_certificate
from proxy.wire import pdu
from proxy.wire.request import Refused, parse_request
from proxy.wire.transport import tune

_CHUNK = 64 * 1024


class Wait(Enum):
    """What has to happen to a socket before more can be read."""

    READABLE = auto()
    WRITABLE = auto()


class TurnedAway(Exception):
    """Raised when a connection will not become an association; `why` is "" where there is nothing to tell."""

    def __init__(self, why: str, answer: bytes = b"") -> None:
        super().__init__(why)
        self.why = why
        self.answer = answer


class Arrival:
    """One connection, read without ever waiting. `deadline` is monotonic and covers handshake and request."""

    def __init__(
        self, connected: socket.socket, address: tuple[Any, ...], tls: ssl.SSLContext | None, limits: LimitsSettings
    ) -> None:
        connected.setblocking(False)
        tune(connected)
        self.deadline = time.monotonic() + limits.request_timeout
        self.peer = Peer(_plain(str(address[0])), int(address[1]), tls=tls is not None)
        self.socket = connected
        self._allowed = {pdu.ASSOCIATE_RQ: int(limits.association_request)}
        self._received = bytearray()
        self._handshake = tls is not None
        if tls is not None:
            self.socket = tls.wrap_socket(connected, server_side=True, do_handshake_on_connect=False)

    def read(self) -> Offer | Wait:
        """Read what is there: the offer when it is complete, else what to wait for. Raises TurnedAway."""
        try:
            if self._handshake:
                self._shake_hands()
            while True:
                chunk = self.socket.recv(_CHUNK)
                if not chunk:
                    raise TurnedAway("connection closed in the middle of a request" if self._received else "")
                self._received += chunk
                offer = self._offer()
                if offer is not None:
                    return offer
        except (ssl.SSLWantReadError, BlockingIOError, InterruptedError):
            return Wait.READABLE
        except ssl.SSLWantWriteError:
            return Wait.WRITABLE
        except OSError as error:
            what = "TLS handshake failed" if self._handshake else "connection lost"
            raise TurnedAway(f"{what}: {getattr(error, 'reason', None) or error.strerror or error}") from error

    def close(self) -> None:
        """Close the socket."""
        with contextlib.suppress(OSError):
            self.socket.close()

    def _shake_hands(self) -> None:
        assert isinstance(self.socket, ssl.SSLSocket)  # noqa: S101
        self.socket.do_handshake()
        self._handshake = False
        self.peer = Peer(self.peer.address, self.peer.port, True, *peer_certificate(self.socket))

    def _offer(self) -> Offer | None:
        """The offer once it is whole. Raises TurnedAway."""
        if len(self._received) < 6:
            return None
        pdu_type, length = pdu.HEADER.unpack_from(self._received)
        if pdu_type == pdu.ABORT:
            raise TurnedAway("aborted before any request")
        try:
            pdu.check_header(pdu_type, length, self._allowed)
            if len(self._received) < 6 + length:
                return None
            if len(self._received) > 6 + length:
                raise pdu.InvalidPdu("something follows the request before it is answered", _UNEXPECTED)
            with memoryview(self._received) as whole:
                return parse_request(whole[6:], self.peer)
        except pdu.InvalidPdu as error:
            raise TurnedAway(str(error), error.abort) from error
        except Refused as error:
            refusal = error.refusal
            raise TurnedAway(refusal.why, pdu.reject(refusal.result, refusal.source, refusal.reason)) from error


_UNEXPECTED = pdu.AbortReason.UNEXPECTED_PDU


def _plain(address: str) -> str:
    """An IPv4 address that a dual-stack listener wraps into IPv6 comes unwrapped."""
    if ":" not in address:
        return address
    parsed = ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)
