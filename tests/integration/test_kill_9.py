"""SIGKILL at random moments, of the proxy's processes and of Orthanc: whatever was acknowledged arrives, unchanged.

SOAK_INSTANCES in the environment makes it longer: so many instances, and blows as long as any are being sent.
"""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from proxy.demo.orthanc import Orthanc
from tests.support.instances import series
from tests.support.modality import Sender
from tests.support.ports import free_port
from tests.support.proxy_process import Proxy
from tests.support.rest import assert_same_instances, stored_files
from tests.support.waiting import wait_until

_SOAK = "SOAK_INSTANCES" in os.environ
_FEW = int(os.environ.get("SOAK_INSTANCES", "240"))
_MANY = int(os.environ.get("SOAK_INSTANCES", "2000"))
_SENDERS = 8
_PAUSE = (0.5, 3.0) if _SOAK else (0.05, 0.4)  # seconds between two blows

pytestmark = pytest.mark.timeout(120 + _MANY // 10)


def kill_worker(proxy: Proxy) -> None:
    """The supervisor starts another."""
    workers = [one for one in psutil.Process(proxy.child.pid).children() if "proxy.worker" in one.cmdline()]
    with contextlib.suppress(psutil.NoSuchProcess, IndexError):
        random.choice(workers).kill()


def kill_supervisor(proxy: Proxy) -> None:
    """Its workers have to notice by themselves; then it is started again, as a service manager would."""
    proxy.child.signal(signal.SIGKILL)
    proxy.child.process.wait()
    wait_until(lambda: not proxy.child.leftovers())
    proxy.start()


def kill_all(proxy: Proxy) -> None:
    """As a power cut does, but for what the kernel still writes."""
    proxy.kill()
    wait_until(lambda: not proxy.child.leftovers())
    proxy.start()


_BLOWS = {"worker": kill_worker, "supervisor": kill_supervisor, "all": kill_all}


def start(start_proxy: Callable[..., Proxy], orthanc: Orthanc, mode: str = "spool") -> Proxy:
    return start_proxy(
        orthanc,
        {
            "proxy": {"workers": 2, "drain_timeout": 0.1},
            "listener": {"bind_port": free_port()},
            "spool": {"retry_initial": 0.1, "retry_max": 0.5},
            "pipelines": {"under_test": {"store_mode": mode, "through_fallback": "spool"}},
        },
    )


def senders(proxy: Proxy, patient: str, count: int = _FEW) -> list[Sender]:
    per_sender = count // _SENDERS
    made = [Sender(proxy, list(series(per_sender, PatientID=patient, rows=100, columns=100))) for _ in range(_SENDERS)]
    for sender in made:
        sender.start()
    return made


def settled(proxy: Proxy) -> bool:
    spool = proxy.storage / "dimse"
    return not [*spool.glob("[0-9]*/*/*.dcm"), *spool.glob(".incoming/*.part")]


def assert_nothing_is_lost(proxy: Proxy, orthanc: Orthanc, sent: list[Sender], patient: str, count: int = _FEW) -> None:
    for sender in sent:
        sender.hurry.set()
    for sender in sent:
        sender.join(60 + count / 20)
        assert not sender.is_alive(), f"a sender hangs\n{proxy.log[-3000:]}"
    wait_until(lambda: settled(proxy), 30)
    acknowledged = [image for sender in sent for image in sender.acknowledged]
    assert len(acknowledged) == count // _SENDERS * _SENDERS
    assert_same_instances(acknowledged, stored_files(orthanc, PatientID=patient))
    assert not list((proxy.storage / "dimse" / ".dead").iterdir())
    assert {status for sender in sent for status in sender.refused} <= {0xA700}


@pytest.mark.parametrize(
    ("victim", "mode"), [("worker", "spool"), ("worker", "through"), ("supervisor", "spool"), ("all", "spool")]
)
def test_what_was_acknowledged_before_sigkill_arrives(
    victim: str, mode: str, one_fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    proxy = start(start_proxy, one_fresh_orthanc, mode)
    sent = senders(proxy, "KILLED")
    blows = 0
    while blows < 3 or (_SOAK and any(sender.is_alive() for sender in sent)):
        time.sleep(random.uniform(*_PAUSE))
        _BLOWS[victim](proxy)
        blows += 1
    print(f"{blows} blows")
    assert_nothing_is_lost(proxy, one_fresh_orthanc, sent, "KILLED")
    assert sum(sender.broken for sender in sent) > 0, "no blow has hit anybody"


def test_what_was_acknowledged_arrives_though_orthanc_and_all_of_us_are_killed_in_turns(
    one_fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    proxy = start(start_proxy, one_fresh_orthanc)
    sent = senders(proxy, "TURNS", _MANY)
    turns = 0
    while turns < 5 or (_SOAK and any(sender.is_alive() for sender in sent)):
        time.sleep(random.uniform(0.05, 0.3))
        one_fresh_orthanc.kill()
        time.sleep(random.uniform(0.05, 0.3))
        random.choice([*_BLOWS.values()])(proxy)
        one_fresh_orthanc.start()
        turns += 1
    print(f"{turns} turns")
    assert_nothing_is_lost(proxy, one_fresh_orthanc, sent, "TURNS", _MANY)


def test_a_start_after_sigkill_finishes_alone_what_was_waiting(
    one_fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    one_fresh_orthanc.kill()
    proxy = start(start_proxy, one_fresh_orthanc)
    sent = senders(proxy, "RESUMED")
    for sender in sent:
        sender.hurry.set()
        sender.join(60)
    proxy.kill()
    half = _half_written(proxy)
    one_fresh_orthanc.start()
    proxy.start()
    assert_nothing_is_lost(proxy, one_fresh_orthanc, sent, "RESUMED")
    assert not half.exists()


def _half_written(proxy: Proxy) -> Path:
    """What a power cut in the middle of an instance leaves."""
    part = proxy.storage / "dimse" / ".incoming" / "000-7.part"
    part.write_bytes(b"\0" * 200)
    return part
