"""One accepted association: takes requests from its channel, asks the application, writes the responses."""

import logging
from collections.abc import Callable, Iterator
from typing import Literal

from proxy.config import LimitsSettings, Listener
from proxy.dicom.messages import Admission, Identifier, Offer, Request, Response, Sink, StoreRequest
from proxy.dicom.status import PENDING, Status
from proxy.errors import ReceiverLost
from proxy.wire import command as commands
from proxy.wire import pdu
from proxy.wire.accept import encode_accept
from proxy.wire.channel import Channel, Context, Message
from proxy.wire.command import Command, Field
from proxy.wire.ending import Ending
from proxy.wire.receiver import ChannelReceiver
from proxy.wire.responses import FindResponses, RetrieveResponses, SingleResponses
from proxy.wire.transport import Transport

_LOG = logging.getLogger(__name__)

_Name = Literal["C-ECHO", "C-FIND", "C-GET", "C-MOVE", "N-ACTION", "N-EVENT-REPORT"]
_NAMES: dict[Field, _Name] = {
    Field.C_ECHO_RQ: "C-ECHO",
    Field.C_FIND_RQ: "C-FIND",
    Field.C_GET_RQ: "C-GET",
    Field.C_MOVE_RQ: "C-MOVE",
    Field.N_ACTION_RQ: "N-ACTION",
    Field.N_EVENT_REPORT_RQ: "N-EVENT-REPORT",
}
_USER_ABORT = pdu.abort(pdu.AbortSource.USER)


