"""Busy clients: each does one kind of work again and again on associations of its own, and checks every answer.

They are made of `tests.support.raw`: fifty of pynetdicom's in one process would be what is slow.
"""

import contextlib
import random
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pydicom.uid import generate_uid

from proxy.demo.samples import SyntheticSeries
from tests.support import raw
from tests.support.raw import Message, Peer, element

PATIENCE = 60.0  # seconds for each answer
_PENDING = (0xFF00, 0xFF01)


@dataclass(frozen=True)
class Site:
    """What the clients work with: the proxy, what it holds, where C-MOVEs go; `stored` is what was acknowledged."""

    port: int
    aet: str
    held: SyntheticSeries
    destination: str
    stored: list[str] = field(default_factory=list)

    def associate(self, *contexts: raw.Context, **more: object) -> Peer:
        """An association with these contexts."""
        return Peer.connect(self.port, timeout=PATIENCE).associate(self.aet, contexts, timeout=PATIENCE, **more)  # type: ignore[arg-type]


def echo(site: Site) -> None:
    """A few C-ECHOs."""
    peer = site.associate((1, raw.VERIFICATION, (raw.IMPLICIT,)))
    for _ in range(5):
        assert peer.echo(PATIENCE) == 0
    peer.release(PATIENCE)


def _ask(peer: Peer, field: int, model: str, level: str, site: Site, *more: bytes, extra: bytes = b"") -> None:
    """Ask for the study that is held, or for what is below it."""
    study = element(0x0020000D, raw.uid(site.held.study_instance_uid))
    identifier = b"".join(sorted((element(0x00080052, level), study, *more), key=_tag))
    peer.send(raw.message(1, raw.command(field, sop_class=model, data=True, extra=extra), identifier))


def _tag(element: bytes) -> tuple[int, int]:
    group, number = struct.unpack_from("<HH", element)
    return group, number


def find(site: Site) -> None:
    """A C-FIND at each level; as many matches as there are."""
    peer = site.associate((1, raw.STUDY_FIND, (raw.IMPLICIT,)))
    for level, tag, expected in (("STUDY", 0x00100010, 1), ("SERIES", 0x0020000E, 1), ("IMAGE", 0x00080018, None)):
        _ask(peer, raw.C_FIND, raw.STUDY_FIND, level, site, element(tag, b""))
        answers = peer.answers(PATIENCE)
        assert answers[-1].status == 0, f"C-FIND ends with {answers[-1].status:04X}"
        assert len(answers) - 1 == (expected or site.held.slices), f"{len(answers) - 1} matches at {level}"
    peer.release(PATIENCE)


def get(site: Site) -> None:
    """A C-GET of the study; every instance once."""
    peer = site.associate((1, raw.STUDY_GET, (raw.IMPLICIT,)), (3, raw.CT, (raw.EXPLICIT,)), roles=(raw.CT,))
    _ask(peer, raw.C_GET, raw.STUDY_GET, "STUDY", site)
    received: set[bytes] = set()
    while (message := peer.message(PATIENCE)).field == raw.C_STORE or message.status in _PENDING:
        if message.field == raw.C_STORE:
            assert message.command[0x00001000] not in received, "an instance comes twice"
            received.add(message.command[0x00001000])
            _take(peer, message)
    assert message.status == 0, f"C-GET ends with {message.status:04X}"
    assert len(received) == site.held.slices, f"{len(received)} instances instead of {site.held.slices}"
    peer.release(PATIENCE)


def _take(peer: Peer, request: Message) -> None:
    instance = request.command[0x00001000].decode()
    answer = raw.store_response(raw.CT, instance, answers=raw.us(request.command[0x00000110]))
    peer.send(raw.message(request.context_id, answer))


def move(site: Site) -> None:
    """A C-MOVE of the study."""
    peer = site.associate((1, raw.STUDY_MOVE, (raw.IMPLICIT,)))
    _ask(peer, raw.C_MOVE, raw.STUDY_MOVE, "STUDY", site, extra=element(0x00000600, site.destination))
    final = peer.answers(PATIENCE)[-1]
    completed = raw.us(final.command.get(0x00001021, b""))
    assert (final.status, completed) == (0, site.held.slices), f"C-MOVE ends with {final.status:04X}, {completed} sent"
    peer.release(PATIENCE)


_SIDE = 64  # pixels


def store(site: Site) -> None:
    """A few C-STOREs; what is acknowledged is noted."""
    peer = site.associate((1, raw.SECONDARY_CAPTURE, (raw.IMPLICIT,)))
    study, series = generate_uid(None), generate_uid(None)
    for _ in range(3):
        uid = str(generate_uid(None))
        peer.send(raw.message(1, raw.store_command(raw.SECONDARY_CAPTURE, uid), _image(uid, study, series)))
        status = peer.message(PATIENCE).status
        assert status == 0, f"C-STORE is answered {status:04X}"
        site.stored.append(uid)
    peer.release(PATIENCE)


def _image(uid: str, study: str, series: str) -> bytes:
    """A data set in Implicit VR Little Endian."""
    values = {
        0x00080016: raw.uid(raw.SECONDARY_CAPTURE),
        0x00080018: raw.uid(uid),
        0x00080060: "OT",
        0x00100010: "Soak^Test",
        0x00100020: "SOAK",
        0x0020000D: raw.uid(study),
        0x0020000E: raw.uid(series),
        0x00280010: struct.pack("<H", _SIDE),
        0x00280011: struct.pack("<H", _SIDE),
        0x7FE00010: bytes(range(256)) * (_SIDE * _SIDE // 256),
    }
    return b"".join(element(tag, value) for tag, value in values.items())


def vanish(site: Site) -> None:
    """Asks for a study and goes away while it comes."""
    peer = site.associate((1, raw.STUDY_GET, (raw.IMPLICIT,)), (3, raw.CT, (raw.EXPLICIT,)), roles=(raw.CT,))
    _ask(peer, raw.C_GET, raw.STUDY_GET, "STUDY", site)
    with contextlib.suppress(raw.Ended, TimeoutError):
        peer.read(0.05)
    random.choice((peer.reset, peer.close))()


def be_refused(site: Site) -> None:
    """Calls an AE title that is nobody's."""
    said, peer = "", Peer.connect(site.port, timeout=PATIENCE)
    try:
        peer.associate("NOBODY", timeout=PATIENCE)
    except raw.Ended as ended:
        said = str(ended)
    peer.close()
    assert said == "rejected 1/1/7", f"an unknown called AE title is {said or 'let in'}"
    time.sleep(0.05)


WORKS: tuple[Callable[[Site], None], ...] = (get, find, store, move, echo, get, store, find, vanish, be_refused)


@dataclass
class Client:
    """A thread that repeats one work until `over`; the first thing that went wrong ends it."""

    site: Site
    work: Callable[[Site], None]
    over: threading.Event
    done: int = 0
    trouble: str = ""
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name=self.work.__name__, daemon=True)
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for its last work; a client that hangs is in trouble."""
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive() and not self.trouble:
                self.trouble = f"{self.work.__name__} hangs"

    def _run(self) -> None:
        while not self.over.is_set():
            try:
                self.work(self.site)
            except (AssertionError, raw.Ended, OSError, RuntimeError, ValueError, KeyError) as error:
                self.trouble = f"{self.work.__name__}: {type(error).__name__} {error}"
                return
            self.done += 1
