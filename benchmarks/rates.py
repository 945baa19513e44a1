"""Small things by the second: C-ECHO and C-FIND on new and kept associations, and associations themselves."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from benchmarks.systems import HOT, ORTHANC, ORTHANC_NODELAY, STOCK, System
from proxy.demo.samples import uid
from tests.support import raw
from tests.support.raw import C_FIND, IMPLICIT, STUDY_FIND, VERIFICATION, Peer, command, element, message

SYSTEMS = (ORTHANC, ORTHANC_NODELAY, STOCK, HOT)
_CONTEXTS = ((1, VERIFICATION, (IMPLICIT,)), (3, STUDY_FIND, (IMPLICIT,)))
_STATUS = element(0x00000900, b"\0\0")  # Success, as it stands in a command set


@dataclass
class Rate:
    """`milliseconds` is the median of one operation; `times` how often it was done."""

    work: str
    system: str
    milliseconds: float
    times: int

    def as_json(self) -> dict[str, object]:
        """For the report."""
        return asdict(self)


def run(systems: Sequence[System], studies: int, repeats: int, tell: Callable[[str], None]) -> list[Rate]:
    """All small works on all systems, interleaved block by block. `studies` of them are held."""
    works: dict[str, tuple[Callable[[System, int], list[float]], int]] = {
        "association, opened and released": (_associations, 60 * repeats // 7),
        "C-ECHO, kept association": (_echoes_kept, 200 * repeats // 7),
        "C-ECHO, new association": (_echoes_new, 60 * repeats // 7),
    }
    for count in (1, 100, 1000):
        if count <= studies:
            many = max(3, (60 if count == 1 else 12 if count == 100 else 4) * repeats // 7)
            works[f"C-FIND of {count}, kept association"] = (_finder(count, kept=True), many)
            works[f"C-FIND of {count}, new association"] = (_finder(count, kept=False), many)
    rates = []
    for name, (work, times) in works.items():
        found: dict[str, list[float]] = {system.name: [] for system in systems}
        for block in range(3):
            for system in systems:
                found[system.name] += work(system, max(1, times // 3))
                tell(f"{name}, block {block + 1} of 3: {system.name}")
        rates += [
            Rate(name, system, statistics.median(taken) * 1000, len(taken)) for system, taken in found.items() if taken
        ]
    return rates


def _associations(system: System, times: int) -> list[float]:
    return [_timed(lambda: Peer.connect(system.port).associate(system.aet, _CONTEXTS).release()) for _ in range(times)]


def _echoes_new(system: System, times: int) -> list[float]:
    return [_timed(lambda: raw.echo(system.port, system.aet, timeout=10)) for _ in range(times)]


def _echoes_kept(system: System, times: int) -> list[float]:
    peer = Peer.connect(system.port).associate(system.aet, _CONTEXTS)
    taken = [_timed(lambda: peer.echo(10)) for _ in range(times)]
    peer.release()
    return taken


def _finder(count: int, *, kept: bool) -> Callable[[System, int], list[float]]:
    def work(system: System, times: int) -> list[float]:
        taken = []
        peer = Peer.connect(system.port).associate(system.aet, _CONTEXTS) if kept else None
        for _ in range(times):
            if peer is not None:
                taken.append(_timed(lambda: _find(peer, count)))
            else:
                taken.append(_timed(lambda: _find_once(system, count)))
        if peer is not None:
            peer.release()
        return taken

    return work


def _find_once(system: System, count: int) -> None:
    peer = Peer.connect(system.port).associate(system.aet, _CONTEXTS)
    _find(peer, count)
    peer.release()


def _find(peer: Peer, count: int) -> None:
    """A worklist's usual question: studies with the attributes a viewer lists; `count` must be found."""
    wanted = uid("find/1/study") if count == 1 else ""
    patient = "FIND-????" if count == 1000 else "FIND-00??" if count == 100 else ""
    identifier = b"".join(
        element(tag, value)
        for tag, value in (
            (0x00080020, ""),
            (0x00080030, ""),
            (0x00080050, ""),
            (0x00080052, "STUDY"),
            (0x00081030, ""),
            (0x00100010, ""),
            (0x00100020, patient),
            (0x0020000D, raw.uid(wanted)),
        )
    )
    peer.send(message(3, command(C_FIND, sop_class=STUDY_FIND, data=True), identifier))
    found = _count_until_final(peer)
    expected = {1: 1, 100: 99, 1000: 1000}[count]
    if not expected <= found <= expected + 1:
        raise RuntimeError(f"{found} answers instead of {expected}")


def _count_until_final(peer: Peer) -> int:
    """Pass over answers as cheaply as they can be told apart; how many there were before the final one."""
    answers = 0
    while True:
        kind, body = peer.read(60)
        if kind != raw.P_DATA:
            raise raw.Ended(f"PDU {kind}")
        for _, control, fragment in raw.values(body):
            if control & 1:
                if _STATUS in fragment:
                    return answers
                answers += 1


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
