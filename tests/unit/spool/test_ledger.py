"""What processes agree on, also when some of them are killed."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from proxy.spool.ledger import Ledger
from tests.support.small_disk import fill, small_disk

_CHILD = """
import sys, pathlib
from proxy.spool.ledger import Ledger
ledger = Ledger(pathlib.Path(sys.argv[1]))
ledger.reserve(1000, 2)
ledger.add(10, 1)
print(ledger.slot, flush=True)
sys.stdin.read()
"""


def start_child(folder: Path) -> tuple[subprocess.Popen[str], int]:
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    return child, int(child.stdout.readline())


def test_a_killed_process_holds_no_reservation_and_the_forwarder_is_told_to_look(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    child, slot = start_child(tmp_path)
    try:
        assert slot != ledger.slot
        assert ledger.reserved() == (1000, 2)
        assert (ledger.used, ledger.count, ledger.missed) == (10, 1, 0)
        assert list(ledger.abandoned()) == []
    finally:
        child.kill()
        child.communicate()
    assert list(ledger.abandoned()) == [slot]
    assert ledger.reserved() == (0, 0)
    assert ledger.missed == 1
    assert ledger.used == 10


def test_a_new_process_takes_over_the_slot_of_a_killed_one(tmp_path: Path) -> None:
    child, slot = start_child(tmp_path)
    child.kill()
    child.communicate()
    ledger = Ledger(tmp_path)
    assert ledger.slot == slot
    assert ledger.reserved() == (0, 0)
    assert ledger.missed == 1


def test_a_process_that_closes_leaves_its_slot_clean(tmp_path: Path) -> None:
    first, second = Ledger(tmp_path), Ledger(tmp_path)
    assert first.slot != second.slot
    second.reserve(5, 1)
    second.close()
    assert first.reserved() == (0, 0)
    assert first.missed == 0


@pytest.mark.root
def test_on_a_full_disk_it_is_an_error_and_not_the_end_of_the_process(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as folder:
        filler = fill(folder)
        code = "import sys, pathlib; from proxy.spool.ledger import Ledger; Ledger(pathlib.Path(sys.argv[1]))"
        told = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
        assert told.returncode == 1
        assert "No space left on device" in told.stderr
        filler.unlink()
        ledger = Ledger(folder)
        fill(folder)
        ledger.add(1, 1)
        ledger.reserve(1, 1)
        assert (ledger.used, ledger.reserved()) == (1, (1, 1))
        ledger.close()


def test_the_mutex_lets_nobody_in_twice(tmp_path: Path) -> None:
    ledgers = [Ledger(tmp_path), Ledger(tmp_path)]
    inside, most = 0, 0

    def work(ledger: Ledger) -> None:
        nonlocal inside, most
        for _ in range(200):
            with ledger.mutex(), ledger.mutex():
                inside += 1
                most = max(most, inside)
                ledger.add(1, 1)
                inside -= 1

    threads = [threading.Thread(target=work, args=(ledger,)) for ledger in ledgers for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert (ledgers[0].used, ledgers[1].count) == (800, 800)