class AcceptedAssociation:
    """Serves one association in the thread that calls `run`; other threads may order its end."""

    def __init__(
        self,
        transport: Transport,
        offer: Offer,
        admission: Admission,
        *,
        listener: Listener,
        limits: LimitsSettings,
        see_out: Callable[[Transport], None],
    ) -> None:
        self._transport = transport
        self._acceptance = encode_accept(offer, admission)
        self._served = admission.association
        self._pending_interval = listener.pending_interval
        self._limits = limits
        self._see_out = see_out
        contexts = {
            answer.context_id: Context(
                answer.context_id, answer.abstract_syntax, answer.transfer_syntax, answer.as_scu, answer.as_scp
            )
            for answer in admission.contexts
            if answer.result == 0
        }
        self._channel = Channel(
            transport,
            contexts,
            limits,
            max_pdu=admission.max_pdu,
            peer_max_pdu=offer.max_pdu,
            open_sink=self._open_sink,
        )

    @property
    def is_idle(self) -> bool:
        """True while no request is served and none is coming in."""
        return self._channel.is_idle

    def abort(self, why: str) -> None:
        """Have it end with an A-ABORT, from any thread; at once where it waits for the peer."""
        self._channel.order(Ending("aborted", why, _USER_ABORT))

    def cut(self) -> None:
        """Take the connection away under it, from any thread."""
        self._transport.cut()

    def run(self) -> None:
        """Accept, serve until the end, and hand the connection over to be closed. Never raises."""
        try:
            ending = self._serve_all()
        except Exception as error:
            _LOG.exception("association ended by an error of ours")
            ending = self._channel.end(Ending("aborted", f"internal error: {type(error).__name__}", _USER_ABORT))
        try:
            self._transport.send_parting(ending.parting)
            self._see_out(self._transport)
        finally:
            self._served.ended(ending.how, ending.why)

    def _serve_all(self) -> Ending:
        try:
            self._channel.write([self._acceptance])
            while True:
                message = self._channel.next_request()
                if message.command.field is Field.C_STORE_RQ:
                    self._store(message)
                else:
                    self._answer(message)
        except Ending as ending:
            return ending
        except ReceiverLost as error:
            return self._channel.end(Ending("aborted", error.comment, _USER_ABORT))

    # ------------------------------------------------------------------ C-STORE

    def _open_sink(self, command: Command, context: Context) -> Sink:
        if not commands.is_uid(command.sop_instance_uid):
            return _RefusingSink(Response(Status.INVALID_SOP_INSTANCE, comment="SOP Instance UID is not a UID"))
        if not commands.is_uid(command.sop_class_uid):
            return _RefusingSink(Response(Status.SOP_CLASS_NOT_SUPPORTED, comment="SOP Class UID is not a UID"))
        return self._served.receive(
            StoreRequest(
                command.message_id,
                command.sop_class_uid,
                command.sop_instance_uid,
                context.abstract_syntax,
                context.transfer_syntax,
                self._served.requestor,
                command.move_originator_aet,
                command.move_originator_message_id,
            )
        )

    def _store(self, message: Message) -> None:
        assert message.sink is not None  # noqa: S101
        SingleResponses(self._channel, message).write(message.sink.finish())

    # ------------------------------------------------------------------ all others

    def _answer(self, message: Message) -> None:
        """Write all responses to one request. The service runs on after the final one, to notify."""
        writer = self._writer(message)
        if message.command.sop_class_uid != message.context.abstract_syntax:
            writer.write(Response(Status.SOP_CLASS_NOT_SUPPORTED, comment="not the SOP class of this context"))
            return
        responses = self._served.answer(self._request(message))
        try:
            if not _write_all(responses, writer):
                raise Ending("aborted", "internal error: no final response", _USER_ABORT)
        except Ending as ending:
            raise self._channel.end(ending) from None
        finally:
            close = getattr(responses, "close", None)
            if close is not None:
                close()

    def _writer(self, message: Message) -> SingleResponses:
        match message.command.field:
            case Field.C_FIND_RQ:
                return FindResponses(self._channel, message)
            case Field.C_GET_RQ | Field.C_MOVE_RQ as field:
                rides = field is Field.C_GET_RQ
                return RetrieveResponses(self._channel, message, interval=self._pending_interval, rides=rides)
        return SingleResponses(self._channel, message)

    def _request(self, message: Message) -> Request:
        command, context = message.command, message.context
        return Request(
            command=_NAMES[command.field],
            message_id=command.message_id,
            sop_class_uid=command.sop_class_uid,
            context_id=context.context_id,
            transfer_syntax=context.transfer_syntax,
            identifier=message.data,
            requestor=self._served.requestor,
            is_cancelled=lambda: self._channel.is_cancelled(command.message_id),
            move_destination=command.move_destination,
            receiver=ChannelReceiver(self._channel, self._limits) if command.field is Field.C_GET_RQ else None,
            priority=command.priority,
            sop_instance_uid=command.sop_instance_uid,
            type_id=command.type_id,
            notify=self._notifier(message) if command.field is Field.N_ACTION_RQ else None,
        )

    def _notifier(self, message: Message) -> Callable[[int, Identifier], int]:
        """Sends an N-EVENT-REPORT about the SOP instance of an N-ACTION on the same context."""

        def notify(event_type_id: int, information: Identifier) -> int:
            command, context = message.command, message.context
            report = commands.event_report_request(1, command.sop_class_uid, command.sop_instance_uid, event_type_id)
            self._channel.expect(Field.N_EVENT_REPORT_RSP, 1, command.sop_instance_uid)
            data = information.encode(context.transfer_syntax)
            self._channel.write(self._channel.message(context.context_id, report, data))
            status = self._channel.wait_status_for(self._limits.response_timeout)
            if status is None:
                raise self._channel.end(Ending("timeout", "no N-EVENT-REPORT response in time", _USER_ABORT))
            return status

        return notify


def _write_all(responses: Iterator[Response], writer: SingleResponses) -> bool:
    """True when the last response was the one final response."""
    final = False
    for response in responses:
        if final:
            return False
        writer.write(response)
        final = response.status not in PENDING
    return final


class _RefusingSink:
    """Lets a data set pass that nobody wants, and answers."""

    def __init__(self, answer: Response) -> None:
        self._answer = answer

    def write(self, fragment: memoryview) -> None:
        """Forget it."""

    def finish(self) -> Response:
        """The refusal."""
        return self._answer

    def abandon(self) -> None:
        """Nothing was kept."""
