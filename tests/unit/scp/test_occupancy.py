"""The bounds on associations hold over all processes, and the dead do not count."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from proxy.config import LimitsSettings
from proxy.scp.occupancy import Occupancy


@pytest.fixture
def slots(tmp_path: Path):
    occupancy = Occupancy(tmp_path / "slots")
    yield occupancy
    occupancy.close()


def test_the_bound_on_all_associations_is_named_when_hit(slots):
    limits = LimitsSettings(associations=2)
    first, second = slots.claim("A", "10.0.0.1", limits), slots.claim("B", "10.0.0.2", limits)
    assert {first, second} == {0, 1}
    assert slots.claim("C", "10.0.0.3", limits) == "associations"
    slots.release(first)
    assert slots.claim("C", "10.0.0.3", limits) == first


@pytest.mark.parametrize(
    ("setting", "aet", "address"),
    [("associations_per_aet", " ws1", "10.0.0.9"), ("associations_per_address", "OTHER", "10.0.0.1")],
)
def test_one_title_or_address_cannot_take_more_than_its_share(slots, setting, aet, address):
    limits = LimitsSettings(**{setting: 1})
    assert slots.claim("WS1", "10.0.0.1", limits) == 0
    assert slots.claim(aet, address, limits) == setting
    assert slots.claim("THIRD", "fe80::1%eth0", limits) == 1


def test_two_openings_of_one_file_count_together(tmp_path, slots):
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, pathlib; from proxy.scp.occupancy import Occupancy; from proxy.config import LimitsSettings\n"
            "print(Occupancy(pathlib.Path(sys.argv[1])).claim('X', '1.2.3.4', LimitsSettings(associations=1)))",
            str(tmp_path / "slots"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.strip() == "0"
    assert slots.count() == 1  # the child is gone, its slot is not swept yet
    assert slots.claim("Y", "1.2.3.4", LimitsSettings(associations=1)) == 0
    assert slots.count() == 1


def test_a_process_killed_while_it_holds_the_lock_blocks_nobody(tmp_path, slots):
    code = (
        "import sys, pathlib, time; from proxy.scp.occupancy import Occupancy\n"
        "slots = Occupancy(pathlib.Path(sys.argv[1]))\n"
        "with slots._locked():\n    print('held', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "slots")], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"held\n"
    claimed = []
    waiting = threading.Thread(target=lambda: claimed.append(slots.claim("A", "::1", LimitsSettings())))
    waiting.start()
    os.kill(child.pid, signal.SIGKILL)
    waiting.join(10)
    child.wait(10)
    child.stdout.close()
    assert claimed == [0]


def test_sweep_leaves_the_living_alone(slots):
    slots.claim("A", "::1", LimitsSettings())
    assert slots.sweep() == 0
    assert slots.count() == 1


def test_a_later_process_with_the_same_id_is_not_taken_for_the_dead_one(slots):
    slots._me = (os.getpid(), 1)  # another start time than ours
    slots.claim("A", "::1", LimitsSettings())
    slots._me = (os.getpid(), 2)
    assert slots.sweep() == 1
