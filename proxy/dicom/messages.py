"""All that crosses between the DICOM network and the services: offers, requests, responses, instances.

A wire (`proxy.wire`, or pynetdicom's own in `proxy.scp.stock`) turns bytes into these and back; the
services see nothing else. Everything here is plain data or a protocol; no I/O.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

# ---------------------------------------------------------------------------------- associations


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection.

    `certificate_name` is the subject's common name, `certificate_sha256` its fingerprint in hex; "" without one.
    """

    address: str
    port: int
    tls: bool = False
    certificate_name: str = ""
    certificate_sha256: str = ""


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """User Identity Negotiation as requested (PS3.7 D.3.3.7): kind 1 user name, 2 with passcode, 3 to 5 tokens."""

    kind: int
    primary: bytes
    secondary: bytes = b""
    response_requested: bool = False


@dataclass(frozen=True, slots=True)
class OfferedContext:
    """A presentation context as the requestor proposes it (PS3.8 9.3.2.2)."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """An A-ASSOCIATE-RQ. `roles` maps a SOP class to the proposed (SCU, SCP) roles; titles are stripped.

    `extended` maps a SOP class to the service class application information asked for (PS3.7 D.3.3.5).
    """

    calling_aet: str
    called_aet: str
    peer: Peer
    contexts: tuple[OfferedContext, ...]
    max_pdu: int = 0
    implementation_class_uid: str = ""
    implementation_version: str = ""
    roles: Mapping[str, tuple[bool, bool]] = field(default_factory=dict)
    user_identity: UserIdentity | None = None
    extended: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContextAnswer:
    """What becomes of one offered context: `result` as in PS3.8 Table 9-18, 0 = accepted.

    `transfer_syntax` is the accepted one, or any one of the offered where the result is not 0.
    `as_scu` / `as_scp` say which roles the *acceptor* (we) may take.
    """

    context_id: int
    abstract_syntax: str
    transfer_syntax: str
    result: int = 0
    as_scu: bool = False
    as_scp: bool = True


@dataclass(frozen=True, slots=True)
class Refusal:
    """An A-ASSOCIATE-RJ (PS3.8 Table 9-21) and why, in words, for log and status page."""

    result: int
    source: int
    reason: int
    why: str


@dataclass(frozen=True, slots=True)
class Requestor:
    """Who asks: the requestor of the association a request came on. `label` as `STORESCU->HARMONY_SCP(17)`."""

    calling_aet: str
    called_aet: str
    peer: Peer
    association_id: str
    label: str
    implementation_version: str = ""


# ---------------------------------------------------------------------------------- instances


@dataclass(frozen=True, slots=True)
class Located:
    """One instance that Orthanc just named.

    `file_uuid` is Orthanc's attachment id: it changes whenever the stored file does, and is our cache key
    together with `instance_id`. `size` is the length of the DICOM file in bytes, 0 where unknown.
    `sop_class_uid`, `transfer_syntax` and `md5` are "" where Orthanc's listing does not tell them.
    """

    instance_id: str
    file_uuid: str
    series_id: str
    sop_instance_uid: str
    sop_class_uid: str = ""
    transfer_syntax: str = ""
    size: int = 0
    md5: str = ""


@dataclass(slots=True)
class Outgoing:
    """A data set on its way to a receiver: `data` is what follows the file meta information, in order.

    `data` is one buffer, or an iterator of buffers where the instance is sent while it is still being
    downloaded; an exception from the iterator makes the receiver abort its association. `close` gives the
    buffers back (unmaps the file); the wire never calls it, `proxy.services.retrieve` does.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    data: memoryview | Iterator[memoryview]
    close: Callable[[], None] = lambda: None


class Receiver(Protocol):
    """Takes C-STORE sub-operations: the requestor itself (C-GET) or a Move Destination (C-MOVE).

    One sub-operation at a time: `begin`, then `finish` until it answers.
    """

    def accepts(self, sop_class_uid: str) -> Sequence[str]:
        """The transfer syntaxes in which this receiver takes that SOP class; empty = not at all."""

    def begin(self, outgoing: Outgoing) -> None:
        """Write the C-STORE request. Raises NoAcceptableContext or ReceiverLost."""

    def finish(self, timeout: float | None = None) -> int | None:
        """The status of the C-STORE response, or None when `timeout` seconds passed without one.

        Raises ReceiverLost when the association ends or the receiver's own time limit is over.
        """

    def close(self) -> None:
        """Release the association (nothing to do where it is the requestor's own)."""


