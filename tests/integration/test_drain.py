"""SIGTERM in the middle of everything: running requests finish, then the process ends; at the latest in time."""

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable

import httpx
import pytest

from proxy.demo.orthanc import Orthanc
from tests.support import raw
from tests.support.destinations import Arrival, Recorder
from tests.support.population import CT
from tests.support.proxy_process import Proxy
from tests.support.rest import stored_files
from tests.support.scu import Answer, associated, keys


def _destination(receiver: Recorder) -> dict[str, object]:
    return {"destinations": {"R": {"aet": receiver.aet, "host": "127.0.0.1", "port": receiver.port}}}


@pytest.mark.parametrize("wire", ["fast", "stock"])
def test_a_running_move_is_finished_before_the_process_ends(
    wire: str, one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    def slowly(arrival: Arrival) -> int:
        time.sleep(0.1)
        return 0x0000

    receiver = start_recorder(answer=slowly)
    proxy = start_proxy(one_orthanc, _destination(receiver), {"listener": {"wire": wire}})
    answers: list[Answer] = []

    def move() -> None:
        with associated(proxy.dicom_port, proxy.aet) as scu:
            answers.extend(scu.move(keys("STUDY", StudyInstanceUID=CT.study_instance_uid), receiver.aet))

    mover = threading.Thread(target=move)
    mover.start()
    _wait_until(lambda: len(receiver.arrivals) >= 3)
    proxy.child.signal(signal.SIGTERM)
    time.sleep(0.5)
    assert len(receiver.arrivals) < CT.slices, "too fast to say anything"
    began = time.monotonic()
    with pytest.raises((OSError, raw.Ended)):
        raw.echo(proxy.dicom_port, proxy.aet, timeout=5)
    assert time.monotonic() - began < 2, "who comes now should be sent away at once, not left waiting"
    mover.join(20)
    assert answers
    assert (answers[-1].status, answers[-1].counts()) == (0x0000, (None, CT.slices, 0, 0))
    assert {a.sop_instance_uid for a in receiver.arrivals} == set(
        stored_files(one_orthanc, StudyInstanceUID=CT.study_instance_uid)
    )
    assert proxy.child.process.wait(10) == 0
    assert not proxy.child.leftovers()


@pytest.mark.parametrize("wire", ["fast", "stock"])
def test_a_stuck_peer_does_not_hold_the_process_past_the_drain_timeout(
    wire: str, one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    stuck = threading.Event()

    def never(arrival: Arrival) -> int:
        stuck.wait(30)
        return 0x0000

    receiver = start_recorder(answer=never)
    proxy = start_proxy(
        one_orthanc, _destination(receiver), {"listener": {"wire": wire}, "proxy": {"drain_timeout": 2}}
    )

    def move() -> None:
        with contextlib.suppress(AssertionError), associated(proxy.dicom_port, proxy.aet) as scu:
            scu.move(keys("STUDY", StudyInstanceUID=CT.study_instance_uid), receiver.aet)

    mover = threading.Thread(target=move)
    mover.start()
    try:
        _wait_until(lambda: bool(receiver.arrivals))
        began = time.monotonic()
        proxy.child.signal(signal.SIGTERM)
        assert proxy.child.process.wait(20) == 0
        assert 1.5 < time.monotonic() - began < 12  # the workers get 5 s more to end in
        assert not proxy.child.leftovers()
    finally:
        stuck.set()
        mover.join(10)


@pytest.mark.parametrize("wire", ["fast", "stock"])
def test_idle_associations_and_silent_connections_do_not_delay_the_end(
    wire: str, one_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    proxy = start_proxy(one_orthanc, {"listener": {"wire": wire}, "proxy": {"drain_timeout": 10}})
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(socket.create_connection(("127.0.0.1", proxy.dicom_port)))
        for _ in range(5):
            assert stack.enter_context(associated(proxy.dicom_port, proxy.aet)).echo() == 0
        began = time.monotonic()
        proxy.child.signal(signal.SIGTERM)
        assert proxy.child.process.wait(12) == 0
        assert time.monotonic() - began < 5


def test_readiness_drops_while_draining_and_liveness_does_not(
    one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    def slowly(arrival: Arrival) -> int:
        time.sleep(0.15)
        return 0x0000

    receiver = start_recorder(answer=slowly)
    proxy = start_proxy(one_orthanc, _destination(receiver))
    assert proxy.admin("/readyz").status_code == 200

    def move() -> None:
        with associated(proxy.dicom_port, proxy.aet) as scu:
            scu.move(keys("STUDY", StudyInstanceUID=CT.study_instance_uid), receiver.aet)

    mover = threading.Thread(target=move)
    mover.start()
    _wait_until(lambda: bool(receiver.arrivals))
    proxy.child.signal(signal.SIGTERM)
    time.sleep(0.4)
    with contextlib.suppress(httpx.TransportError):  # the admin server may be gone, that is not ready either
        assert proxy.admin("/readyz").status_code == 503
        assert proxy.admin("/livez").status_code == 200
    mover.join(15)
    assert proxy.child.process.wait(10) == 0


def test_impatience_does_not_spoil_the_exit_status(one_orthanc: Orthanc, start_proxy: Callable[..., Proxy]) -> None:
    proxy = start_proxy(one_orthanc)
    process = proxy.child.process
    deadline = time.monotonic() + 12
    while process.poll() is None:
        assert time.monotonic() < deadline, "it did not end in time"
        proxy.child.signal(signal.SIGTERM)
        time.sleep(0.005)
    assert process.returncode == 0
    assert not proxy.child.leftovers()


def _wait_until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
