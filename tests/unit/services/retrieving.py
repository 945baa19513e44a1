"""Stand-ins at the border for the tests of C-GET and C-MOVE: instances, receivers, requests."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from proxy.dicom.contexts import EXPLICIT_LITTLE
from proxy.dicom.messages import Located, Outgoing, Peer, Request, Requestor
from proxy.errors import NoAcceptableContext, OrthancUnavailable, ReceiverLost

CT = "1.2.840.10008.5.1.4.1.1.2"
REQUESTOR = Requestor("WS1", "PROXY", Peer("10.0.0.1", 1), "abc", "WS1->PROXY(1)")


def located(number: int, **more) -> Located:
    names = {"sop_class_uid": CT, "transfer_syntax": EXPLICIT_LITTLE, "size": 2 << 20} | more
    return Located(f"id{number}", f"file{number}", "series", f"1.2.{number}", **names)


@dataclass
class Held:
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    data: memoryview
    was_hit: bool
    closed: int = 0

    def close(self) -> None:
        self.closed += 1


@dataclass
class Coming:
    """What was asked for; it comes as `fetch` would bring it."""

    instances: "Instances"
    located: Located
    closed: int = 0

    def take(self, patience: float) -> Held:
        self.closed += 1
        return self.instances.fetch(self.located, patience)

    def close(self) -> None:
        self.closed += 1


class Instances:
    """Instances by number; `hot` ones are cached, `slow` ones wait for their event, `errors` are raised.

    With `asks` small ones can be asked for ahead; `asked` is what was.
    """

    def __init__(self, hot: Sequence[str] = (), errors: dict | None = None, slow: dict | None = None) -> None:
        self.hot = set(hot)
        self.errors = errors or {}
        self.slow: dict[str, threading.Event] = slow or {}
        self.syntax = EXPLICIT_LITTLE
        self.length = 12
        self.handed_out: list[Held] = []
        self.fetched: list[str] = []
        self.asks = False
        self.asked: list[Coming] = []
        self.under_way = 0
        self.most_under_way = 0
        self._lock = threading.Lock()

    def lookup(self, located: Located) -> Held | None:
        return self._held(located, was_hit=True) if located.sop_instance_uid in self.hot else None

    def fetch(self, located: Located, patience: float = 0.0, started: object = None) -> Held:
        uid = located.sop_instance_uid
        with self._lock:
            self.fetched.append(uid)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if uid in self.slow and not self.slow[uid].wait(patience or 10):
                raise OrthancUnavailable("Orthanc does not answer in time")
            if uid in self.errors:
                raise self.errors[uid]
            return self._held(located, was_hit=False)
        finally:
            with self._lock:
                self.under_way -= 1

    def ask(self, located: Located) -> Coming | None:
        if not self.asks or located.sop_instance_uid in self.hot:
            return None
        self.asked.append(Coming(self, located))
        return self.asked[-1]

    def _held(self, located: Located, was_hit: bool) -> Held:
        data = memoryview(located.sop_instance_uid.encode().ljust(self.length))
        held = Held(located.sop_class_uid or CT, located.sop_instance_uid, self.syntax, data, was_hit)
        self.handed_out.append(held)
        return held

    @property
    def all_closed(self) -> bool:
        return all(held.closed == 1 for held in self.handed_out)


@dataclass
class Receiver:
    """Takes instances and answers `statuses` in turn, then 0000; an exception or None among them is what it says."""

    accepted: dict[str, list[str]] = field(default_factory=lambda: {CT: [EXPLICIT_LITTLE]})
    statuses: list = field(default_factory=list)
    received: list[str] = field(default_factory=list)
    on_begin: Callable[[], None] = lambda: None
    closed: int = 0

    def accepts(self, sop_class_uid: str) -> Sequence[str]:
        return self.accepted.get(sop_class_uid, [])

    def begin(self, outgoing: Outgoing) -> None:
        if outgoing.transfer_syntax not in self.accepts(outgoing.sop_class_uid):
            raise NoAcceptableContext("no context")
        data = outgoing.data if isinstance(outgoing.data, memoryview) else b"".join(outgoing.data)
        self.on_begin()
        self.received.append(bytes(data).decode().strip())

    def finish(self, timeout: float | None = None) -> int | None:
        status = self.statuses.pop(0) if self.statuses else 0
        if isinstance(status, Exception):
            raise status
        return status

    def close(self) -> None:
        self.closed += 1


def request(
    command="C-GET", receiver: Receiver | None = None, cancel: Callable[[], bool] = lambda: False, **more
) -> Request:
    return Request(
        command=command,
        message_id=5,
        sop_class_uid="1.2.840.10008.5.1.4.1.2.2.3",
        context_id=1,
        transfer_syntax=EXPLICIT_LITTLE,
        identifier=b"",
        requestor=REQUESTOR,
        is_cancelled=cancel,
        receiver=receiver,
        **more,
    )


def lost() -> ReceiverLost:
    return ReceiverLost("the association has ended")
