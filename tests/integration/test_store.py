"""C-STORE with real senders: where instances lie, what is refused, and that other transfers do not suffer."""

import io
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pydicom
import pytest
from pydicom.uid import JPEGBaseline8Bit, RLELossless, generate_uid

from proxy.demo.orthanc import Orthanc
from tests.support import raw
from tests.support.dcmtk import Dcmtk
from tests.support.instances import instance, part10, series
from tests.support.ports import free_port
from tests.support.proxy_process import Proxy
from tests.support.rest import assert_same_instances, stored_files
from tests.support.scu import associated
from tests.support.waiting import wait_until

_MANY_SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", RLELossless, JPEGBaseline8Bit)


@pytest.fixture
def away() -> str:
    """The address of an Orthanc that is not there."""
    return f"http://127.0.0.1:{free_port()}"


def waiting(proxy: Proxy) -> list[Path]:
    return sorted((proxy.storage / "dimse").glob("[0-9]*/*/*.dcm"))


def files(folder: Path, *datasets: pydicom.Dataset) -> Path:
    folder.mkdir(exist_ok=True)
    for number, dataset in enumerate(datasets):
        (folder / f"{number:04d}.dcm").write_bytes(part10(dataset))
    return folder


@pytest.mark.parametrize(
    ("wire", "mode", "sender"),
    [
        ("fast", "spool", "store"),
        ("fast", "through", "send"),
        ("stock", "spool", "send"),
        ("stock", "through", "store"),
    ],
)
def test_what_dcmtk_sends_reaches_orthanc_unchanged(
    one_fresh_orthanc: Orthanc,
    start_proxy,
    aim: Callable[..., Dcmtk],
    tmp_path: Path,
    wire: str,
    mode: str,
    sender: str,
) -> None:
    proxy = start_proxy(
        one_fresh_orthanc, {"listener": {"wire": wire}, "pipelines": {"under_test": {"store_mode": mode}}}
    )
    sent = list(series(12, rows=64, columns=64, PatientID="STORE"))
    tools = aim(proxy)
    outcome = getattr(tools, sender)(files(tmp_path / "sent", *sent))
    assert outcome.returncode == 0, outcome.output[-2000:]
    if mode == "spool":
        wait_until(lambda: len(stored_files(one_fresh_orthanc, PatientID="STORE")) == 12)
    assert_same_instances(sent, stored_files(one_fresh_orthanc, PatientID="STORE"))
    wait_until(lambda: not waiting(proxy))


def test_acknowledged_instances_lie_in_the_promised_place_with_their_provenance(
    away: str, start_proxy, aim: Callable[..., Dcmtk], tmp_path: Path
) -> None:
    proxy = start_proxy(away)
    sent = instance(PatientID="PLACE")
    outcome = aim(proxy, calling_aet="CT_ROOM_3").store(files(tmp_path / "sent", sent))
    assert [response.status for response in outcome.responses] == [0x0000]
    (path,) = waiting(proxy)
    place = f"{sent.StudyInstanceUID}/{sent.SeriesInstanceUID}/{sent.SOPInstanceUID}.dcm"
    assert path == proxy.storage / "dimse" / place
    stored = pydicom.dcmread(path)
    assert stored.file_meta.SendingApplicationEntityTitle == "CT_ROOM_3"
    assert stored.file_meta.ReceivingApplicationEntityTitle == proxy.aet
    assert stored.file_meta[0x00020026].value.startswith("dicom://127.0.0.1:")
    assert stored.PixelData == sent.PixelData


@pytest.mark.parametrize("transfer_syntax", _MANY_SYNTAXES)
def test_any_transfer_syntax_passes_as_it_is(one_fresh_orthanc: Orthanc, start_proxy, transfer_syntax: str) -> None:
    proxy = start_proxy(one_fresh_orthanc)
    sent = instance(transfer_syntax=transfer_syntax, PatientID="SYNTAX")
    with associated(proxy.dicom_port, proxy.aet, transfer_syntaxes=(transfer_syntax,)) as scu:
        assert scu.store(pydicom.dcmread(io.BytesIO(part10(sent)))) == 0
    wait_until(lambda: len(stored_files(one_fresh_orthanc, PatientID="SYNTAX")) == 1)
    (stored,) = stored_files(one_fresh_orthanc, PatientID="SYNTAX").values()
    meta = pydicom.dcmread(io.BytesIO(stored)).file_meta
    assert meta.TransferSyntaxUID == transfer_syntax


def test_what_contradicts_itself_is_refused_and_the_association_lives(away: str, start_proxy) -> None:
    proxy = start_proxy(away)
    good = instance(PatientID="GOOD")
    without_study = instance()
    del without_study.StudyInstanceUID
    with associated(proxy.dicom_port, proxy.aet) as scu:
        assert scu.store(without_study) == 0xA900
        assert scu.store(good) == 0x0000
    assert len(waiting(proxy)) == 1


