"""N-ACTION of storage commitment: promised on disk before it is answered, and reported at once only when decided."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from proxy.config import LimitsSettings, Pipeline
from proxy.dicom.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE
from proxy.dicom.elements import IMPLICIT_LITTLE, Elements
from proxy.dicom.messages import Request
from proxy.errors import OrthancUnavailable, ReceiverLost
from proxy.services.commitment import CommitmentService
from proxy.spool.transactions import Transactions
from tests.fakes.received import CT, REQUESTOR


def action(*uids: str) -> bytes:
    items = tuple(Elements(((0x00081150, "UI", CT.encode()), (0x00081155, "UI", uid.encode()))) for uid in uids)
    return Elements(((0x00081195, "UI", b"1.9"), (0x00081199, "SQ", items))).encode(IMPLICIT_LITTLE)


@dataclass
class World:
    """The spool, the archive and the requestor's end of the association."""

    folder: Path
    waiting: set[str] = field(default_factory=set)
    held: dict[str, set[str]] | None = field(default_factory=lambda: {"1.2.3": {CT}})
    answers: int = 0x0000
    gone: bool = False
    reports: list[tuple[int, Any]] = field(default_factory=list)
    promised_when_answered: int = 0

    def __post_init__(self) -> None:
        self.transactions = Transactions(self.folder)

    def holdings(self, uids: Iterable[str]) -> Mapping[str, Collection[str]]:
        if self.held is None:
            raise OrthancUnavailable("away")
        return {uid: self.held[uid] for uid in uids if uid in self.held}

    def notify(self, event_type: int, information: Any) -> int:
        if self.gone:
            raise ReceiverLost("released")
        self.reports.append((event_type, information))
        return self.answers

    def ask(self, data: bytes, *, can_notify: bool = True, **changes: Any) -> list[int]:
        """The statuses of all responses."""
        pipeline = Pipeline.model_validate({"aet": "PROXY", "services": ["commitment"]})
        service = CommitmentService(
            "main", pipeline, LimitsSettings(), self.transactions, lambda: self.waiting, self.holdings, patience=0.25
        )
        given: dict[str, Any] = {
            "command": "N-ACTION",
            "message_id": 1,
            "sop_class_uid": PUSH_MODEL,
            "context_id": 1,
            "transfer_syntax": IMPLICIT_LITTLE,
            "identifier": data,
            "requestor": REQUESTOR,
            "is_cancelled": lambda: False,
            "sop_instance_uid": PUSH_MODEL_INSTANCE,
            "type_id": 1,
            "notify": self.notify if can_notify else None,
        }
        statuses = []
        for response in service.answer(Request(**{**given, **changes})):
            self.promised_when_answered = len(self.transactions.ids())
            statuses.append(int(response.status))
        return statuses


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_promise_is_on_disk_before_the_answer_and_gone_after_the_report(world: World) -> None:
    assert world.ask(action("1.2.3")) == [0x0000]
    assert world.promised_when_answered == 1
    assert [event_type for event_type, _ in world.reports] == [1]
    assert world.transactions.ids() == []


def test_what_is_missing_is_reported_as_failed(world: World) -> None:
    world.ask(action("1.2.3", "1.2.4"))
    ((event_type, information),) = world.reports
    assert event_type == 2
    assert b"1.2.4" in information.encode(IMPLICIT_LITTLE)


@pytest.mark.parametrize("why", ["spooled", "away", "gone", "says no", "cannot be told here"])
def test_what_cannot_be_reported_at_once_stays_promised(world: World, why: str) -> None:
    world.waiting = {"1.2.3"} if why == "spooled" else set()
    world.held = None if why == "away" else world.held
    world.gone, world.answers = why == "gone", 0x0110 if why == "says no" else 0x0000
    try:
        assert world.ask(action("1.2.3"), can_notify=why != "cannot be told here") == [0x0000]
    except ReceiverLost:
        assert why == "gone"
    (promise_id,) = world.transactions.ids()
    with world.transactions.claim(promise_id) as ours:
        assert ours, "whoever reports it next can take it"
    promise = world.transactions.read(promise_id)
    assert (promise.requestor_aet, promise.our_aet, promise.transaction.uid) == ("CT_1", "PROXY", "1.9")


@pytest.mark.parametrize(
    ("uids", "changes", "status"),
    [
        (["1.2.3"], {"command": "N-EVENT-REPORT"}, 0x0211),
        (["1.2.3"], {"sop_instance_uid": "1.2"}, 0x0112),
        (["1.2.3"], {"type_id": 2}, 0x0123),
        ([], {}, 0x0115),
        (["not a UID"], {}, 0x0115),
        (["1" * 65], {}, 0x0115),
    ],
)
def test_a_request_that_is_none_is_refused_and_promises_nothing(
    world: World, uids: list[str], changes: dict[str, Any], status: int
) -> None:
    assert world.ask(action(*uids), **changes) == [status]
    assert world.transactions.ids() == []
    assert world.reports == []
