"""DIMSE messages in and out of one established association (PS3.7 6.3, PS3.8 Annex E, Table 9-10 from Sta6 on).

Incoming fragments are checked one by one before anything is kept: a data set goes to a Sink as it comes, or into
memory up to a bound. While a request is served, one more complete request may wait; when yet another comes, or a
C-STORE, nothing more is read until its turn: TCP then holds the peer back.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from proxy.config import LimitsSettings
from proxy.dicom.messages import Sink
from proxy.dicom.status import Status
from proxy.wire import pdu
from proxy.wire.command import RESPONSE, Command, Field, InvalidCommand, parse_command
from proxy.wire.ending import Ending
from proxy.wire.transport import Buffer, Transport

_VECTOR = 960  # buffers per write
_LOOKS = 16  # messages taken per look for a C-CANCEL: a flood of them must not keep us from working
_USER_ABORT = pdu.abort(pdu.AbortSource.USER)


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context with the roles that we may take."""

    context_id: int
    abstract_syntax: str
    transfer_syntax: str
    as_scu: bool
    as_scp: bool


@dataclass(slots=True)
class Message:
    """A DIMSE message that came in; a C-STORE's data set went to `sink`, any other is in `data`."""

    command: Command
    context: Context
    data: bytes = b""
    sink: Sink | None = None


