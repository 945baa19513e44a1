"""C-STORE sub-operations over a pynetdicom association, our own (C-GET) or one opened to a destination (C-MOVE)."""

import contextlib
import socket
import threading
import time
from collections.abc import Sequence
from io import BytesIO
from ssl import SSLContext

from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import build_context

from proxy.config import LimitsSettings
from proxy.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from proxy.dicom.messages import Outgoing, Receiver
from proxy.dicom.status import Status
from proxy.errors import DestinationUnreachable, NoAcceptableContext, ReceiverLost

_POLL = 0.002  # seconds; pynetdicom's queues cannot be waited for together with the state of the association
_RELEASE_TIMEOUT = 5.0  # seconds; all instances have been answered by then


class StockReceiver:
    """Sends one C-STORE request after the other and waits for each response."""

    def __init__(self, association: Association, limits: LimitsSettings, originator: tuple[str, int] | None) -> None:
        self._association = association
        self._response_timeout = limits.response_timeout
        self._originator = originator
        self._message_id = 0
        self._instance = ""
        self._deadline = 0.0

    def accepts(self, sop_class_uid: str) -> Sequence[str]:
        """The transfer syntaxes of the accepted contexts in which we may be SCU for that class."""
        contexts = self._association.accepted_contexts
        return [cx.transfer_syntax[0] for cx in contexts if cx.abstract_syntax == sop_class_uid and cx.as_scu]

    def begin(self, outgoing: Outgoing) -> None:
        """Queue the request; the data set is copied. Raises NoAcceptableContext or ReceiverLost."""
        context_id = self._context_id(outgoing)
        self._message_id, self._instance = self._message_id % 0xFFFF + 1, outgoing.sop_instance_uid
        request = C_STORE()
        request.MessageID = self._message_id
        request.AffectedSOPClassUID = outgoing.sop_class_uid
        request.AffectedSOPInstanceUID = outgoing.sop_instance_uid
        request.Priority = 2
        if self._originator is not None:
            request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID = self._originator
        data = outgoing.data
        request.DataSet = BytesIO(bytes(data) if isinstance(data, memoryview) else b"".join(data))
        self._check_alive()
        self._association.dimse.send_msg(request, context_id)
        self._deadline = time.monotonic() + self._response_timeout

    def finish(self, timeout: float | None = None) -> int | None:
        """The status of the response, or None after `timeout` seconds. Raises ReceiverLost."""
        until = self._deadline if timeout is None else min(self._deadline, time.monotonic() + timeout)
        while True:
            _, message = self._association.dimse.get_msg(block=False)
            is_response = isinstance(message, C_STORE) and message.is_valid_response
            if is_response and message.MessageIDBeingRespondedTo == self._message_id:
                return self._status(message)
            self._check_alive()
            now = time.monotonic()
            if now >= self._deadline:
                if self._association.is_requestor:  # a requestor's own is ended by who serves it, and told why
                    self._association.abort(block=False)
                raise ReceiverLost("no C-STORE response in time")
            if now >= until:
                return None
            time.sleep(_POLL)

    def _status(self, response: C_STORE) -> int:
        """What it says of the instance that was sent; success for another one is none."""
        about = response.AffectedSOPInstanceUID
        return int(response.Status) if about in (None, self._instance) else int(Status.CLASS_INSTANCE_CONFLICT)

    def close(self) -> None:
        """Release the association where it is one of our own making.

        pynetdicom's own reader has been paused since it was opened, as its release wants it.
        """
        association = self._association
        if not association.is_requestor:
            return
        giving_up = threading.Timer(_RELEASE_TIMEOUT, cut, (association,))
        giving_up.daemon = True
        giving_up.start()
        if self._is_alive():
            association.release()
        else:
            association.kill()
        giving_up.cancel()

    def _context_id(self, outgoing: Outgoing) -> int:
        for cx in self._association.accepted_contexts:
            fits = cx.abstract_syntax == outgoing.sop_class_uid and cx.as_scu
            if fits and cx.transfer_syntax[0] == outgoing.transfer_syntax:
                return int(cx.context_id)
        raise NoAcceptableContext("the receiver does not take this transfer syntax")

    def _check_alive(self) -> None:
        if not self._is_alive():
            raise ReceiverLost("the association has ended")

    def _is_alive(self) -> bool:
        association = self._association
        return bool(association.is_established and association.dul.is_alive() and not association.acse.is_aborted())


def cut(association: Association) -> None:
    """Take the connection away under pynetdicom's threads: one that waits for the rest of a PDU hears nothing else."""
    association.dul.kill_dul()
    transport = association.dul.socket
    connection = transport.socket if transport is not None else None
    if connection is not None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)


def open_receiver(
    address: tuple[str, int],
    *,
    calling_aet: str,
    called_aet: str,
    contexts: Sequence[tuple[str, Sequence[str]]],
    originator: tuple[str, int] | None,
    limits: LimitsSettings,
    tls: SSLContext | None = None,
    max_pdu: int = 16384,
) -> Receiver:
    """Open an association with a Move Destination by pynetdicom. Raises DestinationUnreachable."""
    ae = AE(ae_title=calling_aet)
    ae.implementation_class_uid, ae.implementation_version_name = IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = ae.acse_timeout = limits.connect_timeout
    ae.dimse_timeout = limits.response_timeout
    try:
        association = ae.associate(
            address[0],
            address[1],
            contexts=[build_context(sop_class, list(syntaxes)) for sop_class, syntaxes in contexts],
            ae_title=called_aet,
            max_pdu=max_pdu,
            tls_args=(tls, address[0]) if tls is not None else None,
        )
    except OSError as error:
        raise DestinationUnreachable(f"{called_aet}: {error.strerror or 'cannot connect'}") from error
    if association.is_rejected:
        raise DestinationUnreachable(f"{called_aet} rejected the association")
    if not association.is_established:
        raise DestinationUnreachable(f"no association with {called_aet}")
    association._reactor_checkpoint.clear()  # pynetdicom's own reader must not take the responses
    while association.is_established and not association._is_paused:
        time.sleep(_POLL)
    return StockReceiver(association, limits, originator)
