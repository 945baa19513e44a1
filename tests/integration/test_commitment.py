"""Storage commitment with a requestor on pynetdicom: what is told, where, and what outlives a restart."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from pydicom import Dataset
from pydicom.uid import CTImageStorage, RawDataStorage, generate_uid
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance  # type: ignore[attr-defined]

from proxy.demo.orthanc import Orthanc
from tests.support.instances import instance
from tests.support.ports import free_port
from tests.support.proxy_process import Proxy
from tests.support.rest import upload
from tests.support.scu import associated
from tests.support.tracing import RENAMES, SENDS, SYNCS, calls_in, first, traced
from tests.support.waiting import wait_until

AET = "COMMIT_SCU"
NO_SUCH_INSTANCE, CLASS_CONFLICT, PROCESSING_FAILURE = 0x0112, 0x0119, 0x0110


@dataclass
class Report:
    """An N-EVENT-REPORT as it came in: who sent it, its type, and what became of each SOP Instance UID."""

    association: Association
    event_type: int
    transaction: str
    committed: list[str]
    failed: dict[str, int]


@dataclass
class Reports:
    """What the requestor is told; `status` is how it answers."""

    status: int = 0x0000
    got: list[Report] = field(default_factory=list)

    def take(self, event: evt.Event) -> tuple[int, None]:
        told = event.event_information
        self.got.append(
            Report(
                event.assoc,
                event.request.EventTypeID,
                told.TransactionUID,
                [item.ReferencedSOPInstanceUID for item in told.get("ReferencedSOPSequence", [])],
                {item.ReferencedSOPInstanceUID: item.FailureReason for item in told.get("FailedSOPSequence", [])},
            )
        )
        return self.status, None

    def only(self) -> Report:
        wait_until(lambda: bool(self.got), 20)
        assert len(self.got) == 1
        return self.got[0]


@contextlib.contextmanager
def requestor(proxy: Proxy, reports: Reports) -> Iterator[Association]:
    """An association for storage commitment, on which reports are taken."""
    ae = AE(AET)
    ae.add_requested_context(StorageCommitmentPushModel)
    association = ae.associate(
        "127.0.0.1", proxy.dicom_port, ae_title=proxy.aet, evt_handlers=[(evt.EVT_N_EVENT_REPORT, reports.take)]
    )
    assert association.is_established
    try:
        yield association
    finally:
        association.release()


@contextlib.contextmanager
def listening(port: int, reports: Reports) -> Iterator[None]:
    """The requestor's own SCP, where reports arrive on new associations."""
    ae = AE(AET)
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, reports.take)])
    try:
        yield
    finally:
        server.shutdown()


