"""Every backend and destination is a target, and each pipeline reaches its backend in its own way."""

from types import SimpleNamespace
from typing import Any

import pytest

from proxy.config import Settings
from proxy.dicom.messages import StoreRequest
from proxy.errors import DestinationUnreachable
from proxy.orthanc.version import capabilities_of
from proxy.spool.envelope import bare_head, envelope_of
from proxy.spool.parcel import Parcel
from proxy.workers import targets as targets_module
from proxy.workers.targets import targets_of
from tests.fakes.received import CT, EXPLICIT, data_set, request

SYSTEM = {"Version": "1.12.5", "DicomAet": "ORTHANC", "DicomPort": 4242}


def settings(**changes: Any) -> Settings:
    return Settings.model_validate(
        {
            "backends": {"orthanc": {"url": "http://pacs.example:8042"}},
            "pipelines": {"main": {"aet": "MAIN"}, "origin": {"aet": "ORIGIN", "forward": "dimse"}},
            "destinations": {
                "ws": {"aet": "WS", "host": "ws.example", "port": 11113},
                "vna": {"aet": "VNA", "host": "vna.example", "calling_aet": "SENDER"},
            },
            **changes,
        }
    )


class Orthanc:
    """Notes what it is sent by REST."""

    def __init__(self, chosen: Settings) -> None:
        self.backend = chosen.backends["orthanc"]
        self.capabilities = capabilities_of(SYSTEM)
        self.uploads = 0
        self.metadata: list[str] = []

    def upload(self, content: Any, length: int) -> dict[str, str]:
        self.uploads += 1
        return {"ID": "id", "Status": "Success"}

    def attachment_md5(self, instance_id: str) -> str:
        return ""

    def put_metadata(self, instance_id: str, number: int, value: str) -> None:
        self.metadata.append(value)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What associations are asked for; none can be had."""
    asked: list[Any] = []

    def open_receiver(address: tuple[str, int], **how: Any) -> None:
        asked.append(SimpleNamespace(address=address, **how))
        raise DestinationUnreachable("away")

    monkeypatch.setattr(targets_module, "open_receiver", open_receiver)
    return asked


def parcel(pipeline: str) -> Parcel:
    asked: StoreRequest = request("1.2.3")
    envelope = envelope_of(pipeline, asked)
    return Parcel(envelope, bare_head(envelope), memoryview(data_set("1.2.3")))


def test_backends_and_destinations_are_all_there() -> None:
    chosen = settings()
    assert list(targets_of(chosen, {"orthanc": Orthanc(chosen)})) == ["orthanc", "ws", "vna"]  # type: ignore[dict-item]


def test_a_backend_is_reached_by_rest_or_by_dimse_as_the_pipeline_says(opened: list[Any]) -> None:
    chosen = settings()
    orthanc = Orthanc(chosen)
    target = targets_of(chosen, {"orthanc": orthanc})["orthanc"]  # type: ignore[dict-item]
    assert target.deliver(parcel("main")) == ""
    assert (orthanc.uploads, opened) == (1, [])
    with pytest.raises(DestinationUnreachable):
        target.deliver(parcel("origin"))
    (asked,) = opened
    assert (asked.address, asked.called_aet) == (("pacs.example", 4242), "ORTHANC")
    assert asked.calling_aet == "CT_1", "that of the original requestor"
    assert asked.contexts == [(CT, [EXPLICIT])]
    assert orthanc.uploads == 1


def test_where_orthancs_dicom_port_is_elsewhere_it_is_called_there(opened: list[Any]) -> None:
    chosen = settings(backends={"orthanc": {"url": "http://front.example/orthanc", "dicom_host": "back.example"}})
    target = targets_of(chosen, {"orthanc": Orthanc(chosen)})["orthanc"]  # type: ignore[dict-item]
    with pytest.raises(DestinationUnreachable):
        target.deliver(parcel("origin"))
    assert opened[0].address == ("back.example", 4242)


@pytest.mark.parametrize(
    ("name", "address", "called", "calling"),
    [("ws", ("ws.example", 11113), "WS", "MAIN"), ("vna", ("vna.example", 104), "VNA", "SENDER")],
)
def test_a_destination_sees_our_title_or_the_one_that_is_set_for_it(
    opened: list[Any], name: str, address: tuple[str, int], called: str, calling: str
) -> None:
    chosen = settings()
    with pytest.raises(DestinationUnreachable):
        targets_of(chosen, {"orthanc": Orthanc(chosen)})[name].deliver(parcel("origin"))  # type: ignore[dict-item]
    (asked,) = opened
    assert (asked.address, asked.called_aet, asked.calling_aet) == (address, called, calling)
    assert (asked.tls, asked.originator) == (None, None)


def test_provenance_is_noted_for_the_pipelines_that_want_it() -> None:
    chosen = settings(pipelines={"main": {"aet": "MAIN"}, "noting": {"aet": "NOTE", "provenance_metadata": True}})
    orthanc = Orthanc(chosen)
    target = targets_of(chosen, {"orthanc": orthanc})["orthanc"]  # type: ignore[dict-item]
    target.deliver(parcel("main"))
    assert orthanc.metadata == []
    target.deliver(parcel("noting"))
    assert orthanc.metadata[:3] == ["CT_1", "PROXY", "10.1.2.3"]
