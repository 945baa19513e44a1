"""C-MOVE by the proxy itself: originator, contexts, conversions, slow, failing and vanishing destinations, cancel."""

import socket
import threading
import time
from collections.abc import Callable

import pytest
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pynetdicom.presentation import AllStoragePresentationContexts

from proxy.demo.orthanc import Orthanc
from tests.support.dcmtk import Dcmtk
from tests.support.destinations import Arrival, Recorder, StoreScp
from tests.support.instances import instance, series
from tests.support.population import CT
from tests.support.ports import free_port
from tests.support.proxy_process import Proxy
from tests.support.rest import assert_same_instances, stored_files, upload
from tests.support.scu import STUDY_MOVE, associated, keys

STUDY = keys("STUDY", StudyInstanceUID=CT.study_instance_uid)


def destination(receiver: Recorder | StoreScp, **more: object) -> dict[str, object]:
    return {"destinations": {"D": {"aet": receiver.aet, "host": "127.0.0.1", "port": receiver.port, **more}}}


def test_all_arrives_on_one_association_with_the_requestor_as_move_originator(
    orthanc: Orthanc, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    receiver = start_recorder("WS1")
    proxy = start_proxy(orthanc, destination(receiver), {"listener": {"pending_interval": 0}})
    for _ in ("cold", "hot"):
        receiver.arrivals.clear()
        receiver.associations.clear()
        with associated(proxy.dicom_port, proxy.aet, calling_aet="ORIGIN") as scu:
            *pending, final = scu.move(STUDY, "WS1", message_id=77)
        assert (final.status, final.counts()) == (0x0000, (None, CT.slices, 0, 0))
        assert [answer.counts()[1] for answer in pending] == list(range(1, CT.slices + 1))
        assert len(receiver.associations) == 1
        assert {(a.calling_aet, a.move_originator_aet, a.move_originator_message_id) for a in receiver.arrivals} == {
            (proxy.aet, "ORIGIN", 77)
        }
        assert_same_instances(receiver.datasets(), stored_files(orthanc, StudyInstanceUID=CT.study_instance_uid))


def test_exactly_the_classes_and_syntaxes_that_are_needed_are_proposed(
    one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    receiver = start_recorder("WS1")
    proxy = start_proxy(one_orthanc, destination(receiver))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        assert scu.move(STUDY, "WS1")[-1].status == 0x0000
    (contexts,) = receiver.associations
    assert [(context.abstract_syntax, context.transfer_syntax) for context in contexts] == [
        (CTImageStorage, [ExplicitVRLittleEndian]),
        (CTImageStorage, [ImplicitVRLittleEndian]),
    ]


def test_orthancs_modalities_are_destinations_whatever_the_case(
    one_fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy], start_storescp: Callable[..., StoreScp]
) -> None:
    images = list(series(2))
    upload(one_fresh_orthanc, *images)
    receiver = start_storescp("Station_7")
    one_fresh_orthanc.put("/modalities/some-name", ["Station_7", "127.0.0.1", receiver.port])
    proxy = start_proxy(one_fresh_orthanc)
    with associated(proxy.dicom_port, proxy.aet) as scu:
        identifier = keys("STUDY", StudyInstanceUID=images[0].StudyInstanceUID)
        assert scu.move(identifier, "STATION_7")[-1].status == 0x0000
        assert scu.move(identifier, "some-name")[-1].status == 0xA801
    assert len(receiver.files) == 2


def test_keys_of_any_level_and_lists_name_what_is_sent(
    one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    receiver = start_recorder("WS1")
    proxy = start_proxy(one_orthanc, destination(receiver))
    images = [CT.sop_instance_uid(1), "2.25.404", CT.sop_instance_uid(3)]
    study = {"StudyInstanceUID": CT.study_instance_uid}
    with associated(proxy.dicom_port, proxy.aet) as scu:
        for identifier, count in (
            (keys("SERIES", SeriesInstanceUID=CT.series_instance_uid), CT.slices),
            (keys("IMAGE", SOPInstanceUID=images), 2),
            (keys("STUDY", StudyInstanceUID=[CT.study_instance_uid, "2.25.404"]), CT.slices),
            (keys(None, SOPInstanceUID=images[0], **study), 1),
            (keys("STUDY", StudyInstanceUID="2.25.404"), 0),
        ):
            receiver.arrivals.clear()
            final = scu.move(identifier, "WS1")[-1]
            assert (final.status, final.counts()) == (0x0000, (None, count, 0, 0))
            assert len({arrival.sop_instance_uid for arrival in receiver.arrivals}) == count
        for illegal in (keys("STUDY", StudyInstanceUID=""), keys("SERIES", **study), keys("STUDY", PatientID="CT-1")):
            receiver.arrivals.clear()
            final = scu.move(illegal, "WS1")[-1]
            assert (final.status, receiver.arrivals) == (0xA900, [])
            assert final.offending
            assert final.comment


def test_an_unknown_destination_is_a801(one_proxy: Proxy) -> None:
    with associated(one_proxy.dicom_port, one_proxy.aet) as scu:
        (final,) = scu.move(STUDY, "NOWHERE")
        assert (final.status, final.comment) == (0xA801, "Move Destination 'NOWHERE' is unknown")


def test_an_unreachable_destination_is_a702_and_all_have_failed(
    one_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    nobody = Recorder("GONE", free_port())
    proxy = start_proxy(one_orthanc, destination(nobody))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        final = scu.move(STUDY, "GONE")[-1]
        assert (final.status, final.counts()) == (0xA702, (None, 0, CT.slices, 0))
        assert final.comment == "GONE: connection refused"
        assert final.identifier is not None
        assert len(final.identifier.FailedSOPInstanceUIDList) == CT.slices


def test_a_destination_that_never_answers_is_given_up_with_pendings_meanwhile(
    one_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = start_proxy(
            one_orthanc,
            destination(Recorder("SILENT", silent.getsockname()[1])),
            {"listener": {"heartbeat_interval": 0.2}, "limits": {"connect_timeout": 1.5}},
        )
        with associated(proxy.dicom_port, proxy.aet) as scu:
            *pending, final = scu.move(STUDY, "SILENT")
    assert (final.status, final.counts()) == (0xA702, (None, 0, CT.slices, 0))
    assert len(pending) >= 3
    assert {answer.counts() for answer in pending} == {(CT.slices, 0, 0, 0)}


@pytest.mark.parametrize("accepted", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_a_destination_that_takes_one_syntax_gets_that(
    one_fresh_orthanc: Orthanc,
    start_proxy: Callable[..., Proxy],
    start_recorder: Callable[..., Recorder],
    accepted: str,
) -> None:
    stored = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
    images = [instance(transfer_syntax=ts, PatientID="SYNTAX") for ts in stored]
    upload(one_fresh_orthanc, *images)
    receiver = start_recorder("WS1", transfer_syntaxes=[accepted])
    proxy = start_proxy(one_fresh_orthanc, destination(receiver))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        final = scu.move(keys("STUDY", StudyInstanceUID=[image.StudyInstanceUID for image in images]), "WS1")[-1]
    assert (final.status, final.counts()) == (0x0000, (None, 3, 0, 0))
    assert {arrival.transfer_syntax for arrival in receiver.arrivals} == {accepted}
    assert {dataset.SOPInstanceUID for dataset in receiver.datasets()} == {image.SOPInstanceUID for image in images}


def test_more_contexts_than_an_association_has_go_on_a_second_one(
    one_fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    classes = [str(context.abstract_syntax) for context in AllStoragePresentationContexts][:70]
    upload(one_fresh_orthanc, *(instance(sop_class_uid=sop_class, PatientID="MANY") for sop_class in classes))
    receiver = start_recorder("WS1")
    proxy = start_proxy(one_fresh_orthanc, destination(receiver))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        studies = [dataset.StudyInstanceUID for dataset in _studies(one_fresh_orthanc)]
        final = scu.move(keys("STUDY", StudyInstanceUID=studies), "WS1")[-1]
    assert (final.status, final.counts()) == (0x0000, (None, 70, 0, 0))
    assert [len(contexts) for contexts in receiver.associations] == [128, 12]
    assert {arrival.sop_class_uid for arrival in receiver.arrivals} == set(classes)


def _studies(orthanc: Orthanc):  # type: ignore[no-untyped-def]
    for study in orthanc.get("/studies"):
        yield keys(**orthanc.get(f"/studies/{study}")["MainDicomTags"])


def test_a_destination_that_takes_some_classes_only_gets_those(
    one_fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    image = instance()
    other = instance(sop_class_uid=CTImageStorage, StudyInstanceUID=image.StudyInstanceUID)
    upload(one_fresh_orthanc, image, other)
    receiver = start_recorder("WS1", sop_classes=[SecondaryCaptureImageStorage])
    proxy = start_proxy(one_fresh_orthanc, destination(receiver))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        final = scu.move(keys("STUDY", StudyInstanceUID=image.StudyInstanceUID), "WS1")[-1]
    assert (final.status, final.counts()) == (0xB000, (None, 1, 1, 0))
    assert final.identifier is not None
    assert final.identifier.FailedSOPInstanceUIDList == other.SOPInstanceUID


def test_the_answers_of_the_destination_are_counted(
    one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    outcomes = {CT.sop_instance_uid(1): 0xA700, CT.sop_instance_uid(2): 0xB007}
    receiver = start_recorder("WS1", answer=lambda arrival: outcomes.get(arrival.sop_instance_uid, 0))
    proxy = start_proxy(one_orthanc, destination(receiver))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        final = scu.move(STUDY, "WS1")[-1]
    assert (final.status, final.counts()) == (0xB000, (None, CT.slices - 2, 1, 1))
    assert final.comment == "the receiver answered A700"


def test_a_slow_destination_keeps_the_requestor_informed(
    one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    def slow(arrival: Arrival) -> int:
        time.sleep(1.0 if len(receiver.arrivals) == 1 else 0)
        return 0

    receiver = start_recorder("WS1", answer=slow)
    proxy = start_proxy(one_orthanc, destination(receiver), {"listener": {"heartbeat_interval": 0.2}})
    with associated(proxy.dicom_port, proxy.aet) as scu:
        answers = scu.move(STUDY, "WS1")
    assert answers[-1].status == 0x0000
    assert len([answer for answer in answers if answer.counts() == (CT.slices, 0, 0, 0)]) >= 3


def test_a_destination_that_aborts_once_still_gets_everything(
    one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    def abort_once(arrival: Arrival) -> int:
        if len(receiver.arrivals) == 5:
            receiver.abort()
        return 0

    receiver = start_recorder("WS1", answer=abort_once)
    proxy = start_proxy(one_orthanc, destination(receiver), {"limits": {"response_timeout": 2}})
    with associated(proxy.dicom_port, proxy.aet) as scu:
        final = scu.move(STUDY, "WS1")[-1]
    assert (final.status, final.counts()) == (0x0000, (None, CT.slices, 0, 0))
    assert len(receiver.associations) == 2


def test_a_destination_that_never_answers_a_store_fails_in_bounded_time(
    one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    never = threading.Event()
    receiver = start_recorder("WS1", answer=lambda arrival: never.wait(30) or 0)
    proxy = start_proxy(one_orthanc, destination(receiver), {"limits": {"response_timeout": 0.5}})
    began = time.monotonic()
    with associated(proxy.dicom_port, proxy.aet) as scu:
        final = scu.move(STUDY, "WS1")[-1]
        assert (final.status, final.counts()) == (0xA702, (None, 0, CT.slices, 0))
        assert time.monotonic() - began < 20
        assert scu.echo() == 0x0000
    never.set()


def test_cancel_stops_before_the_next_sub_operation(
    one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    go_on = threading.Event()

    def answer(arrival: Arrival) -> int:
        if len(receiver.arrivals) == 3:
            scu.association.send_c_cancel(9, query_model=STUDY_MOVE)
            time.sleep(0.3)
            go_on.set()
        return 0

    receiver = start_recorder("WS1", answer=answer)
    proxy = start_proxy(one_orthanc, destination(receiver))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        final = scu.move(STUDY, "WS1", message_id=9)[-1]
        assert (final.status, final.counts()) == (0xFE00, (CT.slices - 3, 3, 0, 0))
        assert scu.echo() == 0x0000
    assert len(receiver.arrivals) == 3


def test_our_title_towards_a_destination_can_be_set(
    one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    receiver = start_recorder("WS1")
    proxy = start_proxy(one_orthanc, destination(receiver, calling_aet="OTHER_NAME"))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        scu.move(keys("IMAGE", SOPInstanceUID=CT.sop_instance_uid(1)), "WS1")
    assert [arrival.calling_aet for arrival in receiver.arrivals] == ["OTHER_NAME"]


def test_storescp_as_it_is_installed_takes_all_of_it(
    orthanc: Orthanc,
    start_proxy: Callable[..., Proxy],
    start_storescp: Callable[..., StoreScp],
    aim: Callable[..., Dcmtk],
) -> None:
    receiver = start_storescp("WS1", nodelay=False)
    proxy = start_proxy(orthanc, destination(receiver))
    moved = aim(proxy, nodelay=False).move("WS1", "0008,0052=PATIENT", "0010,0020=CT-1", model="-P")
    assert (moved.final.status, moved.final.completed, moved.final.failed) == (0x0000, CT.slices, 0)
    assert_same_instances(receiver.files, stored_files(orthanc, PatientID="CT-1"))