def ask(association: Association, *references: tuple[str, str]) -> tuple[int, str]:
    """N-ACTION for (SOP class, SOP instance); its status and the Transaction UID."""
    wanted = Dataset()
    wanted.TransactionUID = generate_uid()
    wanted.ReferencedSOPSequence = []
    for sop_class_uid, sop_instance_uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
        wanted.ReferencedSOPSequence.append(item)
    status, _ = association.send_n_action(wanted, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    return int(status.Status), str(wanted.TransactionUID)


def reference(dataset: Dataset) -> tuple[str, str]:
    return str(dataset.SOPClassUID), str(dataset.SOPInstanceUID)


def promises(proxy: Proxy) -> list[str]:
    return [path.name for path in (proxy.storage / "commitment").glob("*.json")]


def destination(port: int) -> dict[str, object]:
    """Settings that say where the requestor listens."""
    return {
        "destinations": {"scu": {"aet": AET, "host": "127.0.0.1", "port": port}},
        "commitment": {"retry_initial": 0.2, "retry_max": 0.5, "wait": 20},
        "spool": {"retry_initial": 0.1, "retry_max": 0.5},
    }


def held(orthanc: Orthanc, count: int) -> list[tuple[str, str]]:
    """References to some of what it holds."""
    found = orthanc.get(f"/instances?expand&since=0&limit={count}")
    return [
        (
            orthanc.get_bytes(f"/instances/{one['ID']}/metadata/SopClassUid").decode(),
            one["MainDicomTags"]["SOPInstanceUID"],
        )
        for one in found
    ]


def test_what_orthanc_holds_is_committed_on_the_same_association(one_orthanc: Orthanc, one_proxy: Proxy) -> None:
    references = held(one_orthanc, 5)
    reports = Reports()
    with requestor(one_proxy, reports) as association:
        status, transaction = ask(association, *references)
        assert status == 0
        report = reports.only()
        assert report.association is association
    assert (report.event_type, report.transaction, report.failed) == (1, transaction, {})
    assert sorted(report.committed) == sorted(uid for _, uid in references)
    wait_until(lambda: not promises(one_proxy))


def test_what_is_not_there_and_what_is_of_another_class_fails_with_its_reason(
    one_orthanc: Orthanc, one_proxy: Proxy
) -> None:
    there, (_, other) = held(one_orthanc, 2)
    reports = Reports()
    with requestor(one_proxy, reports) as association:
        ask(association, there, (RawDataStorage, other), (CTImageStorage, "1.2.3.4"))
        report = reports.only()
    assert (report.event_type, report.committed) == (2, [there[1]])
    assert report.failed == {"1.2.3.4": NO_SUCH_INSTANCE, other: CLASS_CONFLICT}


def test_a_request_that_names_nothing_is_refused_and_nothing_is_promised(one_proxy: Proxy) -> None:
    before = set(promises(one_proxy))  # of other tests, to be reported yet
    with requestor(one_proxy, Reports()) as association:
        status, _ = ask(association)
        assert status == 0x0115
        assert set(promises(one_proxy)) <= before


def test_eight_requestors_at_once_are_each_told_their_own(one_orthanc: Orthanc, one_proxy: Proxy) -> None:
    references = held(one_orthanc, 8)
    outcomes: dict[str, list[str]] = {}

    def one(wanted: tuple[str, str]) -> None:
        reports = Reports()
        with requestor(one_proxy, reports) as association:
            ask(association, wanted)
            outcomes[wanted[1]] = reports.only().committed

    threads = [threading.Thread(target=one, args=(wanted,)) for wanted in references]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert outcomes == {uid: [uid] for _, uid in references}


def test_the_stock_wire_reports_on_a_new_association(one_orthanc: Orthanc, start_proxy: Callable[..., Proxy]) -> None:
    port = free_port()
    proxy = start_proxy(one_orthanc, destination(port), {"listener": {"wire": "stock"}})
    references = held(one_orthanc, 2)
    reports = Reports()
    with listening(port, reports), requestor(proxy, reports) as association:
        ask(association, *references)
        report = reports.only()
        assert report.association is not association
    assert sorted(report.committed) == sorted(uid for _, uid in references)


def test_a_requestor_that_leaves_at_once_is_told_on_a_new_association(
    one_fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    port = free_port()
    proxy = start_proxy(one_fresh_orthanc, destination(port))
    one_fresh_orthanc.kill()  # so that nothing is decided before the requestor leaves
    image = instance()
    on_the_same, on_a_new = Reports(), Reports()
    with associated(proxy.dicom_port, proxy.aet, calling_aet=AET) as scu:
        assert scu.store(image) == 0
    with requestor(proxy, on_the_same) as association:
        status, transaction = ask(association, reference(image))
        assert status == 0
    with listening(port, on_a_new):
        one_fresh_orthanc.start()
        report = on_a_new.only()
    assert (report.event_type, report.transaction, report.committed) == (1, transaction, [image.SOPInstanceUID])
    assert report.association.requestor.ae_title == proxy.aet
    assert on_the_same.got == []
    wait_until(lambda: not promises(proxy))


def test_what_is_spooled_only_is_not_committed_and_fails_when_the_time_is_over(
    one_fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    port = free_port()
    proxy = start_proxy(one_fresh_orthanc, destination(port), {"commitment": {"wait": 2.0}})
    one_fresh_orthanc.kill()
    image = instance()
    reports = Reports()
    with listening(port, reports):
        with associated(proxy.dicom_port, proxy.aet, calling_aet=AET) as scu:
            assert scu.store(image) == 0
        with requestor(proxy, reports) as association:
            ask(association, reference(image))
        report = reports.only()
    assert (report.event_type, report.committed) == (2, [])
    assert report.failed == {image.SOPInstanceUID: PROCESSING_FAILURE}


def test_promises_outlive_sigkill_and_a_requestor_that_is_away_or_says_no(
    one_fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    port = free_port()
    proxy = start_proxy(one_fresh_orthanc, destination(port))
    image = instance()
    one_fresh_orthanc.kill()
    with requestor(proxy, Reports()) as association:
        status, transaction = ask(association, reference(image))
        assert status == 0
    proxy.kill()
    assert len(promises(proxy)) == 1
    one_fresh_orthanc.start()
    upload(one_fresh_orthanc, image)
    proxy.start()
    wait_until(lambda: "does not take its storage commitment report" in proxy.log)
    reports = Reports(status=0x0110)
    with listening(port, reports):
        wait_until(lambda: bool(reports.got))
        assert len(promises(proxy)) == 1
        reports.status = 0x0000
        wait_until(lambda: not promises(proxy))
    assert {(report.transaction, report.event_type) for report in reports.got} == {(transaction, 1)}


@pytest.mark.parametrize("wire", ["fast", "stock"])
def test_a_promise_is_on_the_disk_before_it_is_given(
    start_proxy: Callable[..., Proxy], tmp_path: Path, wire: str
) -> None:
    proxy = start_proxy(f"http://127.0.0.1:{free_port()}", {"listener": {"wire": wire}})
    (worker,) = [one.pid for one in psutil.Process(proxy.child.pid).children() if "proxy.worker" in one.cmdline()]
    with requestor(proxy, Reports()) as association:
        with traced(worker, tmp_path / "strace"):
            status, _ = ask(association, (CTImageStorage, "1.2.3"))
    assert status == 0
    (promise,) = promises(proxy)
    calls = calls_in(tmp_path / "strace")
    synced = first(calls, SYNCS, f"/commitment/.{promise}")
    durable = first(calls, SYNCS, "/commitment>", after=first(calls, RENAMES, f'/commitment/{promise}"', after=synced))
    assert first(calls, SENDS, "socket:") > durable
