"""Hostile, broken and slow peers (tests/attack): after each the next C-ECHO is answered and nothing stays behind.

`python -m tests.attack --proxy` runs all of them, the slow ones too, and prints a table.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack import identifiers, instances, plain_scp
from tests.attack.catalogue import ATTACKS
from tests.attack.kit import Attack, Victim, run
from tests.attack.target import proxy_victim

_QUICK = [attack for attack in ATTACKS if not attack.slow]


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """The proxy with short time limits."""
    with proxy_victim(tmp_path_factory.mktemp("victim")) as target:
        yield target


@pytest.fixture(scope="module")
def stock_victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """The same on pynetdicom's upper layer, which is not as hard to hurt."""
    with proxy_victim(tmp_path_factory.mktemp("victim"), wire="stock") as target:
        yield target


@pytest.mark.parametrize("attack", _QUICK, ids=[attack.name for attack in _QUICK])
def test_the_proxy_survives(attack: Attack, victim: Victim) -> None:
    verdict = run(attack, victim)
    assert not verdict.complaints


_OF_THE_WIRE = ("a sender that stops within an instance", "128 MB of an instance that is never finished")
_JUDGED_BY_US = [
    attack
    for attack in (*identifiers.ATTACKS, *instances.ATTACKS)
    if not attack.slow and attack.name not in _OF_THE_WIRE
]


@pytest.mark.parametrize("attack", _JUDGED_BY_US, ids=[attack.name for attack in _JUDGED_BY_US])
def test_what_the_services_judge_holds_on_the_stock_wire(attack: Attack, stock_victim: Victim) -> None:
    verdict = run(attack, stock_victim)
    assert not verdict.complaints


@pytest.mark.parametrize("name", ["half an A-ASSOCIATE-RQ", "an A-ASSOCIATE-RQ that announces 4 GiB"])
def test_the_kit_finds_fault_with_a_plain_pynetdicom_scp(name: str, tmp_path: Path) -> None:
    attack = next(attack for attack in ATTACKS if attack.name == name)
    command = [sys.executable, "-m", "tests.attack.plain_scp", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with contextlib.ExitStack() as stack:
        stack.callback(process.wait)
        stack.callback(process.kill)
        assert process.stdout is not None
        stack.callback(process.stdout.close)
        port = int(process.stdout.readline())
        assert run(attack, Victim(port, "PLAIN", process.pid, patience=2, study_uid=plain_scp.STUDY_UID)).complaints
