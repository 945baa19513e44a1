"""One pynetdicom association served by our application: its offer, its contexts, its requests.

This replaces pynetdicom's service classes: they open the destination of a C-MOVE themselves, name themselves as
Move Originator, know no Pending without a sub-operation and take nothing but decoded data sets.
"""

import ssl
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

from pynetdicom import dimse_primitives as dimse
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import (
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import PresentationContext

from proxy.config import LimitsSettings, Listener
from proxy.dicom.messages import (
    Admission,
    ContextAnswer,
    Offer,
    OfferedContext,
    Peer,
    Request,
    Response,
    StoreRequest,
    UserIdentity,
)
from proxy.dicom.negotiation import extended
from proxy.dicom.status import PENDING, Status
from proxy.errors import ReceiverLost
from proxy.scp.stock.receiver import StockReceiver
from proxy.tls import peer_certificate

_COMMANDS: dict[type, Any] = {
    dimse.C_ECHO: "C-ECHO",
    dimse.C_FIND: "C-FIND",
    dimse.C_GET: "C-GET",
    dimse.C_MOVE: "C-MOVE",
    dimse.N_ACTION: "N-ACTION",
}


def offer_of(association: Association, tls: bool) -> Offer:
    """What the requestor proposes."""
    requestor = association.requestor
    primitive = requestor.primitive
    identity = requestor.user_identity
    return Offer(
        calling_aet=primitive.calling_ae_title.strip(),
        called_aet=primitive.called_ae_title.strip(),
        peer=_peer(association, tls),
        contexts=tuple(
            OfferedContext(cx.context_id, str(cx.abstract_syntax), tuple(str(ts) for ts in cx.transfer_syntax))
            for cx in primitive.presentation_context_definition_list
        ),
        max_pdu=requestor.maximum_length or 0,
        implementation_class_uid=str(requestor.implementation_class_uid or ""),
        implementation_version=requestor.implementation_version_name or "",
        roles={str(uid): (item.scu_role, item.scp_role) for uid, item in requestor.role_selection.items()},
        user_identity=_user_identity(identity),
        extended={str(uid): information for uid, information in requestor.sop_class_extended.items()},
    )


def _peer(association: Association, tls: bool) -> Peer:
    """The other end, and the certificate that it showed."""
    requestor = association.requestor
    address, port = requestor.address or "", requestor.port or 0
    transport = association.dul.socket
    connection = transport.socket if transport is not None else None
    if not isinstance(connection, ssl.SSLSocket):
        return Peer(address, port, tls=tls)
    return Peer(address, port, tls, *peer_certificate(connection))


def _user_identity(item: UserIdentityNegotiation | None) -> UserIdentity | None:
    if item is None:
        return None
    return UserIdentity(
        item.user_identity_type,
        item.primary_field or b"",
        item.secondary_field or b"",
        bool(item.positive_response_requested),
    )


def accept(association: Association, offer: Offer, admission: Admission) -> None:
    """Send the A-ASSOCIATE-AC with exactly the contexts of `admission`, past pynetdicom's own negotiation."""
    contexts = [_context(answer) for answer in admission.contexts]
    association._accepted_cx = {cx.context_id: cx for cx in contexts if cx.result == 0}
    association._rejected_cx = [cx for cx in contexts if cx.result != 0]
    for answer in {a.abstract_syntax: a for a in admission.contexts if a.result == 0}.values():
        if answer.abstract_syntax in offer.roles:
            item = SCP_SCU_RoleSelectionNegotiation()
            item.sop_class_uid = answer.abstract_syntax
            item.scu_role, item.scp_role = answer.as_scp, answer.as_scu  # theirs is the mirror of ours
            association.acceptor.add_negotiation_item(item)
    for sop_class_uid, information in extended(offer, admission.contexts).items():
        answer = SOPClassExtendedNegotiation()
        answer.sop_class_uid, answer.service_class_application_information = sop_class_uid, information
        association.acceptor.add_negotiation_item(answer)
    if admission.user_identity_response is not None:
        confirmed = UserIdentityNegotiation()
        confirmed.server_response = admission.user_identity_response
        association.acceptor.add_negotiation_item(confirmed)
    association.acceptor.maximum_length = admission.max_pdu
    association.acse.send_accept()
    association.is_established = True


def _context(answer: ContextAnswer) -> PresentationContext:
    context = PresentationContext()
    context.context_id = answer.context_id
    context.abstract_syntax = answer.abstract_syntax
    context.transfer_syntax = [answer.transfer_syntax]
    context.result = answer.result
    context._as_scu, context._as_scp = answer.as_scu, answer.as_scp
    return context


class Serving:
    """Answers the requests of one association; `serve` takes the place of pynetdicom's dispatch.

    `why` tells why we aborted it; "" where the peer or pynetdicom did.
    """

    def __init__(self, association: Association, admission: Admission, listener: Listener, limits: LimitsSettings):
        self.why = ""
        self._association = association
        self._served = admission.association
        self._listener = listener
        self._limits = limits

    @property
    def is_idle(self) -> bool:
        """True while no request is served."""
        return not self._association._is_paused

    def serve(self, message: Any, context_id: int) -> None:
        """Answer one request. Anything that cannot be answered ends in an A-ABORT."""
        association = self._association
        context = association._accepted_cx.get(context_id)
        if context is None or not message.is_valid_request:
            self._abort("a message that is no request, or on no accepted context")
            return
        association.dimse.cancel_req = {}
        association._is_paused = True
        try:
            if isinstance(message, dimse.C_STORE):
                self._store(message, context)
            elif type(message) in _COMMANDS:
                self._answer(message, context)
            else:
                self._abort(f"{type(message).__name__} is not offered")
        except ReceiverLost as error:
            self._abort(error.comment)
        finally:
            association._is_paused = False

    def _abort(self, why: str) -> None:
        self.why = why
        self._association.abort(block=False)

    def _store(self, message: Any, context: PresentationContext) -> None:
        request = StoreRequest(
            message_id=message.MessageID,
            sop_class_uid=str(message.AffectedSOPClassUID),
            sop_instance_uid=str(message.AffectedSOPInstanceUID),
            abstract_syntax=str(context.abstract_syntax),
            transfer_syntax=str(context.transfer_syntax[0]),
            requestor=self._served.requestor,
            move_originator_aet=message.MoveOriginatorApplicationEntityTitle or "",
            move_originator_message_id=message.MoveOriginatorMessageID,
        )
        data = message.DataSet.getbuffer()
        if len(data) > self._limits.instance:
            raise ReceiverLost("a data set is longer than allowed")
        sink = self._served.receive(request)
        sink.write(data)
        self._send(message, context, sink.finish())

    def _answer(self, message: Any, context: PresentationContext) -> None:
        request = self._request(message, context)
        if len(request.identifier) > self._limits.identifier:
            raise ReceiverLost("a data set is longer than allowed")
        if request.sop_class_uid != context.abstract_syntax:
            refusal = Response(Status.SOP_CLASS_NOT_SUPPORTED, comment="not the SOP class of this context")
            self._send(message, context, refusal)
            return
        responses = self._served.answer(request)
        for response in _thinned(responses, self._listener.pending_interval, isinstance(message, dimse.C_FIND)):
            self._send(message, context, response)

    def _request(self, message: Any, context: PresentationContext) -> Request:
        command = _COMMANDS[type(message)]
        action = command == "N-ACTION"
        data = message.ActionInformation if action else getattr(message, "Identifier", None)
        return Request(
            command=command,
            message_id=message.MessageID,
            sop_class_uid=str(message.RequestedSOPClassUID if action else message.AffectedSOPClassUID),
            context_id=context.context_id,
            transfer_syntax=str(context.transfer_syntax[0]),
            identifier=data.getvalue() if data is not None else b"",
            requestor=self._served.requestor,
            is_cancelled=self._cancelled(message.MessageID),
            move_destination=(getattr(message, "MoveDestination", "") or "").strip(),
            receiver=StockReceiver(self._association, self._limits, None) if command == "C-GET" else None,
            sop_instance_uid=str(message.RequestedSOPInstanceUID) if action else "",
            type_id=message.ActionTypeID if action else 0,
        )

    def _cancelled(self, message_id: int) -> Callable[[], bool]:
        def is_cancelled() -> bool:
            if not self._association.dul.is_alive() or self._association.acse.is_aborted():
                raise ReceiverLost("the association has ended")
            return message_id in self._association.dimse.cancel_req

        return is_cancelled

    def _send(self, request: Any, context: PresentationContext, response: Response) -> None:
        message = type(request)()
        message.MessageIDBeingRespondedTo = request.MessageID
        message.Status = response.status
        self._name(message, request)
        if response.comment:
            message.ErrorComment = response.comment
        if response.offending_tags and hasattr(message, "OffendingElement"):
            message.OffendingElement = list(response.offending_tags)
        if response.counts is not None:
            message.NumberOfRemainingSuboperations = response.counts.remaining
            message.NumberOfCompletedSuboperations = response.counts.completed
            message.NumberOfFailedSuboperations = response.counts.failed
            message.NumberOfWarningSuboperations = response.counts.warning
        if response.identifier is not None:
            message.Identifier = BytesIO(response.identifier.encode(str(context.transfer_syntax[0])))
        self._association.dimse.send_msg(message, context.context_id)

    @staticmethod
    def _name(message: Any, request: Any) -> None:
        if isinstance(request, dimse.N_ACTION):
            message.AffectedSOPClassUID = request.RequestedSOPClassUID
            message.AffectedSOPInstanceUID = request.RequestedSOPInstanceUID
            message.ActionTypeID = request.ActionTypeID
            return
        message.AffectedSOPClassUID = request.AffectedSOPClassUID
        if isinstance(request, dimse.C_STORE):
            message.AffectedSOPInstanceUID = request.AffectedSOPInstanceUID


def _thinned(responses: Iterator[Response], interval: float, all_of_them: bool) -> Iterator[Response]:
    """All final responses, and of a retrieve's Pendings at most one per `interval` seconds."""
    last = time.monotonic()
    for response in responses:
        now = time.monotonic()
        if response.status in PENDING and not all_of_them:
            if now - last < interval:
                continue
            last = now
        yield response
