"""Faults of Orthanc, of its network, of destinations and of disks: told to the peer, survived, and never passed on."""

import contextlib
import itertools
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from proxy.demo.orthanc import Orthanc
from tests.fakes import http_faults as faults
from tests.fakes.http_faults import Fault, HttpFaults
from tests.fakes.tcp_faults import TcpFaults
from tests.support import raw
from tests.support.dcmtk import Dcmtk
from tests.support.destinations import Arrival, Recorder
from tests.support.instances import instance, part10, series
from tests.support.orthanc_releases import Release, make_orthanc
from tests.support.ports import free_port
from tests.support.proxy_process import Proxy
from tests.support.rest import assert_same_instances, stored_files, upload
from tests.support.scu import associated, keys
from tests.support.small_disk import small_disk

_COUNT = 4
_FILES = r"^/instances/[^/]+/(file|attachments)"
_QUICK = {
    "backends": {"orthanc": {"connect_timeout": 1, "read_timeout": 1.5, "retries": 2}},
    "limits": {"response_timeout": 2, "connect_timeout": 2, "send_timeout": 3},
    "listener": {"heartbeat_interval": 0.5},
}
_WITHIN = 10.0  # seconds in which any fault must have its answer


@pytest.fixture(scope="module")
def images() -> list[FileDataset]:
    return list(series(_COUNT, rows=256, columns=256, PatientID="FAULTS"))


@pytest.fixture(scope="module")
def filled(
    images: list[FileDataset], one_release: Release, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Orthanc]:
    """An Orthanc that holds `images`."""
    orthanc = make_orthanc(one_release, tmp_path_factory.mktemp("orthanc"))
    try:
        orthanc.start()
        upload(orthanc, *images)
        yield orthanc
    finally:
        orthanc.kill()


@pytest.fixture
def broken(filled: Orthanc) -> Iterator[HttpFaults]:
    """The way to that Orthanc, to be broken."""
    with HttpFaults(filled.url) as way:
        yield way


@pytest.fixture
def proxy_behind(broken: HttpFaults, start_proxy: Callable[..., Proxy]) -> Proxy:
    return start_proxy(broken.url, _QUICK)


# Faults that a second attempt may mend, and those that it will not
_BODIES: dict[str, Fault] = {
    "status 500": faults.status(500),
    "status 503": faults.status(503),
    "status 404": faults.status(404),
    "status 401": faults.status(401),
    "a hang": faults.hang(20),
    "a hang within the body": faults.hang_within(20, 3000),
    "a reset within the body": faults.cut(3000, reset=True),
    "an end within the body": faults.cut(3000, reset=False),
    "a reset at once": faults.reset_at_once,
    "a greater Content-Length": faults.announced_length(1000),
    "a smaller Content-Length": faults.announced_length(-1000),
    "chunks without the last": faults.cut_chunks,
    "a body whose end is missing": faults.shortened(1000),
    "an HTML page with status 200": faults.body(faults.HTML, "text/html"),
    "an empty body": faults.body(b""),
    "a redirect": faults.redirect("http://127.0.0.1:9/"),
}


@pytest.mark.parametrize("name", _BODIES)
def test_a_download_that_goes_wrong_is_told_and_nothing_damaged_is_delivered(
    name: str, broken: HttpFaults, proxy_behind: Proxy, filled: Orthanc, images: list[FileDataset]
) -> None:
    stored = stored_files(filled, PatientID="FAULTS")
    study = keys("STUDY", StudyInstanceUID=images[0].StudyInstanceUID)
    broken.on("GET", _FILES, _BODIES[name])
    began = time.monotonic()
    with associated(proxy_behind.dicom_port, proxy_behind.aet) as scu:
        with contextlib.suppress(AssertionError):  # an abort is an honest end, too
            final = scu.get(study)[-1]
            assert final.status in (0xA701, 0xA702, 0xB000, 0xC010, 0xC000), f"status {final.status:04X}"
        received = scu.received
    assert time.monotonic() - began < _WITHIN * 2
    delivered = {str(dataset.SOPInstanceUID) for dataset in received}
    assert_same_instances(received, {uid: file for uid, file in stored.items() if uid in delivered})
    assert len(delivered) < _COUNT

    broken.clear()  # nothing of it was kept
    with associated(proxy_behind.dicom_port, proxy_behind.aet) as scu:
        assert scu.get(study)[-1].status == 0x0000
        assert_same_instances(scu.received, stored)


