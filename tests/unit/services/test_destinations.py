"""Where a Move Destination is: configured ones first, then Orthanc's modalities."""

from dataclasses import dataclass

import pytest

from proxy.config import Destination
from proxy.errors import OrthancRefused, OrthancUnavailable, UnknownDestination
from proxy.services.destinations import Destinations, MoveDestination, own_modality


@dataclass(frozen=True)
class Modality:
    aet: str
    host: str = "ws.hospital"
    port: int = 104
    tls: bool = False
    local_aet: str = ""


CONFIGURED = {"ws": Destination(aet="WS1", host="10.0.0.1", port=11112, tls=True, calling_aet="US")}
MODALITIES = {"ws1": Modality("WS1"), "ct": Modality("ct_scanner", port=4242, local_aet="ORTHANC_CT")}


def away():
    raise OrthancUnavailable("Orthanc is away")


@pytest.fixture
def destinations() -> Destinations:
    return Destinations(CONFIGURED, lambda: MODALITIES)


@pytest.mark.parametrize("aet", ["WS1", "ws1 ", " Ws1"])
def test_a_configured_destination_wins_whatever_the_case(destinations, aet):
    assert destinations.resolve(aet) == MoveDestination("WS1", "10.0.0.1", 11112, True, "US", name="ws")


def test_orthancs_modalities_are_known_by_their_title_not_their_name(destinations):
    expected = MoveDestination("ct_scanner", "ws.hospital", 4242, False, "ORTHANC_CT", modality="ct")
    assert destinations.resolve("CT_SCANNER") == expected
    with pytest.raises(UnknownDestination, match="'CT' is unknown"):
        destinations.resolve("CT")


def test_a_configured_destination_needs_no_orthanc():
    assert Destinations(CONFIGURED, away).resolve("WS1").name == "ws"
    with pytest.raises(OrthancUnavailable):
        Destinations(CONFIGURED, away).resolve("CT_SCANNER")


def test_where_orthanc_sends_only_its_own_modalities_count(destinations):
    assert destinations.in_orthanc("WS1").modality == "ws1"
    with pytest.raises(UnknownDestination, match="Orthanc has no modality"):
        destinations.in_orthanc("ELSEWHERE")


@dataclass(frozen=True)
class Itself:
    known: dict
    dicom_aet: str = "ORTHANC"

    @property
    def capabilities(self):
        return self

    def modalities(self):
        return self.known


def test_orthancs_entry_for_itself_is_the_configured_one_or_that_with_its_title():
    known = Itself(MODALITIES | {"self": Modality("Orthanc"), "me": Modality("OTHER")})
    assert own_modality(known, "") == "self"
    assert own_modality(known, "me") == "me"
    for configured, orthanc in (("nobody", known), ("", Itself(MODALITIES))):
        with pytest.raises(OrthancRefused):
            own_modality(orthanc, configured)
