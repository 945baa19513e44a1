"""A requestor for trying things out: what it hears, and how it fails."""

from collections.abc import Iterator

import pytest
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from proxy.doctor import scu
from proxy.echo import Address
from tests.support.instances import instance
from tests.support.ports import free_port

FIND, GET = StudyRootQueryRetrieveInformationModelFind, StudyRootQueryRetrieveInformationModelGet
EXPLICIT = "1.2.840.10008.1.2.1"


def answer_find(event: evt.Event) -> Iterator[tuple[int | Dataset, Dataset | None]]:
    if not event.identifier.PatientID:
        refused = Dataset()
        refused.Status, refused.ErrorComment = 0xA900, "no"
        yield refused, None
        return
    for _ in range(3):
        yield 0xFF00, event.identifier


@pytest.fixture
def archive() -> Iterator[Address]:
    """A node that finds three of everything, gives one image, and lets nobody move."""
    image = instance(sop_class_uid=CTImageStorage)

    def answer_get(event: evt.Event) -> Iterator[object]:
        yield 1
        yield 0xFF00, image

    entity = AE("ARCHIVE")
    entity.require_calling_aet = ["FRIEND"]
    entity.add_supported_context(FIND)
    entity.add_supported_context(GET)
    entity.add_supported_context(CTImageStorage, EXPLICIT, scu_role=True, scp_role=True)
    handlers = [(evt.EVT_C_FIND, answer_find), (evt.EVT_C_GET, answer_get)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)  # type: ignore[arg-type]
    yield Address("ARCHIVE", "127.0.0.1", server.server_address[1])
    server.shutdown()


def identifier(patient_id: str) -> Dataset:
    asked = Dataset()
    asked.QueryRetrieveLevel, asked.PatientID = "STUDY", patient_id
    return asked


def test_matches_are_counted_and_the_final_status_is_kept(archive: Address) -> None:
    answer = scu.find(archive, "FRIEND", FIND, identifier("P1"))
    assert (answer.status, answer.matches) == (0x0000, 3)
    assert answer.outcome == "status 0000"
    refused = scu.find(archive, "FRIEND", FIND, identifier(""))
    assert (refused.status, refused.matches, refused.outcome) == (0xA900, 0, "status A900: no")


def test_what_a_get_brings_is_kept_as_it_came(archive: Address) -> None:
    answer = scu.get(archive, "FRIEND", GET, identifier("P1"), (CTImageStorage, EXPLICIT))
    assert answer.status == 0x0000
    (data,) = answer.received
    assert b"TEST-1" in data


def test_a_rejection_is_no_answer_but_a_sign_of_life(archive: Address) -> None:
    with pytest.raises(scu.NotAssociated, match="does not let STRANGER in") as told:
        scu.find(archive, "STRANGER", FIND, identifier("P1"))
    assert told.value.rejected


def test_nobody_there_is_told() -> None:
    with pytest.raises(scu.NotAssociated, match="no association with X@127") as told:
        scu.find(Address("X", "127.0.0.1", free_port()), "FRIEND", FIND, identifier("P1"))
    assert not told.value.rejected


def test_a_service_that_is_not_offered_is_told(archive: Address) -> None:
    with pytest.raises(scu.NotAssociated):
        scu.move(archive, "FRIEND", StudyRootQueryRetrieveInformationModelMove, identifier("P1"), "ELSEWHERE")
