"""A fast server with a fake application behind it, served on loopback, and what it takes to look at it."""

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from proxy.config import LimitsSettings, Listener
from proxy.dicom.messages import (
    Admission,
    ContextAnswer,
    Offer,
    Peer,
    Refusal,
    Request,
    Requestor,
    Response,
    Sink,
    StoreRequest,
)
from proxy.wire.server import FastServer

Answer = Callable[[Request], Iterator[Response]]

SHORT = LimitsSettings(
    request_timeout=0.6,
    idle_timeout=1.5,
    pdu_timeout=0.5,
    send_timeout=1.0,
    response_timeout=1.0,
    connect_timeout=1.5,
    command_set=4096,
    identifier=64 * 1024,
    instance=1 << 20,
    pending_connections=20,
)


class Bytes:
    """An identifier that is encoded already."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def encode(self, transfer_syntax: str) -> bytes:
        return self.data


class MemorySink:
    """Keeps what it gets, as a copy: the buffer behind a fragment is used again."""

    def __init__(self, request: StoreRequest) -> None:
        self.request = request
        self.data = b""
        self.outcome = ""
        self.status = 0x0000

    def write(self, fragment: memoryview) -> None:
        self.data += fragment

    def finish(self) -> Response:
        assert not self.outcome
        self.outcome = "finished"
        return Response(self.status)

    def abandon(self) -> None:
        assert not self.outcome
        self.outcome = "abandoned"


@dataclass
class FakeAssociation:
    """Answers as its application was told to."""

    application: "FakeApplication"
    requestor: Requestor
    endings: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, request: Request) -> Iterator[Response]:
        self.application.requests.append(request)
        return self.application.answers[request.command](request)

    def receive(self, request: StoreRequest) -> Sink:
        sink = MemorySink(request)
        self.application.sinks.append(sink)
        return sink

    def ended(self, how: str, why: str) -> None:
        self.endings.append((how, why))
        with self.application.changed:
            self.application.changed.notify_all()


def _success(request: Request) -> Iterator[Response]:
    yield Response(0x0000)


class FakeApplication:
    """Admits everybody and everything; `answers` say what becomes of each command, `verdict` refuses."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = dict.fromkeys(
            ("C-ECHO", "C-FIND", "C-GET", "C-MOVE", "N-ACTION", "N-EVENT-REPORT"), _success
        )
        self.verdict: Refusal | None = None
        self.max_pdu = 16384
        self.offers: list[Offer] = []
        self.associations: list[FakeAssociation] = []
        self.requests: list[Request] = []
        self.sinks: list[MemorySink] = []
        self.turned: list[tuple[Peer, str]] = []
        self.changed = threading.Condition()

    def admit(self, offer: Offer) -> Admission | Refusal:
        self.offers.append(offer)
        if self.verdict is not None:
            return self.verdict
        number = str(len(self.offers))
        requestor = Requestor(offer.calling_aet, offer.called_aet, offer.peer, number, f"{offer.calling_aet}({number})")
        association = FakeAssociation(self, requestor)
        self.associations.append(association)
        return Admission(association, tuple(self._answers(offer)), self.max_pdu)

    def turned_away(self, peer: Peer, why: str) -> None:
        self.turned.append((peer, why))
        with self.changed:
            self.changed.notify_all()

    @staticmethod
    def _answers(offer: Offer) -> Iterator[ContextAnswer]:
        for context in offer.contexts:
            scu, scp = offer.roles.get(context.abstract_syntax, (True, False))
            yield ContextAnswer(
                context.context_id, context.abstract_syntax, context.transfer_syntaxes[0], 0, as_scu=scp, as_scp=scu
            )

    def wait(self, condition: Callable[[], object], timeout: float = 5.0) -> None:
        """Until `condition` holds; it may depend on endings and on connections turned away."""
        with self.changed:
            assert self.changed.wait_for(condition, timeout), "it did not come to that"

    def ending(self, index: int = 0) -> tuple[str, str]:
        """How an association ended, once it has."""
        self.wait(lambda: len(self.associations) > index and self.associations[index].endings)
        (ending,) = self.associations[index].endings
        return ending


@dataclass
class Serving:
    """A running server."""

    server: FastServer
    application: FakeApplication
    port: int


@contextlib.contextmanager
def serving(
    limits: LimitsSettings = SHORT,
    listener: Listener | None = None,
    tls: ssl.SSLContext | None = None,
    *,
    servers: int = 1,
) -> Iterator[Serving]:
    """A server on a port of the kernel's choice; with more than one they share its socket."""
    application = FakeApplication()
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    running = []
    for _ in range(servers):
        own = socket.socket(fileno=os.dup(listening.fileno()))
        server = FastServer([(own, tls)], application, listener or Listener(), limits, shared=servers > 1)
        server.start()
        running.append(server)
    port = listening.getsockname()[1]
    listening.close()
    try:
        yield Serving(running[0], application, port)
    finally:
        for server in running:
            server.stop()
        for association in application.associations:
            assert len(association.endings) == 1, f"told {association.endings} of its end"


def resources() -> tuple[int, int]:
    """Threads and descriptors of this process."""
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


def settles(condition: Callable[[], bool], timeout: float = 5.0) -> bool:
    """True as soon as `condition` holds; for what nobody tells us of."""
    until = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def chunks(data: bytes, size: int) -> Iterator[memoryview]:
    """`data` in pieces."""
    for at in range(0, len(data), size):
        yield memoryview(data[at : at + size])


def flat(buffers: Sequence[bytes | memoryview]) -> bytes:
    """What is written."""
    return b"".join(bytes(buffer) for buffer in buffers)
