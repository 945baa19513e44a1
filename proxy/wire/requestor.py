"""Opens associations with others, Move Destinations above all (PS3.8 Table 9-10, requestor's side)."""

import contextlib
import itertools
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from proxy.config import LimitsSettings
from proxy.dicom.messages import OfferedContext, Receiver, Sink
from proxy.errors import DestinationUnreachable
from proxy.wire import pdu
from proxy.wire.accept import Acceptance, parse_accept
from proxy.wire.channel import Channel, Context
from proxy.wire.command import Command
from proxy.wire.ending import Ending
from proxy.wire.receiver import ChannelReceiver
from proxy.wire.request import encode_request
from proxy.wire.transport import Transport, transport_for, tune

_RELEASE_TIMEOUT = 5.0  # seconds for the A-RELEASE-RP; all instances have been answered by then
_FAREWELL = 0.2  # seconds for the peer to take an A-ABORT before the connection is closed

_ACCEPT_OR_NOT: Mapping[int, int] = {pdu.ASSOCIATE_AC: 256 * 1024, pdu.ASSOCIATE_RJ: 4, pdu.ABORT: 4}
_UNTIL_RELEASED: Mapping[int, int] = {pdu.P_DATA: 1 << 20, pdu.RELEASE_RQ: 4, pdu.RELEASE_RP: 4, pdu.ABORT: 4}