# ---------------------------------------------------------------------------------- requests


@dataclass(slots=True)
class Tally:
    """What a service notes about a request while it works on it, for log, metrics and status page."""

    level: str = ""
    bytes: int = 0
    cache_hits: int = 0
    cache_misses: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """A DIMSE request other than C-STORE. `identifier` is the encoded data set, in `transfer_syntax`.

    `is_cancelled` looks at the network without waiting: True once a C-CANCEL for this request has come.
    It raises ReceiverLost when the association is gone.

    `notify` (N-ACTION only, where the wire can) sends an N-EVENT-REPORT about the same SOP instance with that event
    type and information on the same association and returns the status of its response, or raises ReceiverLost; a
    service calls it after it has yielded the final response.
    """

    command: Literal["C-ECHO", "C-FIND", "C-GET", "C-MOVE", "N-ACTION", "N-EVENT-REPORT"]
    message_id: int
    sop_class_uid: str
    context_id: int
    transfer_syntax: str
    identifier: bytes
    requestor: Requestor
    is_cancelled: Callable[[], bool]
    move_destination: str = ""
    receiver: Receiver | None = None  # C-GET only
    priority: int = 0
    sop_instance_uid: str = ""  # N-ACTION, N-EVENT-REPORT
    type_id: int = 0  # N-ACTION: Action Type ID
    notify: "Callable[[int, Identifier], int] | None" = None
    tally: Tally = field(default_factory=Tally, compare=False)


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """A C-STORE request before its data set has come. `abstract_syntax` is that of its context."""

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    abstract_syntax: str
    transfer_syntax: str
    requestor: Requestor
    move_originator_aet: str = ""
    move_originator_message_id: int | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Sub-operation counts (PS3.7 C.4.2); `remaining` is None where it must not be sent."""

    remaining: int | None
    completed: int = 0
    failed: int = 0
    warning: int = 0


@dataclass(frozen=True, slots=True)
class Response:
    """A DIMSE response. `identifier` is encoded for a transfer syntax only when it is written."""

    status: int
    identifier: "Identifier | None" = None
    comment: str = ""
    offending_tags: tuple[int, ...] = ()
    counts: Counts | None = None
    sop_instance_uid: str = ""


class Identifier(Protocol):
    """A response identifier that can be encoded, e.g. `proxy.dicom.elements.Elements`."""

    def encode(self, transfer_syntax: str) -> bytes:
        """The data set in that transfer syntax (one of the three uncompressed ones)."""


class Sink(Protocol):
    """Takes one C-STORE data set as it arrives. Exactly one of `finish` and `abandon` is called, once."""

    def write(self, fragment: memoryview) -> None:
        """Take the next bytes of the data set; never raises: a failure is kept and told by `finish`."""

    def finish(self) -> Response:
        """All has arrived: make it durable, and answer."""

    def abandon(self) -> None:
        """The sender vanished or misbehaved: leave nothing behind. Never raises."""


class ServedAssociation(Protocol):
    """Our side of one established association: what a wire asks when messages come in.

    Methods are called from the association's own thread, never two at once.
    """

    requestor: Requestor

    def answer(self, request: Request) -> Iterator[Response]:
        """All responses to a request, the final one last. Never raises, but for ReceiverLost."""

    def receive(self, request: StoreRequest) -> Sink:
        """Where the data set of this C-STORE goes. Never raises."""

    def ended(self, how: Literal["released", "aborted", "lost", "timeout", "protocol error"], why: str) -> None:
        """The association is over; called exactly once."""


@dataclass(frozen=True, slots=True)
class Admission:
    """An offer accepted: how each context is answered, and who serves the association."""

    association: ServedAssociation
    contexts: tuple[ContextAnswer, ...]
    max_pdu: int
    user_identity_response: bytes | None = None


class Application(Protocol):
    """What a wire needs of the rest of the program."""

    def admit(self, offer: Offer) -> Admission | Refusal:
        """Let the offer in, or say why not. Bounds on associations are checked and counted here. Never raises."""

    def turned_away(self, peer: Peer, why: str) -> None:
        """Tell that a connection never became an association: silent, too slow, malformed, one too many."""