@pytest.mark.parametrize("name", ["status 503", "a reset within the body", "an end within the body"])
def test_a_download_that_goes_wrong_once_is_repeated_and_nobody_notices(
    name: str, broken: HttpFaults, proxy_behind: Proxy, filled: Orthanc, images: list[FileDataset]
) -> None:
    broken.on("GET", _FILES, _BODIES[name], times=1)
    with associated(proxy_behind.dicom_port, proxy_behind.aet) as scu:
        assert scu.get(keys("STUDY", StudyInstanceUID=images[0].StudyInstanceUID))[-1].status == 0x0000
        assert_same_instances(scu.received, stored_files(filled, PatientID="FAULTS"))


def test_another_instance_than_was_asked_for_is_never_delivered_in_its_place(
    broken: HttpFaults, proxy_behind: Proxy, images: list[FileDataset]
) -> None:
    broken.on("GET", _FILES, faults.body(part10(images[0])))
    with associated(proxy_behind.dicom_port, proxy_behind.aet) as scu:
        with contextlib.suppress(AssertionError):
            assert scu.get(keys("IMAGE", SOPInstanceUID=images[1].SOPInstanceUID))[-1].status != 0x0000
        assert not scu.received


_LISTINGS: dict[str, Fault] = {
    "status 500": faults.status(500),
    "status 503": faults.status(503),
    "status 401": faults.status(401),
    "status 400": faults.status(400),
    "a hang": faults.hang(20),
    "a reset": faults.reset_at_once,
    "an HTML page with status 200": faults.body(faults.HTML, "text/html"),
    "JSON that is cut off": faults.body(b'[{"ID": "a', "application/json"),
    "JSON of another shape": faults.body(b'{"surprise": [1, 2]}', "application/json"),
    "JSON of wrong items": faults.body(b'[1, null, "x", {}]', "application/json"),
    "a redirect": faults.redirect("http://127.0.0.1:9/"),
    "an empty body": faults.body(b"", "application/json"),
}


@pytest.mark.parametrize("name", _LISTINGS)
def test_a_listing_that_goes_wrong_fails_the_request_and_the_association_lives(
    name: str, broken: HttpFaults, proxy_behind: Proxy, images: list[FileDataset]
) -> None:
    study = keys("STUDY", StudyInstanceUID=images[0].StudyInstanceUID)
    with associated(proxy_behind.dicom_port, proxy_behind.aet) as scu:
        broken.on("*", "^/(tools|patients|studies|series|instances)", _LISTINGS[name])
        for ask in (scu.find, scu.get):
            began = time.monotonic()
            answers = ask(study)
            assert time.monotonic() - began < _WITHIN
            *before, final = answers
            assert {answer.status for answer in before} <= ({0xFF00} if ask == scu.get else set())  # heartbeats
            assert final.status & 0xF000 in (0xA000, 0xC000)
            assert final.comment
        broken.clear()
        assert scu.echo() == 0x0000
        assert scu.get(study)[-1].status == 0x0000


def test_a_slow_orthanc_is_bridged_by_pendings(
    broken: HttpFaults, start_proxy: Callable[..., Proxy], images: list[FileDataset]
) -> None:
    patient = {"backends": {"orthanc": {"read_timeout": 10}}}
    proxy = start_proxy(broken.url, _QUICK, patient)
    broken.on("GET", _FILES, faults.latency(4))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        began = time.monotonic()
        answers = scu.get(keys("IMAGE", SOPInstanceUID=images[0].SOPInstanceUID))
    assert answers[-1].status == 0x0000
    times = [began, *(answer.at for answer in answers)]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert max(gaps) < 3, gaps


def test_a_wrong_password_is_called_that_in_the_log(filled: Orthanc, start_proxy: Callable[..., Proxy]) -> None:
    with HttpFaults(filled.url) as way:
        way.on("*", ".*", faults.status(401))
        proxy = start_proxy(way.url, _QUICK)
        with associated(proxy.dicom_port, proxy.aet) as scu:
            assert scu.find(keys("STUDY", PatientID="FAULTS"))[-1].status != 0x0000
        assert "password" in proxy.log.lower() or "401" in proxy.log


# ---- destinations