def test_a_sender_that_vanishes_leaves_nothing_behind(away: str, start_proxy) -> None:
    proxy = start_proxy(away, {"limits": {"pdu_timeout": 2}})
    large = instance(rows=2000, columns=1000)
    with associated(proxy.dicom_port, proxy.aet) as scu:
        assert scu.store(large) == 0
        sender = threading.Thread(target=lambda: scu.store(instance(rows=4000, columns=4000)), daemon=True)
        sender.start()
        wait_until(lambda: any((proxy.storage / "dimse" / ".incoming").glob("*.part")))
        scu.association.dul.socket.socket.close()  # type: ignore[union-attr]
        scu.association.kill()
    wait_until(lambda: not any((proxy.storage / "dimse" / ".incoming").glob("*.part")))
    assert len(waiting(proxy)) == 1


def test_a_full_spool_says_a700_and_takes_instances_again_when_there_is_room(
    one_fresh_orthanc: Orthanc, start_proxy
) -> None:
    one_fresh_orthanc.kill()
    proxy = start_proxy(one_fresh_orthanc, {"spool": {"max_bytes": 3 << 20, "retry_initial": 0.1, "retry_max": 0.5}})
    images = list(series(6, rows=1000, columns=1000, PatientID="FULL"))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        statuses = [scu.store(image) for image in images]
        assert statuses[0] == 0x0000
        assert statuses[-1] == 0xA700
        accepted = statuses.count(0)
        assert len(waiting(proxy)) == accepted
        one_fresh_orthanc.start()
        wait_until(lambda: not waiting(proxy), 30)
        assert scu.store(images[-1]) == 0x0000
    wait_until(lambda: len(stored_files(one_fresh_orthanc, PatientID="FULL")) == accepted + 1)


def stream(proxy: Proxy, length: int) -> int:
    """C-STORE of an instance with so many bytes of pixels, none of which this side holds in memory; its status."""
    sop_instance_uid = str(generate_uid(None))
    data = b"".join(
        raw.explicit(tag, vr, value)
        for tag, vr, value in (
            (0x00080016, "UI", raw.CT),
            (0x00080018, "UI", sop_instance_uid),
            (0x00080060, "CS", "CT"),
            (0x0020000D, "UI", str(generate_uid(None))),
            (0x0020000E, "UI", str(generate_uid(None))),
        )
    ) + raw.explicit(0x7FE00010, "OB", b"", length)
    peer = raw.Peer.connect(proxy.dicom_port).associate(proxy.aet, ((1, raw.CT, (raw.EXPLICIT,)),))
    step = min(peer.max_pdu or (1 << 17), 1 << 17) - 6
    peer.send(raw.message(1, raw.store_command(raw.CT, sop_instance_uid)))
    peer.send(raw.pdu(raw.P_DATA, raw.pdv(1, 0, data)))
    full = raw.pdu(raw.P_DATA, raw.pdv(1, 0, bytes(step)))
    for _ in range(length // step):
        assert peer.send(full)
    peer.send(raw.pdu(raw.P_DATA, raw.pdv(1, 2, bytes(length % step))))
    status = peer.message(60).status
    peer.release()
    return status


def highest_memory(proxy: Proxy, sizes: list[int]) -> int:
    """Send so many at once; how far the worker's memory went above what it was before, in bytes."""
    (worker,) = [one for one in psutil.Process(proxy.child.pid).children() if "proxy.worker" in one.cmdline()]
    assert stream(proxy, 1 << 20) == 0
    before = highest = worker.memory_info().rss
    with ThreadPoolExecutor(len(sizes)) as pool:
        running = [pool.submit(stream, proxy, size) for size in sizes]
        while not all(one.done() for one in running):
            highest = max(highest, worker.memory_info().rss)
            time.sleep(0.005)
    assert [one.result() for one in running] == [0x0000] * len(sizes)
    return highest - before


def test_memory_stays_flat_for_a_large_instance_and_for_many_at_once(away: str, start_proxy) -> None:
    proxy = start_proxy(away)
    assert highest_memory(proxy, [300 << 20]) < 8 << 20
    assert highest_memory(proxy, [8 << 20] * 20) < 20 * (2 << 20)
    assert sum(path.stat().st_size for path in waiting(proxy)) > (300 + 160 + 2) << 20


def nested_instance(levels: int) -> bytes:
    """A whole file whose data set nests that deep."""
    data = b""
    for _ in range(levels):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data
        data = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, len(item)) + item
    plain = instance(PatientID="DEEP")
    del plain.PixelData
    return part10(plain) + data


def test_what_would_kill_orthanc_never_reaches_it(
    one_fresh_orthanc: Orthanc, start_proxy, aim: Callable[..., Dcmtk], tmp_path: Path
) -> None:
    proxy = start_proxy(one_fresh_orthanc, {"limits": {"nesting": 16}})
    folder = tmp_path / "deep"
    folder.mkdir()
    (folder / "deep.dcm").write_bytes(nested_instance(20))
    outcome = aim(proxy).store(folder)
    assert [response.status for response in outcome.responses] == [0xC000]
    assert len(list((proxy.storage / "dimse" / ".dead").glob("*.dcm"))) == 1
    assert stored_files(one_fresh_orthanc, PatientID="DEEP") == {}
    assert proxy.admin("/readyz").status_code == 200
