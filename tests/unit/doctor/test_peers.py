"""Whoever is spoken to is asked, and who does not answer is told with a remedy."""

from collections.abc import Iterator

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from proxy.config import Settings
from proxy.doctor.finding import State
from proxy.doctor.peers import modality_findings, peer_findings
from tests.fakes.answers import Answers, answering
from tests.unit.doctor.making import settings

SYSTEM = {"Version": "1.12.7", "Capabilities": {"HasExtendedFind": True}, "DicomAet": "ORTHANC", "DicomPort": 4242}


@pytest.fixture
def peer() -> Iterator[int]:
    """The port of a node that answers C-ECHO and knows nobody but FRIEND."""
    entity = AE("PEER")
    entity.require_calling_aet = ["FRIEND"]
    entity.add_supported_context(Verification)
    server = entity.start_server(("127.0.0.1", 0), block=False)
    yield server.server_address[1]
    server.shutdown()


@pytest.fixture
def orthanc() -> Iterator[Answers]:
    with answering({"/system": SYSTEM, "/changes": {}, "/modalities": {}}) as server:
        yield server


def before(orthanc: Answers, **tables: object) -> Settings:
    return settings(backends={"orthanc": {"url": orthanc.url, "retries": 1}}, **tables)


def entry(port: int, **more: object) -> dict[str, object]:
    return {"aet": "PEER", "host": "127.0.0.1", "port": port, **more}


def test_an_orthanc_tells_its_version(orthanc: Answers) -> None:
    (finding,) = peer_findings(before(orthanc))
    assert (finding.what, finding.where, finding.state) == ("backends.orthanc", orthanc.url, State.OK)
    assert finding.says == "Orthanc 1.12.7, C-FIND mode extended"


@pytest.mark.parametrize(
    ("answer", "says", "remedy"),
    [
        ((401, {}), "refuses our credentials", "password"),
        ((500, {"OrthancError": "Database"}), "HTTP 500", "[backends.orthanc]"),
        ((200, b"<html>"), "no Orthanc", "Another program answers there"),
    ],
)
def test_an_orthanc_that_is_not_well_is_told_with_a_remedy(
    orthanc: Answers, answer: object, says: str, remedy: str
) -> None:
    orthanc.given["/changes"] = answer if answer != (200, b"<html>") else {}
    orthanc.given["/system"] = answer
    (finding,) = peer_findings(before(orthanc))
    assert finding.failed
    assert says in finding.says
    assert remedy in finding.remedy


def test_a_password_file_that_has_gone_is_told(tmp_path_factory: pytest.TempPathFactory, orthanc: Answers) -> None:
    gone = tmp_path_factory.mktemp("gone") / "password"
    backend = {"url": orthanc.url, "username": "anna", "password_file": str(gone)}
    (finding,) = peer_findings(settings(backends={"orthanc": backend}))
    assert finding.failed
    assert str(gone) in finding.says


def test_destinations_are_told_in_their_order_each_with_what_it_says(orthanc: Answers, peer: int) -> None:
    listed = {
        "stranger": entry(peer),
        "friend": entry(peer, calling_aet="FRIEND"),
        "away": entry(1),
        "broken": entry(peer, tls=True, ca="/nonexistent/ca.pem"),
    }
    _, stranger, friend, away, broken = peer_findings(before(orthanc, destinations=listed))
    assert [one.what for one in (stranger, friend)] == ["destinations.stranger", "destinations.friend"]
    assert (friend.state, friend.where) == (State.OK, f"PEER@127.0.0.1:{peer}")
    assert stranger.failed
    assert "calling_aet in [destinations.stranger]" in stranger.remedy
    assert away.failed
    assert "[destinations.away]" in away.remedy
    assert broken.failed
    assert "/nonexistent/ca.pem" in broken.says


def test_modalities_of_orthanc_are_asked_too_and_may_be_away(orthanc: Answers, peer: int) -> None:
    orthanc.given["/modalities"] = {
        "away": {"AET": "WS", "Host": "127.0.0.1", "Port": 1},
        "listed": {"AET": "PEER", "Host": "127.0.0.1", "Port": peer},
    }
    made = before(orthanc, destinations={"listed": entry(peer)})
    (finding,) = modality_findings(made)
    assert (finding.what, finding.state) == ("modality orthanc/away", State.WARNING)
    assert "DicomModalities" in finding.remedy


def test_an_orthanc_that_is_away_is_told_once_only() -> None:
    made = settings()
    assert [one.what for one in peer_findings(made)] == ["backends.orthanc"]
    assert list(modality_findings(made)) == []
