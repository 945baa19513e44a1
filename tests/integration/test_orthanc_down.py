"""Orthanc away: the AE is alive, says what it cannot do, and recovers by itself on the same associations."""

from collections.abc import Callable

import pytest

from proxy.demo.orthanc import Orthanc
from tests.support.destinations import Recorder
from tests.support.instances import instance, series
from tests.support.ports import free_port
from tests.support.proxy_process import Proxy
from tests.support.rest import upload
from tests.support.scu import associated, keys

_QUICK = {"backends": {"orthanc": {"connect_timeout": 1, "retries": 2}}}


def test_the_proxy_starts_and_answers_with_orthanc_away(start_proxy: Callable[..., Proxy]) -> None:
    proxy = start_proxy(f"http://127.0.0.1:{free_port()}", _QUICK)
    with associated(proxy.dicom_port, proxy.aet) as scu:
        assert scu.echo() == 0x0000
        found = scu.find(keys("STUDY", PatientID="*"))[-1]
        got = scu.get(keys("STUDY", StudyInstanceUID="1.2.3"))[-1]
        moved = scu.move(keys("STUDY", StudyInstanceUID="1.2.3"), "ANYBODY")[-1]
        assert (found.status, got.status) == (0xA700, 0xA701)
        assert moved.status in (0xA701, 0xA801, 0xA702)
        assert all(answer.comment for answer in (found, got, moved))
        assert scu.echo() == 0x0000


@pytest.mark.parametrize("wire", ["fast", "stock"])
def test_an_association_outlives_an_outage_of_orthanc(
    wire: str, one_fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    images = list(series(3, PatientID="OUTAGE"))
    upload(one_fresh_orthanc, *images)
    receiver = start_recorder()
    destination = {"aet": receiver.aet, "host": "127.0.0.1", "port": receiver.port}
    proxy = start_proxy(one_fresh_orthanc, _QUICK, {"destinations": {"R": destination}, "listener": {"wire": wire}})
    study = keys("STUDY", StudyInstanceUID=images[0].StudyInstanceUID)
    with associated(proxy.dicom_port, proxy.aet) as scu:
        assert scu.get(study)[-1].status == 0x0000
        one_fresh_orthanc.kill()
        assert scu.find(keys("STUDY", PatientID="OUTAGE"))[-1].status == 0xA700
        assert scu.get(study)[-1].status == 0xA701, "what Orthanc cannot confirm must not be served"
        assert scu.move(study, receiver.aet)[-1].status == 0xA701
        assert scu.echo() == 0x0000
        one_fresh_orthanc.start()
        assert [answer.status for answer in scu.find(keys("STUDY", PatientID="OUTAGE"))] == [0xFF00, 0x0000]
        assert scu.move(study, receiver.aet)[-1].status == 0x0000
    assert len(receiver.arrivals) == 3


def test_what_was_deleted_or_overwritten_in_orthanc_is_not_served_from_the_cache(
    fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    first, second = images = list(series(2, PatientID="STALE", PatientName="Before^"))
    ids = upload(fresh_orthanc, *images)
    proxy = start_proxy(fresh_orthanc)
    study = keys("STUDY", StudyInstanceUID=first.StudyInstanceUID)
    with associated(proxy.dicom_port, proxy.aet) as scu:
        assert scu.get(study)[-1].counts()[1] == 2
        fresh_orthanc.delete(f"/instances/{ids[0]}")
        changed = instance(
            PatientID="STALE",
            PatientName="After^",
            StudyInstanceUID=second.StudyInstanceUID,
            SeriesInstanceUID=second.SeriesInstanceUID,
            SOPInstanceUID=second.SOPInstanceUID,
        )
        upload(fresh_orthanc, changed)
        scu.received.clear()
        assert scu.get(study)[-1].counts()[1] == 1
        assert [(d.SOPInstanceUID, str(d.PatientName)) for d in scu.received] == [(second.SOPInstanceUID, "After^")]
