"""The same requests to the fast wire and to pynetdicom's own: the same answers."""

from collections.abc import Callable

import pytest
from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from proxy.demo.orthanc import Orthanc
from tests.support import raw
from tests.support.destinations import Recorder
from tests.support.population import CT, NAMES
from tests.support.proxy_process import Proxy, ProxyPool
from tests.support.scu import (
    PATIENT_FIND,
    PATIENT_GET,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    Answer,
    Scu,
    associated,
    keys,
)

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


_LITTLE = (raw.IMPLICIT, raw.EXPLICIT)
_BYTES: dict[str, tuple[int, str, Dataset | None]] = {
    "an echo": (raw.C_ECHO, raw.VERIFICATION, None),
    **{f"a find, {name}": (raw.C_FIND, model, identifier) for name, (model, identifier) in _FINDS.items()},
    **{
        f"a get, {name}": (raw.C_GET, *_RETRIEVES[name])
        for name in ("nothing", "an empty unique key", "no unique key", "a study")  # no storage class is proposed
    },
    "a move to nobody": (raw.C_MOVE, STUDY_MOVE, keys("STUDY", StudyInstanceUID=CT.study_instance_uid)),
    "a move without a level and key": (raw.C_MOVE, STUDY_MOVE, keys(PatientName="X")),
}


@pytest.mark.parametrize("syntax", _LITTLE)
@pytest.mark.parametrize("name", _BYTES)
def test_responses_are_the_same_bytes(name: str, syntax: str, wires: tuple[Proxy, Proxy]) -> None:
    field, model, identifier = _BYTES[name]
    data = None if identifier is None else encode(identifier, syntax == raw.IMPLICIT, True)
    extra = raw.element(0x00000600, "NOBODY") if field == raw.C_MOVE else b""
    command = raw.command(field, message_id=7, sop_class=model, data=data is not None, extra=extra)
    fast, stock = (_said(proxy, model, syntax, raw.message(1, command, data)) for proxy in wires)
    assert fast
    assert fast == stock


def _said(proxy: Proxy, model: str, syntax: str, message: bytes) -> list[tuple[int, bytes, bytes]]:
    """The responses with a status of their own: context ID, command set and data set of each, as they came."""
    peer = raw.Peer.connect(proxy.dicom_port)
    try:
        peer.associate(proxy.aet, [(1, model, (syntax,))])
        peer.send(message)
        said = []
        while True:
            answer = _message(peer)
            status = raw.us(raw.elements(answer[1])[0x00000900])
            if status != 0xFF00 or answer[2]:  # how often a retrieve tells its counts is a matter of time
                said.append(answer)
            if status not in (0xFF00, 0xFF01):
                return said
    finally:
        peer.close()


def _message(peer: raw.Peer) -> tuple[int, bytes, bytes]:
    """The next message, which has a data set unless its command says otherwise."""
    parts = [b"", b""]
    while True:
        kind, body = peer.read(10)
        assert kind == raw.P_DATA
        for context_id, control, fragment in raw.values(body):
            parts[0 if control & 1 else 1] += fragment
            without = raw.us(raw.elements(parts[0])[0x00000800]) == raw.NO_DATA if control == 3 else control == 2
            if without:
                return context_id, parts[0], parts[1]


def test_what_a_move_sends_and_says_is_the_same(
    one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    statuses = {CT.sop_instance_uid(1): 0xA700, CT.sop_instance_uid(2): 0xB000}
    receiver = start_recorder("WS1", answer=lambda arrival: statuses.get(arrival.sop_instance_uid, 0))
    destination = {"destinations": {"D": {"aet": "WS1", "host": "127.0.0.1", "port": receiver.port}}}
    said, sent = [], []
    for wire in ("fast", "stock"):
        proxy = start_proxy(one_orthanc, destination, {"listener": {"wire": wire}})
        with associated(proxy.dicom_port, proxy.aet) as scu:
            said.append(_comparable(scu.move(keys("STUDY", StudyInstanceUID=CT.study_instance_uid), "WS1")[-1]))
        (proposed,) = receiver.associations
        contexts = [(context.abstract_syntax, context.transfer_syntax) for context in proposed]
        sent.append((contexts, list(receiver.arrivals)))
        receiver.arrivals.clear()
        receiver.associations.clear()
    assert said[0] == said[1]
    assert said[0][0] == 0xB000
    assert sent[0] == sent[1]
    assert len(sent[0][1]) == CT.slices


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