def _move(proxy: Proxy, receiver_aet: str, study: str):  # type: ignore[no-untyped-def]
    with associated(proxy.dicom_port, proxy.aet) as scu:
        return scu.move(keys("STUDY", StudyInstanceUID=study), receiver_aet)[-1]


def _towards(port: int, aet: str = "RECORDER") -> dict[str, object]:
    return {"destinations": {"R": {"aet": aet, "host": "127.0.0.1", "port": port}}}


def test_a_destination_that_refuses_or_is_not_there_is_a702(
    filled: Orthanc, start_proxy: Callable[..., Proxy], images: list[FileDataset]
) -> None:
    study = images[0].StudyInstanceUID
    proxy = start_proxy(filled, _QUICK, _towards(free_port()))
    assert _move(proxy, "RECORDER", study).status == 0xA702
    with TcpFaults(0, accept=False) as closing:
        proxy = start_proxy(filled, _QUICK, _towards(closing.port))
        assert _move(proxy, "RECORDER", study).status == 0xA702


def test_a_destination_that_rejects_the_association_is_a702(
    filled: Orthanc, start_proxy: Callable[..., Proxy], images: list[FileDataset]
) -> None:
    ae = AE("OTHER")
    ae.add_supported_context(Verification)
    ae.require_called_aet = True
    server = ae.start_server(("127.0.0.1", 0), block=False)
    try:
        port = server.socket.getsockname()[1]  # type: ignore[union-attr]
        proxy = start_proxy(filled, _QUICK, _towards(port))
        assert _move(proxy, "RECORDER", images[0].StudyInstanceUID).status == 0xA702
    finally:
        server.shutdown()


def _lose(way: TcpFaults, fault: str) -> None:
    if fault == "reset":
        way.reset_after = 150_000
    else:
        way.freeze_after = 150_000


@pytest.mark.parametrize("fault", ["reset", "freeze"])
def test_a_destination_lost_on_the_way_fails_the_rest_and_says_which(
    fault: str,
    filled: Orthanc,
    start_proxy: Callable[..., Proxy],
    start_recorder: Callable[..., Recorder],
    images: list[FileDataset],
) -> None:
    receiver = start_recorder()
    with TcpFaults(receiver.port, comes_back=False) as way:
        _lose(way, fault)
        proxy = start_proxy(filled, _QUICK, _towards(way.port))
        began = time.monotonic()
        final = _move(proxy, receiver.aet, images[0].StudyInstanceUID)
        assert time.monotonic() - began < _WITHIN
    assert final.status in (0xB000, 0xA702)
    completed, failed = final.counts()[1:3]
    assert (completed or 0) + (failed or 0) == _COUNT
    assert (failed or 0) > 0
    assert (completed or 0) <= len(receiver.arrivals)


@pytest.mark.parametrize("fault", ["reset", "freeze"])
def test_a_destination_lost_on_the_way_that_comes_back_gets_everything(
    fault: str,
    filled: Orthanc,
    start_proxy: Callable[..., Proxy],
    start_recorder: Callable[..., Recorder],
    images: list[FileDataset],
) -> None:
    receiver = start_recorder()
    with TcpFaults(receiver.port) as way:
        _lose(way, fault)
        final = _move(start_proxy(filled, _QUICK, _towards(way.port)), receiver.aet, images[0].StudyInstanceUID)
    assert (final.status, final.counts()[1]) == (0x0000, _COUNT)
    assert_same_instances(receiver.datasets(), stored_files(filled, PatientID="FAULTS"))


