"""The system calls of an acknowledgement, as the kernel sees them: nothing is promised before it is on the disk."""

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.support.instances import instance
from tests.support.ports import free_port
from tests.support.proxy_process import Proxy
from tests.support.scu import associated
from tests.support.tracing import FOLDERS, RENAMES, SENDS, SYNCS, WRITES, calls_in, first, traced


@pytest.fixture
def proxy(start_proxy: Callable[..., Proxy], request: pytest.FixtureRequest) -> Proxy:
    return start_proxy(f"http://127.0.0.1:{free_port()}", {"listener": {"wire": request.param}})


def worker(proxy: Proxy) -> int:
    (pid,) = [one.pid for one in psutil.Process(proxy.child.pid).children() if "proxy.worker" in one.cmdline()]
    return pid


@pytest.mark.parametrize("proxy", ["fast", "stock"], indirect=True)
def test_data_name_and_every_folder_above_are_synced_before_the_response_is_sent(proxy: Proxy, tmp_path: Path) -> None:
    sent = instance(rows=300, columns=300)
    study, series = str(sent.StudyInstanceUID), str(sent.SeriesInstanceUID)
    with associated(proxy.dicom_port, proxy.aet) as scu:
        with traced(worker(proxy), tmp_path / "strace"):
            assert scu.store(sent) == 0x0000
    calls = calls_in(tmp_path / "strace")
    written = max(at for at, call in enumerate(calls) if call.name in WRITES and ".incoming/" in call.arguments)
    synced = first(calls, SYNCS, ".incoming/", after=written)
    root = first(calls, SYNCS, "/dimse>", after=first(calls, FOLDERS, f'{study}"'))
    above = first(calls, SYNCS, f"/{study}>", after=first(calls, FOLDERS, f'{series}"'))
    named = first(calls, RENAMES, f"{sent.SOPInstanceUID}.dcm", after=max(synced, root, above))
    durable = first(calls, SYNCS, f"/{series}>", after=named)
    assert first(calls, RENAMES, f"{sent.SOPInstanceUID}.dcm") == named, "it had its name before it was safe"
    assert first(calls, SENDS, "socket:") > durable, "it was answered before it was safe"