_REASONS = {
    (1, 1): "no reason given",
    (1, 2): "application context not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
"""(source, reason) of an A-ASSOCIATE-RJ in words (PS3.8 Table 9-21)."""


class Rejected(DestinationUnreachable):
    """Raised for an A-ASSOCIATE-RJ, whose `result`, `source` and `reason` it tells (PS3.8 Table 9-21)."""

    def __init__(self, comment: str, result: int, source: int, reason: int) -> None:
        super().__init__(comment)
        self.result, self.source, self.reason = result, source, reason


@dataclass(frozen=True, slots=True)
class Requested:
    """An association that we opened; `roles` maps a SOP class to the (SCU, SCP) roles of ours that were accepted."""

    channel: Channel
    roles: Mapping[str, tuple[bool, bool]]
    _transport: Transport

    def close(self) -> None:
        """Release it, or abort it where that fails. Never raises, and leaves no socket."""
        _close(self.channel, self._transport)


def open_receiver(
    address: tuple[str, int],
    *,
    calling_aet: str,
    called_aet: str,
    contexts: Sequence[tuple[str, Sequence[str]]],
    originator: tuple[str, int] | None,
    limits: LimitsSettings,
    tls: ssl.SSLContext | None = None,
    max_pdu: int = 16384,
) -> Receiver:
    """Open an association on which C-STORE sub-operations can be sent. Raises DestinationUnreachable.

    As `open_association`; `originator` is the requestor of the C-MOVE and its message ID.
    """
    association = open_association(
        address,
        calling_aet=calling_aet,
        called_aet=called_aet,
        contexts=contexts,
        limits=limits,
        tls=tls,
        max_pdu=max_pdu,
    )
    return ChannelReceiver(association.channel, limits, originator=originator, close=association.close)


def open_association(
    address: tuple[str, int],
    *,
    calling_aet: str,
    called_aet: str,
    contexts: Sequence[tuple[str, Sequence[str]]],
    limits: LimitsSettings,
    tls: ssl.SSLContext | None = None,
    max_pdu: int = 16384,
    roles: bytes = b"",
) -> Requested:
    """Open an association with somebody. Raises DestinationUnreachable.

    `contexts` are up to 128 (SOP class, transfer syntaxes), `roles` encoded role selection items. Connect, TLS and
    association together take at most [limits] connect_timeout.
    """
    until = time.monotonic() + limits.connect_timeout
    offered = [
        OfferedContext(2 * index + 1, sop_class, tuple(syntaxes))
        for index, (sop_class, syntaxes) in enumerate(contexts)
    ]
    request = encode_request(
        calling_aet=calling_aet, called_aet=called_aet, contexts=offered, max_pdu=max_pdu, roles=roles
    )
    transport = transport_for(_connect(address, called_aet, tls, until), send_timeout=limits.send_timeout)
    try:
        acceptance = _associate(transport, request, called_aet, until)
    except DestinationUnreachable:
        transport.close()
        raise
    except Ending as ending:
        _part(transport, ending.parting)
        doubt = " (is it DICOM?)" if ending.how == "protocol error" else ""
        raise DestinationUnreachable(f"{called_aet}: {ending.why}{doubt}") from ending
    channel = Channel(
        transport,
        _accepted(offered, acceptance),
        limits,
        max_pdu=max_pdu,
        peer_max_pdu=acceptance.max_pdu,
        open_sink=_no_sink,
    )
    return Requested(channel, acceptance.roles, transport)


def _connect(address: tuple[str, int], called_aet: str, tls: ssl.SSLContext | None, until: float) -> socket.socket:
    host, port = address
    try:
        connected = socket.create_connection((host, port), timeout=max(0.001, until - time.monotonic()))
    except TimeoutError as error:
        raise DestinationUnreachable(f"{called_aet}: connection timed out") from error
    except ConnectionRefusedError as error:
        raise DestinationUnreachable(f"{called_aet}: connection refused") from error
    except OSError as error:
        raise DestinationUnreachable(f"{called_aet}: {error.strerror or 'cannot connect'}") from error
    tune(connected)
    if tls is None:
        return connected
    try:
        connected.settimeout(max(0.001, until - time.monotonic()))
        return tls.wrap_socket(connected, server_hostname=host)
    except OSError as error:
        connected.close()
        reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or error.strerror or "failed"
        raise DestinationUnreachable(f"{called_aet}: TLS {reason}") from error


def _associate(transport: Transport, request: bytes, called_aet: str, until: float) -> Acceptance:
    """Negotiate. Raises DestinationUnreachable when it is rejected, Ending for all else that goes wrong."""
    transport.send([request])
    pdu_type, field = _read_pdu(transport, _ACCEPT_OR_NOT, until)
    if pdu_type == pdu.ASSOCIATE_RJ:
        why = _REASONS.get((field[2], field[3]), f"source {field[2]}, reason {field[3]}")
        raise Rejected(f"{called_aet} rejected: {why}", field[1], field[2], field[3])
    if pdu_type == pdu.ABORT:
        raise Ending("aborted", "association aborted")
    try:
        return parse_accept(field)
    except pdu.InvalidPdu as error:
        raise Ending("protocol error", "malformed acceptance", error.abort) from error


def _accepted(offered: Sequence[OfferedContext], acceptance: Acceptance) -> dict[int, Context]:
    """The contexts to send on; an acceptance of what was not offered is left out."""
    return {
        context.context_id: Context(
            context.context_id, context.abstract_syntax, acceptance.contexts[context.context_id], True, False
        )
        for context in offered
        if acceptance.contexts.get(context.context_id) in context.transfer_syntaxes
    }


def _read_pdu(transport: Transport, allowed: Mapping[int, int], until: float) -> tuple[int, memoryview]:
    """The next whole PDU: its type and variable field. Raises Ending."""
    while True:
        available = transport.end - transport.start
        if available >= 6:
            pdu_type, length = pdu.HEADER.unpack_from(transport.view, transport.start)
            try:
                pdu.check_header(pdu_type, length, allowed)
            except pdu.InvalidPdu as error:
                raise Ending("protocol error", str(error), error.abort) from error
            if available >= 6 + length:
                field = transport.view[transport.start + 6 : transport.start + 6 + length]
                transport.start += 6 + length
                return pdu_type, field
            transport.reserve(6 + length)
        if not transport.receive(until):
            raise Ending("timeout", "no answer in time", pdu.abort(pdu.AbortSource.USER))


def _close(channel: Channel, transport: Transport) -> None:
    """Release the association, or abort it where that fails. Never raises, and leaves no socket."""
    if channel.ending is not None:
        _part(transport, channel.ending.parting)
        return
    channel.end(Ending("released", "released by us"))
    until = time.monotonic() + _RELEASE_TIMEOUT
    try:
        transport.send([pdu.RELEASE_REQUEST])
        while True:
            pdu_type, _ = _read_pdu(transport, _UNTIL_RELEASED, until)
            if pdu_type in (pdu.RELEASE_RP, pdu.ABORT):
                break
            if pdu_type == pdu.RELEASE_RQ:  # both at once: each answers the other's
                transport.send([pdu.RELEASE_RESPONSE])
        transport.close()
    except Ending as ending:
        _part(transport, ending.parting)


def _part(transport: Transport, parting: bytes) -> None:
    """Send a last PDU, give the peer a moment to read it, and close."""
    if parting:
        transport.send_parting(parting)
        until = time.monotonic() + _FAREWELL
        with contextlib.suppress(Ending):
            for _ in itertools.repeat(None, 64):
                transport.start = transport.end = 0
                if not transport.receive(until):
                    break
    transport.close()


def _no_sink(_command: Command, _context: Context) -> Sink:
    raise AssertionError("a requestor's contexts take no requests")
