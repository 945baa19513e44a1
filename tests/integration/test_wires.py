"""The same requests to the fast wire and to pynetdicom's own: the same answers."""

from collections.abc import Callable

import pytest
from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from proxy.demo.orthanc import Orthanc
from tests.support.population import CT, NAMES
from tests.support.proxy_process import Proxy, ProxyPool
from tests.support.scu import PATIENT_FIND, PATIENT_GET, STUDY_FIND, STUDY_GET, Answer, Scu, associated, keys

_FINDS: dict[str, tuple[str, Dataset]] = {
    "all studies": (STUDY_FIND, keys("STUDY", StudyInstanceUID="", PatientName="", ModalitiesInStudy="")),
    "patients by name in small letters": (PATIENT_FIND, keys("PATIENT", PatientName="comte*", PatientID="")),
    "counters": (STUDY_FIND, keys("STUDY", PatientID="CT-1", NumberOfStudyRelatedInstances="")),
    "series of a study": (STUDY_FIND, keys("SERIES", StudyInstanceUID=CT.study_instance_uid, SeriesInstanceUID="")),
    "images of a series": (
        STUDY_FIND,
        keys("IMAGE", SeriesInstanceUID=CT.series_instance_uid, SOPInstanceUID="", InstanceNumber=""),
    ),
    "every alphabet": (
        STUDY_FIND,
        keys("STUDY", SpecificCharacterSet="ISO_IR 192", PatientID=list(NAMES), PatientName=""),
    ),
    "a range of dates": (STUDY_FIND, keys("STUDY", StudyDate="20000101-20201231", StudyInstanceUID="")),
    "nothing": (STUDY_FIND, keys("STUDY", PatientID="NOBODY")),
    "a wildcard in a date": (STUDY_FIND, keys("STUDY", StudyDate="2026*")),
    "no level": (STUDY_FIND, keys(PatientID="CT-1")),
    "an unknown level": (STUDY_FIND, keys("ROOM", PatientID="CT-1")),
    "an unknown and a private key": (STUDY_FIND, keys("STUDY", PatientID="CT-1", PixelAspectRatio="")),
}

_RETRIEVES: dict[str, tuple[str, Dataset]] = {
    "a study": (STUDY_GET, keys("STUDY", StudyInstanceUID=CT.study_instance_uid)),
    "a patient": (PATIENT_GET, keys("PATIENT", PatientID="CT-1")),
    "some images, one of them unknown": (
        STUDY_GET,
        keys("IMAGE", SOPInstanceUID=[CT.sop_instance_uid(1), CT.sop_instance_uid(2), "2.25.1"]),
    ),
    "nothing": (STUDY_GET, keys("STUDY", StudyInstanceUID="2.25.1")),
    "an empty unique key": (STUDY_GET, keys("STUDY", StudyInstanceUID="")),
    "no unique key": (STUDY_GET, keys("SERIES", PatientID="CT-1")),
    "no level": (STUDY_GET, keys(SeriesInstanceUID=CT.series_instance_uid)),
}


@pytest.fixture
def wires(one_orthanc: Orthanc, proxies: ProxyPool) -> tuple[Proxy, Proxy]:
    """The same proxy on the fast and on the stock wire, with a Pending after each sub-operation."""
    return tuple(  # type: ignore[return-value]
        proxies.get(one_orthanc, {"listener": {"wire": wire, "pending_interval": 0}}) for wire in ("fast", "stock")
    )


@pytest.mark.parametrize("name", _FINDS)
def test_a_find_is_answered_alike(name: str, wires: tuple[Proxy, Proxy]) -> None:
    model, identifier = _FINDS[name]
    fast, stock = _on_both(wires, lambda scu: scu.find(identifier, model))
    assert fast == stock


@pytest.mark.parametrize("name", _RETRIEVES)
def test_a_get_is_answered_alike(name: str, wires: tuple[Proxy, Proxy]) -> None:
    model, identifier = _RETRIEVES[name]

    def get(scu: Scu) -> list[Answer]:
        answers = scu.get(identifier, model)
        assert all(dataset.PatientID == "CT-1" for dataset in scu.received)
        assert len(scu.received) == (answers[-1].command.get("NumberOfCompletedSuboperations") or 0)
        return answers

    fast, stock = _on_both(wires, get)
    assert fast[-1] == stock[-1]
    assert [answer for answer in fast if answer[0] != 0xFF00] == [answer for answer in stock if answer[0] != 0xFF00]


def test_a_receiver_that_fails_some_and_warns_of_others_is_counted_alike(wires: tuple[Proxy, Proxy]) -> None:
    statuses = {1: 0xA700, 2: 0xB000}

    def answer(event):  # type: ignore[no-untyped-def]
        return statuses.get(event.dataset.InstanceNumber, 0x0000)

    results = []
    for proxy in wires:
        with associated(proxy.dicom_port, proxy.aet, on_store=answer) as scu:
            results.append(scu.get(keys("STUDY", StudyInstanceUID=CT.study_instance_uid)))
    for answers in results:
        final = answers[-1]
        assert final.status == 0xB000
        assert final.counts() == (None, CT.slices - 2, 1, 1)
        assert final.identifier is not None
        assert final.identifier.FailedSOPInstanceUIDList == CT.sop_instance_uid(1)


def test_an_unknown_move_destination_is_answered_alike(wires: tuple[Proxy, Proxy]) -> None:
    identifier = keys("STUDY", StudyInstanceUID=CT.study_instance_uid)
    fast, stock = _on_both(wires, lambda scu: scu.move(identifier, "NOBODY"))
    assert fast == stock
    assert fast[-1][0] == 0xA801


def test_a_wrong_called_ae_title_is_refused_alike(wires: tuple[Proxy, Proxy]) -> None:
    for proxy in wires:
        ae = AE("PYNETSCU")
        ae.add_requested_context(Verification)
        association = ae.associate("127.0.0.1", proxy.dicom_port, ae_title="WRONG")
        assert association.is_rejected
        answer = association.acceptor.primitive
        assert answer is not None
        assert (answer.result, answer.result_source, answer.diagnostic) == (1, 1, 7)


def _on_both(wires: tuple[Proxy, Proxy], ask: Callable[[Scu], list[Answer]]) -> list[list[tuple[object, ...]]]:
    """What each wire answers, with all that may differ taken out."""
    both = []
    for proxy in wires:
        with associated(proxy.dicom_port, proxy.aet) as scu:
            both.append([_comparable(answer) for answer in ask(scu)])
    return both


def _comparable(answer: Answer) -> tuple[object, ...]:
    """Status, command elements and identifier as text; not the Event-like Error ID of a bug."""
    command = {element.keyword: str(element.value) for element in answer.command if element.keyword != "ErrorID"}
    return answer.status, sorted(command.items()), str(answer.identifier)
