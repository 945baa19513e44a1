"""C-STORE as delivery: who calls, which statuses confirm, and that a series goes over one association."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from proxy.dicom.messages import Outgoing
from proxy.errors import DestinationUnreachable, ProxyError, ReceiverLost
from proxy.spool.envelope import Envelope
from proxy.spool.parcel import NotForThisTarget, Parcel
from proxy.workers.dimse_target import DimseTarget, Way
from tests.fakes.received import CT, EXPLICIT, data_set

ENVELOPE = Envelope("id", "main", "CT_1", "PROXY", "10.1.2.3", 50123, 0.0, CT, "1.2.3", EXPLICIT)


def parcel(**changes: str) -> Parcel:
    return Parcel(replace(ENVELOPE, **changes), b"", memoryview(data_set("1.2.3")))  # type: ignore[arg-type]


@dataclass
class FakeReceiver:
    """An association; `answer` gives each instance its status, or raises."""

    answer: Callable[[], int | None]
    syntaxes: tuple[str, ...] = (EXPLICIT,)
    sent: list[Outgoing] = field(default_factory=list)
    closed: bool = False

    def accepts(self, sop_class_uid: str) -> tuple[str, ...]:
        return self.syntaxes

    def begin(self, outgoing: Outgoing) -> None:
        self.sent.append(outgoing)

    def finish(self, timeout: float | None = None) -> int | None:
        return self.answer()

    def close(self) -> None:
        self.closed = True


@dataclass
class Opener:
    """Notes every association that is opened."""

    answer: Callable[[], int | None] = lambda: 0
    syntaxes: tuple[str, ...] = (EXPLICIT,)
    ways: list[Way] = field(default_factory=list)
    receivers: list[FakeReceiver] = field(default_factory=list)

    def __call__(self, way: Way) -> FakeReceiver:
        self.ways.append(way)
        self.receivers.append(FakeReceiver(self.answer, self.syntaxes))
        return self.receivers[-1]


@pytest.mark.parametrize(("ours", "seen"), [("", "CT_1"), ("US", "US")])
def test_the_calling_aet_is_the_modalitys_where_we_have_none_of_our_own(ours: str, seen: str) -> None:
    opener = Opener()
    assert DimseTarget("pacs", opener, ours).deliver(parcel()) == ""
    assert opener.ways == [Way(seen, CT, EXPLICIT)]
    (sent,) = opener.receivers[0].sent
    assert (sent.sop_instance_uid, bytes(sent.data)) == ("1.2.3", data_set("1.2.3"))


def test_a_series_goes_over_one_association_and_another_modality_over_its_own() -> None:
    opener = Opener()
    target = DimseTarget("pacs", opener)
    for _ in range(3):
        target.deliver(parcel())
    target.deliver(parcel(calling_aet="CT_2"))
    assert [len(receiver.sent) for receiver in opener.receivers] == [3, 1]


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (0x0000, None),
        (0x0111, None),
        (0xB000, None),
        (0xA700, DestinationUnreachable),
        (0x0110, DestinationUnreachable),
        (0xA900, NotForThisTarget),
        (0xC123, NotForThisTarget),
        (0x0122, NotForThisTarget),
    ],
)
def test_each_status_confirms_asks_for_patience_or_refuses_for_good(
    status: int, raised: type[ProxyError] | None
) -> None:
    target = DimseTarget("pacs", Opener(lambda: status))
    if raised is None:
        target.deliver(parcel())
        return
    with pytest.raises(raised, match=f"{status:04X}"):
        target.deliver(parcel())


def test_no_answer_is_no_confirmation_and_the_association_is_not_used_again() -> None:
    opener = Opener(lambda: None)
    target = DimseTarget("pacs", opener)
    for _ in range(2):
        with pytest.raises(DestinationUnreachable):
            target.deliver(parcel())
    assert len(opener.receivers) == 2
    assert all(receiver.closed for receiver in opener.receivers)


def test_an_association_that_was_closed_meanwhile_is_opened_again() -> None:
    statuses: list[int | None] = [0, None, 0]

    def answer() -> int:
        status = statuses.pop(0)
        if status is None:
            raise ReceiverLost("closed")
        return status

    opener = Opener(answer)
    target = DimseTarget("pacs", opener)
    assert [target.deliver(parcel()) for _ in range(2)] == ["", ""]
    assert len(opener.receivers) == 2


def test_what_the_target_does_not_negotiate_is_not_for_it() -> None:
    with pytest.raises(NotForThisTarget):
        DimseTarget("pacs", Opener(syntaxes=())).deliver(parcel())
