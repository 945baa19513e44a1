"""What we ask of others on an association of its own: C-ECHO, and taking our reports of storage commitment."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from proxy.config import LimitsSettings
from proxy.dicom.contexts import IMPLICIT_LITTLE
from proxy.dicom.messages import Identifier
from proxy.dicom.negotiation import STORAGE_COMMITMENT_PUSH, VERIFICATION
from proxy.errors import NoAcceptableContext
from proxy.wire import command, pdu
from proxy.wire.command import Field
from proxy.wire.ending import Ending
from proxy.wire.request import role_item
from proxy.wire.requestor import Requested, open_association

_CONTEXT_ID = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """A DIMSE response: its status, and its Error Comment."""

    status: int
    comment: str


def echo(
    address: tuple[str, int], *, calling_aet: str, called_aet: str, timeout: float, tls: ssl.SSLContext | None = None
) -> Answer:
    """C-ECHO; `timeout` seconds for the association, and again for the response.

    Raises DestinationUnreachable where no association is to be had, NoAcceptableContext where it is for nothing,
    ReceiverLost where no response comes (PS3.7 9.1.5).
    """
    with _association(address, calling_aet, called_aet, VERIFICATION, timeout, tls) as association:
        request = command.echo_request(1, VERIFICATION)
        return _ask(association, Field.C_ECHO_RSP, "", request, None, timeout)


def event_report(
    address: tuple[str, int],
    *,
    calling_aet: str,
    called_aet: str,
    sop_instance_uid: str,
    event_type_id: int,
    information: Identifier,
    timeout: float,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """N-EVENT-REPORT of the Storage Commitment Push Model, as its SCP (PS3.4 J.3.3). Raises as `echo`."""
    as_scp = role_item(STORAGE_COMMITMENT_PUSH, scu=False, scp=True)
    with _association(address, calling_aet, called_aet, STORAGE_COMMITMENT_PUSH, timeout, tls, as_scp) as association:
        if not association.roles.get(STORAGE_COMMITMENT_PUSH, (True, False))[1]:
            raise NoAcceptableContext("it does not take us as SCP of storage commitment")
        request = command.event_report_request(1, STORAGE_COMMITMENT_PUSH, sop_instance_uid, event_type_id)
        data = information.encode(IMPLICIT_LITTLE)
        return _ask(association, Field.N_EVENT_REPORT_RSP, sop_instance_uid, request, data, timeout)


@contextmanager
def _association(
    address: tuple[str, int],
    calling_aet: str,
    called_aet: str,
    sop_class_uid: str,
    timeout: float,
    tls: ssl.SSLContext | None,
    roles: bytes = b"",
) -> Iterator[Requested]:
    association = open_association(
        address,
        calling_aet=calling_aet,
        called_aet=called_aet,
        contexts=[(sop_class_uid, (IMPLICIT_LITTLE,))],
        limits=LimitsSettings(connect_timeout=timeout, send_timeout=timeout),
        tls=tls,
        roles=roles,
    )
    try:
        if _CONTEXT_ID not in association.channel.contexts:
            raise NoAcceptableContext("the association was accepted, but not for this SOP class")
        yield association
    finally:
        association.close()


def _ask(
    association: Requested, field: Field, sop_instance_uid: str, request: bytes, data: bytes | None, timeout: float
) -> Answer:
    channel = association.channel
    channel.expect(field, 1, sop_instance_uid)
    channel.write(channel.message(_CONTEXT_ID, request, data))
    status = channel.wait_status_for(timeout)
    if status is None:
        raise channel.end(Ending("timeout", f"no response within {timeout:g} s", pdu.abort(pdu.AbortSource.USER)))
    return Answer(status, channel.comment)
