"""What is known of the backends, and that their going and coming is told once each."""

from dataclasses import dataclass, field

from proxy.errors import OrthancUnavailable
from proxy.events import Event, Trouble
from proxy.journal import Journal
from proxy.orthanc.version import capabilities_of
from proxy.supervisor.probe import Probe
from tests.support.waiting import wait_until


@dataclass
class FakeClient:
    """An Orthanc that is there or not."""

    away: bool = False
    asked: int = 0
    capabilities: object = field(default_factory=lambda: capabilities_of({"Version": "1.12.5", "ApiVersion": 26}))

    def ping(self) -> None:
        self.asked += 1
        if self.away:
            raise OrthancUnavailable("connection refused")


def test_its_going_and_coming_back_is_told_once_each() -> None:
    client, events = FakeClient(), list[Event]()
    probe = Probe({"orthanc": client}, {"orthanc": "http://orthanc"}, Journal(events.append))  # type: ignore[dict-item]
    for away in (False, False, True, True, False, False):
        client.away = away
        probe._take(probe._ask("orthanc", client))  # type: ignore[arg-type]
    went, came = [event for event in events if isinstance(event, Trouble)]
    assert (went.severity, went.what.endswith("connection refused")) == ("error", True)
    assert (came.severity, came.what.endswith("is back")) == ("warning", True)


def test_one_that_is_away_from_the_start_is_told() -> None:
    events = list[Event]()
    probe = Probe({"orthanc": FakeClient(away=True)}, {"orthanc": "http://orthanc"}, Journal(events.append))  # type: ignore[dict-item]
    (before,) = probe.states()
    assert (before.reachable, before.words) == (False, "not asked yet")
    probe.start()
    wait_until(lambda: bool(events))
    probe.stop()
    (state,) = probe.states()
    assert (state.reachable, state.words) == (False, "connection refused")


def test_one_that_answers_tells_its_version() -> None:
    probe = Probe({"orthanc": FakeClient()}, {"orthanc": "http://orthanc"}, Journal())  # type: ignore[dict-item]
    probe.start()
    wait_until(lambda: probe.states()[0].reachable)
    probe.stop()
    assert probe.states()[0].version == "1.12.5"
