"""A channel of ours with a raw peer at the other end of a socket pair."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from proxy.config import LimitsSettings
from proxy.dicom.messages import Peer, Requestor, StoreRequest
from proxy.wire.channel import Channel, Context
from proxy.wire.command import Command
from proxy.wire.ending import Ending
from proxy.wire.transport import transport_for
from tests.support import raw
from tests.unit.wire.serving import MemorySink

ECHO, FIND, GET, CT, COMMITMENT = 1, 3, 5, 7, 9
CONTEXTS = {
    context.context_id: context
    for context in (
        Context(ECHO, raw.VERIFICATION, raw.IMPLICIT, as_scu=False, as_scp=True),
        Context(FIND, raw.STUDY_FIND, raw.IMPLICIT, as_scu=False, as_scp=True),
        Context(GET, raw.STUDY_GET, raw.IMPLICIT, as_scu=False, as_scp=True),
        Context(CT, raw.CT, raw.EXPLICIT, as_scu=True, as_scp=True),
        Context(COMMITMENT, "1.2.840.10008.1.20.1", raw.IMPLICIT, as_scu=False, as_scp=True),
        Context(11, raw.SECONDARY_CAPTURE, raw.EXPLICIT, as_scu=True, as_scp=False),
    )
}
_REQUESTOR = Requestor("RAW", "PROXY", Peer("192.0.2.1", 1), "1", "RAW(1)")

LIMITS = LimitsSettings(
    idle_timeout=0.4,
    pdu_timeout=0.2,
    send_timeout=0.3,
    response_timeout=0.4,
    command_set=1024,
    identifier=4096,
    instance=64 * 1024,
)


@dataclass
class Wired:
    """`channel` is ours; `peer` writes to it and reads from it; `sinks` are what C-STOREs went to."""

    channel: Channel
    peer: raw.Peer
    sinks: list[MemorySink] = field(default_factory=list)

    def send(self, *messages: bytes) -> None:
        """What the peer says, in one go."""
        assert self.peer.send(b"".join(messages))

    def send_soon(self, *messages: bytes, after: float = 0.05) -> None:
        """The same in a moment."""
        threading.Timer(after, self.peer.connection.sendall, (b"".join(messages),)).start()

    def is_silent(self) -> bool:
        """True when nothing has been written to the peer."""
        self.peer.connection.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            return not self.peer.connection.recv(1, socket.MSG_PEEK)
        return True


@contextlib.contextmanager
def wired(limits: LimitsSettings = LIMITS, *, max_pdu: int = 16384, peer_max_pdu: int = 16384) -> Iterator[Wired]:
    """A channel that is established."""
    ours, theirs = socket.socketpair()
    sinks: list[MemorySink] = []

    def open_sink(command: Command, context: Context) -> MemorySink:
        names = command.sop_class_uid, command.sop_instance_uid
        request = StoreRequest(command.message_id, *names, context.abstract_syntax, context.transfer_syntax, _REQUESTOR)
        sinks.append(MemorySink(request))
        return sinks[-1]

    transport = transport_for(ours, send_timeout=limits.send_timeout)
    channel = Channel(transport, CONTEXTS, limits, max_pdu=max_pdu, peer_max_pdu=peer_max_pdu, open_sink=open_sink)
    theirs.settimeout(5)
    try:
        yield Wired(channel, raw.Peer(theirs), sinks)
    finally:
        channel.end(Ending("lost", "the test is over"))
        transport.close()
        theirs.close()


# ---- what peers say


def echo(message_id: int = 1) -> bytes:
    return raw.message(ECHO, raw.command(raw.C_ECHO, message_id=message_id))


def find(message_id: int = 1, identifier: bytes = b"identifier", size: int = 16372) -> bytes:
    command = raw.command(raw.C_FIND, message_id=message_id, sop_class=raw.STUDY_FIND, data=True)
    return raw.message(FIND, command, identifier, size)


def store(message_id: int = 1, data: bytes = b"data set", size: int = 16372) -> bytes:
    return raw.message(CT, raw.store_command(raw.CT, f"1.2.{message_id}", message_id=message_id), data, size)


def cancel(message_id: int) -> bytes:
    return raw.message(FIND, raw.command(raw.C_CANCEL, answers=message_id, sop_class=None))


def stored(message_id: int, sop_instance: str = "1.2.3", status: int = 0) -> bytes:
    """The response to a C-STORE request of ours."""
    return raw.message(CT, raw.store_response(raw.CT, sop_instance, answers=message_id, status=status))
