"""The six commands of the original example, and Orthanc itself as the client."""

import io
import time
from collections.abc import Callable, Iterator

import pytest
from pydicom import Dataset, dcmread

from proxy.demo.orthanc import Orthanc
from tests.support.dcmtk import Dcmtk
from tests.support.destinations import StoreScp
from tests.support.population import CT
from tests.support.proxy_process import Proxy
from tests.support.rest import assert_same_instances, lookup, stored_files


def test_echoscu_is_answered(dcmtk: Dcmtk) -> None:
    assert dcmtk.echo().final.status == 0x0000


def test_findscu_for_all_patients_lists_every_patient_with_an_id(dcmtk: Dcmtk, orthanc: Orthanc) -> None:
    found = dcmtk.find("0008,0052=PATIENT", "0010,0020=*", model="-P")
    patients = [orthanc.get(f"/patients/{patient}")["MainDicomTags"] for patient in orthanc.get("/patients")]
    assert found.final.status == 0x0000
    expected = sorted(patient.get("PatientID", "").strip() for patient in patients)
    assert sorted(dataset.PatientID or "" for dataset in found.datasets) == expected


def test_findscu_for_one_patient_finds_that_one(dcmtk: Dcmtk) -> None:
    found = dcmtk.find("0008,0052=PATIENT", "0010,0020=CT-1", "0010,0010", model="-P")
    assert [(dataset.PatientID, str(dataset.PatientName)) for dataset in found.datasets] == [("CT-1", "Comte^Tomas")]


def test_findscu_with_a_star_as_study_instance_uid_lists_every_study(dcmtk: Dcmtk, orthanc: Orthanc) -> None:
    found = dcmtk.find("0008,0052=STUDY", "0020,000D=*")
    assert found.final.status == 0x0000
    expected = [
        orthanc.get(f"/studies/{study}")["MainDicomTags"]["StudyInstanceUID"] for study in orthanc.get("/studies")
    ]
    assert sorted(dataset.StudyInstanceUID for dataset in found.datasets) == sorted(expected)


def test_getscu_brings_a_study_as_orthanc_holds_it(dcmtk: Dcmtk, orthanc: Orthanc) -> None:
    for _ in ("from Orthanc", "from the cache"):
        got = dcmtk.get("0008,0052=STUDY", f"0020,000D={CT.study_instance_uid}")
        assert (got.final.status, got.final.completed, got.final.failed) == (0x0000, CT.slices, 0)
        assert got.final.remaining is None
        assert_same_instances(got.files, stored_files(orthanc, StudyInstanceUID=CT.study_instance_uid))


@pytest.mark.parametrize("strategy", ["direct", "orthanc-store", "orthanc-move"])
def test_movescu_sends_a_study_to_the_move_destination(
    strategy: str,
    orthanc: Orthanc,
    start_proxy: Callable[..., Proxy],
    start_storescp: Callable[..., StoreScp],
    aim: Callable[..., Dcmtk],
) -> None:
    destination = start_storescp("DEST_AET")
    if strategy != "direct":  # Orthanc itself must know where to send, and, to move, itself
        orthanc.put("/modalities/destination", ["DEST_AET", "127.0.0.1", destination.port])
        orthanc.put("/modalities/self", [orthanc.aet, "127.0.0.1", orthanc.dicom_port])
    proxy = start_proxy(
        orthanc,
        {
            "pipelines": {"under_test": {"move_strategy": strategy}},
            "destinations": {"DEST_AET": {"aet": "DEST_AET", "host": "127.0.0.1", "port": destination.port}},
        },
    )
    moved = aim(proxy).move("DEST_AET", "0008,0052=STUDY", f"0020,000D={CT.study_instance_uid}")
    assert (moved.final.status, moved.final.completed, moved.final.failed) == (0x0000, CT.slices, 0)
    assert_same_instances(destination.files, stored_files(orthanc, StudyInstanceUID=CT.study_instance_uid))


def test_orthanc_as_client_echoes_queries_and_retrieves(
    orthanc: Orthanc, start_orthanc: Callable[..., Orthanc], start_proxy: Callable[..., Proxy]
) -> None:
    client = start_orthanc(Name="client")
    client_aet = client.get("/system")["DicomAet"]
    destination = {"aet": client_aet, "host": "127.0.0.1", "port": client.dicom_port}
    proxy = start_proxy(orthanc, {"destinations": {"CLIENT": destination}})
    client.put("/modalities/harmony", [proxy.aet, "127.0.0.1", proxy.dicom_port])

    client.post("/modalities/harmony/echo", {})
    query = client.post(
        "/modalities/harmony/query", {"Level": "Study", "Query": {"PatientID": "CT-1", "StudyDate": "20260101-"}}
    )["ID"]
    answers = client.get(f"/queries/{query}/answers?expand&simplify")
    assert [answer["StudyInstanceUID"] for answer in answers] == [CT.study_instance_uid]
    client.post(f"/queries/{query}/retrieve", {"TargetAet": client_aet, "Synchronous": True})
    assert_same_instances(list(_datasets(client)), stored_files(orthanc, StudyInstanceUID=CT.study_instance_uid))


def test_orthanc_as_client_stores_through_the_proxy(
    one_orthanc: Orthanc, start_orthanc: Callable[..., Orthanc], start_proxy: Callable[..., Proxy]
) -> None:
    target = start_orthanc(Name="target")
    proxy = start_proxy(target)
    one_orthanc.put("/modalities/harmony", [proxy.aet, "127.0.0.1", proxy.dicom_port])
    study = lookup(one_orthanc, "Study", StudyInstanceUID=CT.study_instance_uid)[0]
    one_orthanc.post("/modalities/harmony/store", {"Resources": [study], "Synchronous": True})
    deadline = time.monotonic() + 20
    while target.get("/statistics")["CountInstances"] < CT.slices and time.monotonic() < deadline:
        time.sleep(0.1)
    assert_same_instances(list(_datasets(target)), stored_files(one_orthanc, StudyInstanceUID=CT.study_instance_uid))


def _datasets(orthanc: Orthanc) -> Iterator[Dataset]:
    for instance_id in orthanc.get("/instances"):
        yield dcmread(io.BytesIO(orthanc.get_bytes(f"/instances/{instance_id}/file")))
