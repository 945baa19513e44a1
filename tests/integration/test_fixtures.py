"""The fixtures themselves, against Orthanc's own SCP: what the other tests rely on."""

from collections.abc import Callable
from pathlib import Path

from proxy.demo.orthanc import Orthanc
from tests.support.dcmtk import Dcmtk
from tests.support.destinations import Recorder, StoreScp, dcmqrscp
from tests.support.instances import part10, series
from tests.support.population import CT, Population
from tests.support.rest import assert_same_instances, stored_files


def test_the_shared_orthanc_holds_the_population(orthanc: Orthanc, population: Population) -> None:
    assert orthanc.get("/statistics")["CountInstances"] == len(population.files)
    assert len(population.files) > 120


def test_dcmtk_tools_report_statuses_identifiers_and_files(orthanc: Orthanc, aim: Callable[..., Dcmtk]) -> None:
    tools = aim(orthanc)
    assert tools.echo().final.status == 0
    found = tools.find("0008,0052=STUDY", "0010,0020=CT-1", "0020,000D=")
    assert [dataset.StudyInstanceUID for dataset in found.datasets] == [CT.study_instance_uid]
    got = tools.get("0008,0052=STUDY", f"0020,000D={CT.study_instance_uid}")
    assert (got.final.status, got.final.completed) == (0, CT.slices)
    assert_same_instances(got.files, stored_files(orthanc, StudyInstanceUID=CT.study_instance_uid))


def test_receivers_take_what_orthanc_moves(
    fresh_orthanc: Orthanc,
    aim: Callable[..., Dcmtk],
    start_recorder: Callable[..., Recorder],
    start_storescp: Callable[..., StoreScp],
) -> None:
    images = list(series(3))
    for image in images:
        fresh_orthanc.upload(part10(image))
    noted, stored = start_recorder("NOTED"), start_storescp("STORED")
    for receiver in (noted, stored):
        fresh_orthanc.put(f"/modalities/{receiver.aet}", [receiver.aet, "127.0.0.1", receiver.port])
        moved = aim(fresh_orthanc).move(receiver.aet, "0008,0052=STUDY", f"0020,000D={images[0].StudyInstanceUID}")
        assert moved.final.status == 0
    expected = stored_files(fresh_orthanc, StudyInstanceUID=str(images[0].StudyInstanceUID))
    assert_same_instances(noted.datasets(), expected)
    assert_same_instances(stored.files, expected)
    assert {arrival.move_originator_aet for arrival in noted.arrivals} == {"TESTSCU"}


def test_an_archive_answers_queries_about_its_files(tmp_path: Path) -> None:
    files = []
    for number, image in enumerate(series(2)):
        files.append(tmp_path / f"{number}.dcm")
        files[-1].write_bytes(part10(image))
    with dcmqrscp(tmp_path, files=files) as archive:
        found = Dcmtk(archive.port, archive.aet, tmp_path).find("0008,0052=STUDY", "0020,000D=")
        assert len(found.datasets) == 1
