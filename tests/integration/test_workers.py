"""Several processes behind one port: shared work, and none that stays dead."""

import contextlib
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from proxy.demo.orthanc import Orthanc
from tests.support.dcmtk import Dcmtk
from tests.support.population import CT
from tests.support.proxy_process import Proxy
from tests.support.rest import assert_same_instances, stored_files
from tests.support.scu import associated, keys
from tests.support.waiting import wait_until


def _workers(proxy: Proxy) -> list[psutil.Process]:
    return proxy.child.tree()[1:]


@pytest.mark.parametrize("count", [1, 3])
def test_parallel_retrieves_are_right_with_any_number_of_workers(
    count: int, one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], aim: Callable[..., Dcmtk]
) -> None:
    proxy = start_proxy(one_orthanc, {"proxy": {"workers": count}})
    assert len(_workers(proxy)) == count
    tools = aim(proxy)
    with ThreadPoolExecutor(6) as pool:
        study = f"0020,000D={CT.study_instance_uid}"
        results = list(pool.map(lambda _: tools.get("0008,0052=STUDY", study), range(6)))
    stored = stored_files(one_orthanc, StudyInstanceUID=CT.study_instance_uid)
    for result in results:
        assert (result.final.status, result.final.completed) == (0x0000, CT.slices)
        assert_same_instances(result.files, stored)


@pytest.mark.parametrize("count", [1, 3])
def test_a_killed_worker_is_replaced_and_others_go_on(
    count: int, one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], aim: Callable[..., Dcmtk]
) -> None:
    proxy = start_proxy(one_orthanc, {"proxy": {"workers": count}})
    before = {worker.pid for worker in _workers(proxy)}
    victim = _workers(proxy)[0]
    victim.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        now = {worker.pid for worker in _workers(proxy) if worker.status() != psutil.STATUS_ZOMBIE}
        if len(now) == count and victim.pid not in now:
            break
        time.sleep(0.1)
    else:
        pytest.fail(f"{len(before)} workers before, {len(now)} after 10 s\n{proxy.log}")
    tools = aim(proxy)
    for _ in range(2 * count):
        assert tools.echo().final.status == 0x0000
    assert "worker" in proxy.log.lower()


def test_an_association_on_another_worker_survives_the_death_of_one(
    one_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    proxy = start_proxy(one_orthanc, {"proxy": {"workers": 2}})
    with contextlib.ExitStack() as stack:
        scus = [stack.enter_context(associated(proxy.dicom_port, proxy.aet)) for _ in range(8)]
        assert all(scu.echo() == 0 for scu in scus)
        served = {worker.pid: _served(worker, proxy.dicom_port) for worker in _workers(proxy)}
        victim = max(served, key=lambda pid: served[pid])
        psutil.Process(victim).send_signal(signal.SIGKILL)
        time.sleep(0.5)
        alive = [scu for scu in scus if scu.association.is_established]
        assert len(alive) == 8 - served[victim]
        for scu in alive:
            assert scu.find(keys("STUDY", PatientID="CT-1", StudyInstanceUID=""))[-1].status == 0x0000


def _served(worker: psutil.Process, port: int) -> int:
    """How many established connections of the DICOM port this process holds."""
    connections = worker.net_connections(kind="tcp")
    return sum(1 for item in connections if item.status == psutil.CONN_ESTABLISHED and item.laddr.port == port)


def test_a_reload_that_needs_a_new_backend_is_refused_and_nobody_dies_of_it(
    one_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    proxy = start_proxy(one_orthanc)
    before = [worker.pid for worker in _workers(proxy)]
    sound = proxy.config_file.read_text()
    more = f'\n[backends.second]\nurl = "{one_orthanc.url}"\n[pipelines.second]\naet = "SECOND"\nbackend = "second"\n'
    proxy.config_file.write_text(sound + more)
    proxy.child.signal(signal.SIGHUP)
    wait_until(lambda: "needs a restart" in proxy.log)
    proxy.config_file.write_text(sound + '\n[pipelines.third]\naet = "THIRD"\n')
    proxy.child.signal(signal.SIGHUP)
    wait_until(lambda: "the configuration was read again" in proxy.log)
    for aet in (proxy.aet, "THIRD"):
        with associated(proxy.dicom_port, aet) as scu:
            assert scu.echo() == 0x0000
    assert [worker.pid for worker in _workers(proxy)] == before
