"""C-MOVE by Orthanc, as its modalities' store and move: originator, progress, cancel, failure."""

import threading
import time
from collections.abc import Callable

import pytest

from proxy.demo.orthanc import Orthanc
from tests.support.destinations import Arrival, Recorder
from tests.support.instances import series
from tests.support.ports import free_port
from tests.support.proxy_process import Proxy
from tests.support.rest import upload
from tests.support.scu import STUDY_MOVE, associated, keys
from tests.support.waiting import wait_until

_COUNT = 30


@pytest.fixture
def study(fresh_orthanc: Orthanc) -> str:
    """A study of thirty images in `fresh_orthanc`, which knows itself as a modality."""
    images = list(series(_COUNT))
    upload(fresh_orthanc, *images)
    fresh_orthanc.put("/modalities/itself", [fresh_orthanc.aet, "127.0.0.1", fresh_orthanc.dicom_port])
    return str(images[0].StudyInstanceUID)


def pipeline(strategy: str) -> dict[str, object]:
    return {"pipelines": {"under_test": {"move_strategy": strategy}}, "listener": {"heartbeat_interval": 0.3}}


def test_orthanc_store_names_the_requestor_as_move_originator(
    fresh_orthanc: Orthanc, study: str, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    receiver = start_recorder("WS1")
    fresh_orthanc.put("/modalities/ws", ["WS1", "127.0.0.1", receiver.port])
    proxy = start_proxy(fresh_orthanc, pipeline("orthanc-store"))
    with associated(proxy.dicom_port, proxy.aet, calling_aet="ORIGIN") as scu:
        final = scu.move(keys("STUDY", StudyInstanceUID=study), "ws1", message_id=55)[-1]
    assert (final.status, final.counts()) == (0x0000, (None, _COUNT, 0, 0))
    told = {(a.calling_aet, a.move_originator_aet, a.move_originator_message_id) for a in receiver.arrivals}
    assert told == {(fresh_orthanc.aet, "ORIGIN", 55)}
    assert len(receiver.arrivals) == _COUNT


@pytest.mark.parametrize("strategy", ["orthanc-store", "orthanc-move"])
def test_while_orthanc_sends_slowly_pendings_tell_how_far_it_is(
    fresh_orthanc: Orthanc,
    study: str,
    start_proxy: Callable[..., Proxy],
    start_recorder: Callable[..., Recorder],
    strategy: str,
) -> None:
    def slow(arrival: Arrival) -> int:
        time.sleep(0.05)
        return 0

    receiver = start_recorder("WS1", answer=slow)
    fresh_orthanc.put("/modalities/ws", ["WS1", "127.0.0.1", receiver.port])
    proxy = start_proxy(fresh_orthanc, pipeline(strategy))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        *pending, final = scu.move(keys("STUDY", StudyInstanceUID=study), "WS1")
    assert (final.status, final.counts()) == (0x0000, (None, _COUNT, 0, 0))
    assert len(pending) >= 3
    completed = [answer.counts()[1] for answer in pending]
    assert completed == sorted(completed)  # type: ignore[type-var]
    assert all(remaining + done == _COUNT for remaining, done, *_ in (a.counts() for a in pending))  # type: ignore[operator]


def test_cancel_ends_orthancs_job(
    fresh_orthanc: Orthanc, study: str, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    def slow(arrival: Arrival) -> int:
        time.sleep(0.1)
        if len(receiver.arrivals) == 5:
            threading.Thread(
                target=scu.association.send_c_cancel, args=(9,), kwargs={"query_model": STUDY_MOVE}
            ).start()
        return 0

    receiver = start_recorder("WS1", answer=slow)
    fresh_orthanc.put("/modalities/ws", ["WS1", "127.0.0.1", receiver.port])
    proxy = start_proxy(fresh_orthanc, pipeline("orthanc-store"))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        final = scu.move(keys("STUDY", StudyInstanceUID=study), "WS1", message_id=9)[-1]
    assert final.status == 0xFE00
    (job_id,) = fresh_orthanc.get("/jobs")
    wait_until(lambda: fresh_orthanc.get(f"/jobs/{job_id}")["State"] != "Running")  # it finishes its current step
    job = fresh_orthanc.get(f"/jobs/{job_id}")
    assert (job["Type"], job["State"], job["ErrorCode"]) == ("DicomModalityStore", "Failure", 37)
    assert len(receiver.arrivals) < _COUNT


def test_cancel_of_a_move_by_orthanc_is_answered_though_its_request_goes_on(
    fresh_orthanc: Orthanc, study: str, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    """A C-MOVE that Orthanc has begun towards itself cannot be recalled; the requestor is free at once."""

    def slow(arrival: Arrival) -> int:
        if len(receiver.arrivals) == 1:
            scu.association.send_c_cancel(9, query_model=STUDY_MOVE)
        go_on.wait(10)
        return 0

    go_on = threading.Event()
    receiver = start_recorder("WS1", answer=slow)
    fresh_orthanc.put("/modalities/ws", ["WS1", "127.0.0.1", receiver.port])
    proxy = start_proxy(fresh_orthanc, pipeline("orthanc-move"))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        final = scu.move(keys("STUDY", StudyInstanceUID=study), "WS1", message_id=9)[-1]
        go_on.set()
        assert final.status == 0xFE00
        assert scu.echo() == 0x0000


@pytest.mark.parametrize("strategy", ["orthanc-store", "orthanc-move"])
def test_only_what_the_list_names_is_sent(
    one_fresh_orthanc: Orthanc,
    start_proxy: Callable[..., Proxy],
    start_recorder: Callable[..., Recorder],
    strategy: str,
) -> None:
    orthanc = one_fresh_orthanc
    images = list(series(4))
    upload(orthanc, *images)
    receiver = start_recorder("WS1")
    orthanc.put("/modalities/ws", ["WS1", "127.0.0.1", receiver.port])
    orthanc.put("/modalities/itself", [orthanc.aet, "127.0.0.1", orthanc.dicom_port])
    proxy = start_proxy(orthanc, pipeline(strategy))
    wanted = [images[0].SOPInstanceUID, images[2].SOPInstanceUID, "2.25.404"]
    with associated(proxy.dicom_port, proxy.aet) as scu:
        final = scu.move(keys("IMAGE", SOPInstanceUID=wanted), "WS1")[-1]
        assert (final.status, final.counts()) == (0x0000, (None, 2, 0, 0))
        series_uid = images[0].SeriesInstanceUID
        final = scu.move(keys("SERIES", SeriesInstanceUID=series_uid), "WS1")[-1]
        assert (final.status, final.counts()) == (0x0000, (None, 4, 0, 0))
        nothing = scu.move(keys("STUDY", StudyInstanceUID="2.25.404"), "WS1")[-1]
        assert (nothing.status, nothing.counts()) == (0x0000, (None, 0, 0, 0))
    arrived = [arrival.sop_instance_uid for arrival in receiver.arrivals]
    assert set(arrived[:2]) == set(wanted[:2])
    assert set(arrived[2:]) == {image.SOPInstanceUID for image in images}


@pytest.mark.parametrize("strategy", ["orthanc-store", "orthanc-move"])
def test_a_destination_that_orthanc_cannot_reach_is_a702(
    fresh_orthanc: Orthanc, study: str, start_proxy: Callable[..., Proxy], strategy: str
) -> None:
    fresh_orthanc.put("/modalities/ws", ["WS1", "127.0.0.1", free_port()])
    proxy = start_proxy(fresh_orthanc, pipeline(strategy))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        final = scu.move(keys("STUDY", StudyInstanceUID=study), "WS1")[-1]
        assert (final.status, final.counts()) == (0xA702, (None, 0, _COUNT, 0))
        assert final.comment
        assert scu.echo() == 0x0000


@pytest.mark.parametrize("strategy", ["orthanc-store", "orthanc-move"])
def test_a_destination_that_orthanc_does_not_know_is_a801(
    one_fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy], strategy: str
) -> None:
    ours = {"destinations": {"D": {"aet": "WS1", "host": "127.0.0.1", "port": 104}}}
    proxy = start_proxy(one_fresh_orthanc, pipeline(strategy), ours)
    with associated(proxy.dicom_port, proxy.aet) as scu:
        final = scu.move(keys("STUDY", StudyInstanceUID="1.2"), "WS1")[-1]
        assert (final.status, final.comment) == (0xA801, "Orthanc has no modality 'WS1'")


def test_orthanc_move_without_an_entry_for_itself_says_so(
    one_fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    images = list(series(1))
    upload(one_fresh_orthanc, *images)
    one_fresh_orthanc.put("/modalities/ws", ["WS1", "127.0.0.1", 104])
    proxy = start_proxy(one_fresh_orthanc, pipeline("orthanc-move"))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        final = scu.move(keys("STUDY", StudyInstanceUID=images[0].StudyInstanceUID), "WS1")[-1]
        assert (final.status, final.comment) == (0xC010, "Orthanc has no modality entry for itself")