class Channel:
    """Reads and writes the messages of one association; every method raises Ending once it is over."""

    def __init__(
        self,
        transport: Transport,
        contexts: Mapping[int, Context],
        limits: LimitsSettings,
        *,
        max_pdu: int,
        peer_max_pdu: int,
        open_sink: Callable[[Command, Context], Sink],
    ) -> None:
        self.contexts = contexts
        self.comment = ""  # Error Comment of the last response that came
        self.ending: Ending | None = None
        self._ordered: Ending | None = None
        self._transport = transport
        self._limits = limits
        self._open_sink = open_sink
        self._allowed = {pdu.P_DATA: max_pdu or int(limits.pdu), **pdu.ESTABLISHED_PDUS}
        self._size = pdu.fragment_length(peer_max_pdu)
        self._fragments: Iterator[tuple[int, int, memoryview]] | None = None
        self._waited_since: float | None = None
        self._command = bytearray()
        self._command_context = 0
        self._began = 0.0  # when the message that is coming in did
        self._incoming: Message | None = None  # its command is complete, its data set is not
        self._collected = bytearray()
        self._data_left = 0
        self._listening = False  # for the next request
        self._serving: Message | None = None
        self._waiting: Message | None = None  # complete
        self._behind: Message | None = None  # its data set stays unread
        self._cancelled: set[int] = set()  # of the two before
        self._expected: tuple[Field, int] | None = None
        self._expected_instance = ""
        self._status: int | None = None
        self._held: list[Buffer] = []

    # ------------------------------------------------------------------ in

    def next_request(self) -> Message:
        """Wait for the next request; that of a C-STORE comes when its sink has the whole data set."""
        self._listening, self._serving = True, None
        idle_until = time.monotonic() + self._limits.idle_timeout
        if self._waiting is None and self._behind is not None:
            behind, self._behind = self._behind, None
            self._begin(behind)
        while self._waiting is None:
            if not self._pump(idle_until):
                raise self.end(Ending("timeout", "no message for too long", _USER_ABORT))
        message, self._waiting = self._waiting, None
        self._listening, self._serving = False, message
        self._cancelled.intersection_update((message.command.message_id,))
        return message

    def is_cancelled(self, message_id: int) -> bool:
        """Look, without waiting, whether a C-CANCEL for that request has come."""
        for _ in range(_LOOKS):
            if self._behind is not None or not self._pump(None):
                break
        return message_id in self._cancelled

    def wait_status(self, until: float) -> int | None:
        """The status of the response that is expected, or None when `until` (monotonic) has passed."""
        while self._status is None:
            if self._behind is not None:
                raise self.end(Ending("protocol error", "requests pile up before a response", _USER_ABORT))
            if not self._pump(until) or (self._status is None and time.monotonic() >= until):
                return None
        status, self._status = self._status, None
        return status

    def is_draining(self) -> bool:
        """True when the peer still takes what was written, since the last call."""
        return self._transport.is_draining()

    def wait_status_for(self, seconds: float) -> int | None:
        """As `wait_status`, from now on."""
        return self.wait_status(time.monotonic() + seconds)

    @property
    def is_idle(self) -> bool:
        """True while no request is served and none is on its way; may be asked from any thread."""
        return self._serving is None and self._incoming is None and self._waiting is None and self._behind is None

    def _pump(self, until: float | None) -> bool:
        """Read until a message is complete (True), or nothing more has come by `until` (None: do not wait)."""
        if self.ending is not None:
            raise self.ending
        self._waited_since = None
        try:
            while True:
                if self._fragments is None:
                    if not self._next_pdu(until):
                        return False
                elif self._take_fragments():
                    return True
        except pdu.InvalidPdu as error:
            raise self.end(Ending("protocol error", str(error), error.abort)) from error
        except InvalidCommand as error:
            raise self.end(Ending("protocol error", str(error), _USER_ABORT)) from error
        except Ending as ending:
            raise self.end(ending) from None

    def _next_pdu(self, until: float | None) -> bool:
        """Read up to the end of the next P-DATA PDU; the others end the association."""
        transport = self._transport
        while True:
            start, available = transport.start, transport.end - transport.start
            if available >= 6:
                pdu_type, length = pdu.HEADER.unpack_from(transport.view, start)
                pdu.check_header(pdu_type, length, self._allowed)
                if available >= 6 + length:
                    self._waited_since = None
                    transport.start = start + 6 + length
                    field = transport.view[start + 6 : start + 6 + length]
                    if pdu_type != pdu.P_DATA:
                        raise _end_by_peer(pdu_type, field)
                    self._fragments = pdu.fragments(field)
                    return True
                transport.reserve(6 + length)
            if not self._receive(until, in_pdu=available > 0):
                return False

    def _receive(self, until: float | None, *, in_pdu: bool) -> bool:
        """Read some bytes. Raises Ending when a PDU or message takes too long to go on."""
        if until is None:
            return self._transport.receive(None)
        in_message = self._incoming is not None or bool(self._command)
        if not in_pdu and not in_message:
            return self._transport.receive(until)
        now = time.monotonic()
        if self._waited_since is None:
            self._waited_since = now
        stalled_at = self._waited_since + self._limits.pdu_timeout
        if in_message and (self._incoming is None or self._incoming.sink is None):
            stalled_at = min(stalled_at, self._began + self._limits.idle_timeout)
            if now >= self._began + self._limits.idle_timeout:  # however busily it comes
                raise _stalled()
        if self._listening:
            until = stalled_at
        if self._transport.receive(min(until, stalled_at)):
            return True
        if stalled_at <= until:
            raise _stalled()
        return False

    def _take_fragments(self) -> bool:
        """Take the fragments of the current PDU, up to the end of a message (True) or of the PDU (False)."""
        assert self._fragments is not None  # noqa: S101
        for context_id, control, fragment in self._fragments:
            if not fragment and not control & pdu.LAST:
                raise pdu.InvalidPdu("an empty fragment in the middle of a message")
            if control & pdu.COMMAND:
                self._take_command(context_id, fragment)
                if control & pdu.LAST and self._command_complete():
                    return True
                continue
            message = self._incoming
            if message is None or message.context.context_id != context_id or self._command:
                raise pdu.InvalidPdu(f"a data set fragment on context {context_id} without its command")
            self._data_left -= len(fragment)
            if self._data_left < 0:
                raise InvalidCommand("a data set is longer than allowed")
            if message.sink is not None:
                message.sink.write(fragment)
            else:
                self._collected += fragment
            if control & pdu.LAST:
                message.data = bytes(self._collected)
                self._complete(message)
                return True
        self._fragments = None
        return False

    def _take_command(self, context_id: int, fragment: memoryview) -> None:
        if self._incoming is not None or (self._command and context_id != self._command_context):
            raise pdu.InvalidPdu("a command fragment in the middle of another message")
        if context_id not in self.contexts:
            raise pdu.InvalidPdu(f"presentation context {context_id} is not accepted")
        if len(self._command) + len(fragment) > self._limits.command_set:
            raise InvalidCommand("a command set is longer than allowed")
        if not self._command:
            self._began = time.monotonic()
        self._command += fragment
        self._command_context = context_id

    def _command_complete(self) -> bool:
        """The command set is whole: decide what follows. True when the message ends here, or has to wait."""
        command = parse_command(self._command)
        self._command = bytearray()
        context = self.contexts[self._command_context]
        if command.field is Field.C_CANCEL_RQ:
            known = (message.command.message_id for message in (self._serving, self._waiting) if message is not None)
            if command.message_id in known:
                self._cancelled.add(command.message_id)
            return True
        message = Message(command, context)
        if command.field & RESPONSE:
            if self._expected != (command.field, command.message_id):
                raise InvalidCommand(f"{command.field.name} to nothing that we sent")
            self._expected = None
        elif not context.as_scp:
            raise InvalidCommand(f"{command.field.name} on a context where the requestor is not SCU")
        else:
            self._cancelled.discard(command.message_id)
            if self._waiting is not None or (self._serving is not None and command.field is Field.C_STORE_RQ):
                self._behind = message
                return True
        return self._begin(message)

    def _begin(self, message: Message) -> bool:
        """Make ready for the data set; True when there is none."""
        if not message.command.has_data_set:
            self._complete(message)
            return True
        self._collected = bytearray()
        self._data_left = int(self._limits.identifier)
        if message.command.field is Field.C_STORE_RQ:
            self._data_left = int(self._limits.instance)
            message.sink = self._open_sink(message.command, message.context)
        self._incoming = message
        return False

    def _complete(self, message: Message) -> None:
        self._incoming = None
        self._collected = bytearray()
        if message.command.field & RESPONSE:
            about = message.command.sop_instance_uid  # optional, but a wrong one is no success
            meant = about in ("", self._expected_instance)
            self._status = message.command.status if meant else int(Status.CLASS_INSTANCE_CONFLICT)
            self.comment = message.command.comment
        else:
            self._waiting = message

    # ------------------------------------------------------------------ out

    def expect(self, field: Field, message_id: int, sop_instance_uid: str) -> None:
        """Let the response to a request of ours in; any other would end the association."""
        self._expected, self._expected_instance, self._status = (field, message_id), sop_instance_uid, None

    def hold(self, buffers: list[Buffer]) -> None:
        """Keep a small message back until the next write, which it then precedes."""
        self._held += buffers

    @property
    def holds(self) -> bool:
        """True while a message is held back."""
        return bool(self._held)

    def message(self, context_id: int, command: bytes, data: bytes | None) -> list[Buffer]:
        """A whole message as buffers to write; for small ones, as everything is in memory at once."""
        buffers: list[Buffer] = [pdu.command_pdus(context_id, command, self._size)]
        if data is not None:
            for vector in pdu.data_pdus(context_id, memoryview(data), self._size):
                buffers += vector
        return buffers

    def write(self, buffers: list[Buffer]) -> None:
        """Write whole messages, after what is held back."""
        if self._held:
            buffers, self._held = self._held + buffers, []
        for at in range(0, len(buffers), _VECTOR):
            self._send(buffers[at : at + _VECTOR])

    def write_instance(self, context_id: int, command: bytes, data: memoryview | Iterator[memoryview]) -> None:
        """Write a C-STORE request. `data` may grow as it is written; an error in it ends the association.

        An error before its first fragment is raised as it is: nothing has been written by then.
        """
        vectors = (
            pdu.data_pdus(context_id, data, self._size)
            if isinstance(data, memoryview)
            else self._growing(context_id, data)
        )
        first = next(vectors)
        head: list[Buffer] = [*self._held, pdu.command_pdus(context_id, command, self._size)]
        self._held = []
        self._send(head + first)
        while True:
            try:
                vector = next(vectors, None)
            except Exception as error:
                raise self.end(Ending("aborted", f"a data set broke off: {error}", _USER_ABORT)) from error
            if vector is None:
                return
            self._send(vector)

    def _growing(self, context_id: int, pieces: Iterator[memoryview]) -> Iterator[list[Buffer]]:
        """PDUs as the pieces come; at most one PDU's content is kept (and copied) until more follows."""
        size, rest = self._size, b""
        for piece in pieces:
            if len(rest) + len(piece) <= size:
                rest += piece
                continue
            vector: list[Buffer] = []
            if rest:
                (vector,) = pdu.data_pdus(context_id, memoryview(rest + piece[: size - len(rest)]), size, last=False)
                piece = piece[size - len(rest) :]
            whole = max(len(piece) - 1, 0) // size * size
            for more in pdu.data_pdus(context_id, piece[:whole], size, last=False):
                yield vector + more
                vector = []
            if vector:
                yield vector
            rest = bytes(piece[whole:])
        yield from pdu.data_pdus(context_id, memoryview(rest), size)

    def _send(self, buffers: list[Buffer]) -> None:
        if self.ending is None and self._ordered is not None:
            self.end(self._ordered)
        if self.ending is not None:
            raise self.ending
        try:
            self._transport.send(buffers)
        except Ending as ending:
            raise self.end(ending) from None

    # ------------------------------------------------------------------ end

    def end(self, ending: Ending) -> Ending:
        """The association is over: remember how, drop what was half received. Returns what to raise."""
        if self.ending is None:
            self.ending = self._ordered or ending
            for message in (self._incoming, self._waiting):
                if message is not None and message.sink is not None:
                    message.sink.abandon()
            self._incoming = self._waiting = self._behind = self._fragments = None
        return self.ending

    def order(self, ending: Ending) -> None:
        """Have the association end from another thread, as soon as its own looks at the network."""
        self._ordered = ending
        self._transport.interrupt()


def _stalled() -> Ending:
    return Ending("timeout", "a PDU or message was not completed in time", pdu.abort(pdu.AbortSource.PROVIDER))


def _end_by_peer(pdu_type: int, field: memoryview) -> Ending:
    if pdu_type == pdu.RELEASE_RQ:
        return Ending("released", "", pdu.RELEASE_RESPONSE)
    source = "provider" if field[2] == pdu.AbortSource.PROVIDER else "user"
    return Ending("aborted", f"aborted by the peer (its {source}, reason {field[3]})")