def test_a_destination_that_takes_only_some_classes_gets_those(
    one_fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    images = list(series(2, PatientID="MIXED"))
    other = instance(
        sop_class_uid=raw.CT, PatientID="MIXED", StudyInstanceUID=images[0].StudyInstanceUID, Modality="CT"
    )
    upload(one_fresh_orthanc, *images, other)
    receiver = start_recorder(sop_classes=[raw.SECONDARY_CAPTURE])
    proxy = start_proxy(one_fresh_orthanc, _QUICK, _towards(receiver.port))
    final = _move(proxy, receiver.aet, images[0].StudyInstanceUID)
    assert (final.status, final.counts()) == (0xB000, (None, 2, 1, 0))
    assert final.identifier is not None
    assert final.identifier.FailedSOPInstanceUIDList == other.SOPInstanceUID
    assert len(receiver.arrivals) == 2


def test_a_destination_that_is_slow_hears_and_is_waited_for(
    filled: Orthanc,
    start_proxy: Callable[..., Proxy],
    start_recorder: Callable[..., Recorder],
    images: list[FileDataset],
) -> None:
    def slowly(arrival: Arrival) -> int:
        time.sleep(1.2)
        return 0x0000

    receiver = start_recorder(answer=slowly)
    proxy = start_proxy(filled, _QUICK, _towards(receiver.port))
    began = time.monotonic()
    with associated(proxy.dicom_port, proxy.aet) as scu:
        answers = scu.move(keys("STUDY", StudyInstanceUID=images[0].StudyInstanceUID), receiver.aet)
    assert (answers[-1].status, answers[-1].counts()[1]) == (0x0000, _COUNT)
    times = [began, *(answer.at for answer in answers)]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert max(gaps) < 1.2, gaps


# ---- disks and descriptors


def test_a_flipped_bit_in_the_cache_is_never_served(
    filled: Orthanc, start_proxy: Callable[..., Proxy], images: list[FileDataset]
) -> None:
    proxy = start_proxy(filled)
    study = keys("STUDY", StudyInstanceUID=images[0].StudyInstanceUID)
    stored = stored_files(filled, PatientID="FAULTS")
    for damage in ("flip", "cut", "empty", "swap"):
        with associated(proxy.dicom_port, proxy.aet) as scu:
            assert scu.get(study)[-1].status == 0x0000
        _wait_for_cache(proxy, _COUNT)
        _damage([path for path in (proxy.storage / "cache").rglob("*") if path.is_file()], damage)
        for image in images:
            uid = str(image.SOPInstanceUID)
            with associated(proxy.dicom_port, proxy.aet) as scu:
                assert scu.get(keys("IMAGE", SOPInstanceUID=uid))[-1].status == 0x0000
                assert_same_instances(scu.received, {uid: stored[uid]})


def _wait_for_cache(proxy: Proxy, count: int) -> None:
    """The cache write never delays the sender: so it may come a little later."""
    deadline = time.monotonic() + 5
    while sum(1 for path in (proxy.storage / "cache").rglob("*") if path.stat().st_size > 10000) < count:
        assert time.monotonic() < deadline, "nothing was cached"
        time.sleep(0.05)


def _damage(files: list[Path], how: str) -> None:
    large = [path for path in files if path.stat().st_size > 10000]
    contents = [path.read_bytes() for path in large]
    for number, path in enumerate(large):
        content = bytearray(contents[number])
        if how == "flip":
            content[len(content) // 2] ^= 0x10
        elif how == "cut":
            del content[len(content) // 2 :]
        elif how == "empty":
            content = bytearray()
        else:
            content = bytearray(contents[(number + 1) % len(large)])
        beside = path.with_name("damaged")
        beside.write_bytes(content)
        beside.replace(path)


def test_a_cache_that_cannot_be_written_costs_time_only(
    filled: Orthanc, start_proxy: Callable[..., Proxy], images: list[FileDataset]
) -> None:
    proxy = start_proxy(filled)
    cache = proxy.storage / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    cache.write_text("where a folder should be")  # root may write to anything but this
    study = keys("STUDY", StudyInstanceUID=images[0].StudyInstanceUID)
    for _ in range(2):
        with associated(proxy.dicom_port, proxy.aet) as scu:
            assert scu.get(study)[-1].status == 0x0000
            assert_same_instances(scu.received, stored_files(filled, PatientID="FAULTS"))
    cache.unlink()


@pytest.mark.root
def test_a_full_disk_below_the_cache_costs_time_only_and_below_the_spool_is_a700(
    filled: Orthanc, start_proxy: Callable[..., Proxy], images: list[FileDataset], tmp_path: Path
) -> None:
    with small_disk(tmp_path / "small", "200k") as small:
        full = {"storage": {"path": str(small)}, "cache": {"min_free_bytes": 0}, "spool": {"min_free_bytes": 0}}
        proxy = start_proxy(filled, full)
        study = keys("STUDY", StudyInstanceUID=images[0].StudyInstanceUID)
        for _ in range(2):
            with associated(proxy.dicom_port, proxy.aet) as scu:
                assert scu.get(study)[-1].status == 0x0000
                assert_same_instances(scu.received, stored_files(filled, PatientID="FAULTS"))
        with associated(proxy.dicom_port, proxy.aet) as scu:
            assert scu.store(instance(rows=600, columns=600)) == 0xA700
            assert scu.echo() == 0x0000, "the association lives on"
        assert not list((small / "dimse").rglob("*.dcm"))
        proxy.stop()


def test_without_file_descriptors_others_wait_and_all_recovers(
    filled: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    proxy = start_proxy(filled, {"limits": {"pending_connections": 500, "associations": 500}})
    pids = [process.pid for process in proxy.child.tree()]
    for pid in pids:
        subprocess.run(["prlimit", "--pid", str(pid), "--nofile=60:60"], check=True)
    crowd = []
    with contextlib.suppress(OSError):
        for _ in range(120):
            crowd.append(raw.Peer.connect(proxy.dicom_port))
    time.sleep(0.5)
    for peer in crowd:
        peer.close()
    deadline = time.monotonic() + 5
    while True:
        with contextlib.suppress(OSError, raw.Ended):
            raw.echo(proxy.dicom_port, proxy.aet)
            break
        assert time.monotonic() < deadline, proxy.log
        time.sleep(0.2)
    assert [process.pid for process in proxy.child.tree()] == pids, "a process died of it"


def test_a_log_that_cannot_be_written_disturbs_nobody(
    filled: Orthanc, start_proxy: Callable[..., Proxy], aim: Callable[..., Dcmtk]
) -> None:
    proxy = start_proxy(filled, {"logging": {"log_to_file": True, "log_file_path": "/dev/full"}})
    assert aim(proxy).echo().final.status == 0x0000
    assert aim(proxy).find("0008,0052=STUDY", "0010,0020=FAULTS").final.status == 0x0000


# ---- what is stored


_REFUSALS: dict[str, Fault] = {
    "status 500": faults.status(500),
    "status 507": faults.status(507),
    "a hang": faults.hang(20),
    "a reset": faults.reset_at_once,
    "an HTML page with status 200": faults.body(faults.HTML, "text/html"),
}


@pytest.mark.parametrize("name", _REFUSALS)
def test_what_was_acknowledged_reaches_orthanc_whatever_happened_first(
    name: str, one_fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    image = instance(PatientID="KEPT")
    with HttpFaults(one_fresh_orthanc.url) as way:
        way.on("POST", "^/instances", _REFUSALS[name], times=2)
        proxy = start_proxy(way.url, _QUICK, {"spool": {"retry_initial": 0.2, "retry_max": 0.5}})
        with associated(proxy.dicom_port, proxy.aet) as scu:
            assert scu.store(image) == 0x0000
        deadline = time.monotonic() + 20
        while one_fresh_orthanc.get("/statistics")["CountInstances"] == 0:
            assert time.monotonic() < deadline, f"it never arrived\n{proxy.log[-3000:]}"
            time.sleep(0.1)
        assert_same_instances([image], stored_files(one_fresh_orthanc, PatientID="KEPT"))
        while list((proxy.storage / "dimse").rglob("*.dcm")):
            assert time.monotonic() < deadline, "it stays in the spool"
            time.sleep(0.1)
        proxy.stop()


def test_what_orthanc_refuses_for_good_is_put_aside_with_its_reason_and_holds_up_nothing(
    one_fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    poison, *others = images = list(series(5, PatientID="POISON"))
    with HttpFaults(one_fresh_orthanc.url) as way:
        way.on(
            "POST", "^/instances", faults.status(400, b'{"OrthancStatus": 8, "Message": "Bad file format"}'), times=1
        )
        proxy = start_proxy(way.url, _QUICK, {"spool": {"parallel": 1}})
        with associated(proxy.dicom_port, proxy.aet) as scu:
            assert scu.store(poison) == 0x0000
            deadline = time.monotonic() + 15
            while way.count("POST", "^/instances") == 0:
                assert time.monotonic() < deadline, "it is not forwarded"
                time.sleep(0.05)
            assert [scu.store(image) for image in others] == [0x0000] * 4
        while one_fresh_orthanc.get("/statistics")["CountInstances"] < len(images) - 1:
            assert time.monotonic() < deadline, "the others do not arrive"
            time.sleep(0.1)
        assert str(poison.SOPInstanceUID) not in stored_files(one_fresh_orthanc, PatientID="POISON")
        kept = [path for path in proxy.storage.rglob("*") if path.is_file() and b"POISON" in path.read_bytes()]
        assert kept, "what was acknowledged is nowhere"
        proxy.stop()
