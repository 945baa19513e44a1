"""What instances are sent to and fetched from: storescp, a receiver that notes all it is told, an archive."""

import contextlib
import io
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset, dcmread
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
from pynetdicom.association import Association
from pynetdicom.presentation import AllStoragePresentationContexts, PresentationContext
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from proxy.demo.programs import dcmtk_program
from tests.support.child import Child
from tests.support.dcmtk import environment
from tests.support.ports import free_port, wait_for_port


@dataclass
class StoreScp:
    """A running storescp; what it received is in `folder` (nothing where it was told to ignore)."""

    aet: str
    port: int
    folder: Path
    child: Child

    @property
    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.is_file())


@contextlib.contextmanager
def storescp(
    folder: Path, aet: str = "DEST_AET", *options: str, nodelay: bool = True, port: int | None = None
) -> Iterator[StoreScp]:
    """DCMTK's storescp, which accepts every transfer syntax it knows and serves several associations at once."""
    received = folder / f"received-by-{aet}"
    received.mkdir(exist_ok=True)
    port = port or free_port()
    child = Child(
        f"storescp-{aet}",
        [dcmtk_program("storescp"), "-v", "+xa", "-pm", "--fork", "-aet", aet, "-od", received, *options, str(port)],
        folder,
        environment=environment(nodelay=nodelay),
    )
    try:
        wait_for_port(port)
        yield StoreScp(aet, port, received, child)
    finally:
        child.kill()


@dataclass(frozen=True)
class Arrival:
    """One C-STORE request as it came in; `file` is the DICOM file made of it."""

    file: bytes
    transfer_syntax: str
    sop_class_uid: str
    sop_instance_uid: str
    calling_aet: str
    message_id: int
    move_originator_aet: str
    move_originator_message_id: int | None

    def dataset(self) -> Dataset:
        """What arrived, decoded."""
        return dcmread(io.BytesIO(self.file))


@dataclass
class Recorder:
    """A receiver on pynetdicom. `answer` gives each C-STORE its status; it may sleep, to be slow."""

    aet: str
    port: int = 0
    answer: Callable[[Arrival], int] = lambda arrival: 0x0000
    arrivals: list[Arrival] = field(default_factory=list)
    associations: list[list[PresentationContext]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    live: Association | None = None

    def abort(self) -> None:
        """End the latest association with an A-ABORT; may be called by `answer`."""
        assert self.live is not None
        self.live.abort()

    def datasets(self) -> list[Dataset]:
        """All that arrived, decoded."""
        return [arrival.dataset() for arrival in self.arrivals]

    def on_store(self, event: evt.Event) -> int:
        """pynetdicom's handler of C-STORE."""
        request = event.request
        originator = request.MoveOriginatorApplicationEntityTitle
        arrival = Arrival(
            file=event.encoded_dataset(),
            transfer_syntax=str(event.context.transfer_syntax),
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
            calling_aet=str(event.assoc.requestor.ae_title),
            message_id=request.MessageID,
            move_originator_aet=str(originator or "").strip(),
            move_originator_message_id=request.MoveOriginatorMessageID,
        )
        with self.lock:
            self.arrivals.append(arrival)
        return self.answer(arrival)

    def on_requested(self, event: evt.Event) -> None:
        """pynetdicom's handler of an association request."""
        with self.lock:
            self.live = event.assoc
            self.associations.append(list(event.assoc.requestor.requested_contexts))


@contextlib.contextmanager
def recorder(
    aet: str = "RECORDER",
    *,
    answer: Callable[[Arrival], int] | None = None,
    transfer_syntaxes: Sequence[str] = tuple(ALL_TRANSFER_SYNTAXES),
    sop_classes: Sequence[str] = (),
    max_pdu: int = 16382,
) -> Iterator[Recorder]:
    """A receiver inside this process, on a port that the kernel chose. Empty `sop_classes`: all storage classes."""
    state = Recorder(aet)
    if answer is not None:
        state.answer = answer
    ae = AE(aet)
    ae.maximum_pdu_size = max_pdu
    ae.maximum_associations = 100
    ae.add_supported_context(Verification)
    for sop_class in sop_classes or [str(context.abstract_syntax) for context in AllStoragePresentationContexts]:
        ae.add_supported_context(sop_class, list(transfer_syntaxes))
    handlers = [(evt.EVT_C_STORE, state.on_store), (evt.EVT_REQUESTED, state.on_requested)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)  # type: ignore[arg-type]
    state.port = server.socket.getsockname()[1]  # type: ignore[union-attr]
    try:
        yield state
    finally:
        server.shutdown()


@dataclass(frozen=True)
class Archive:
    """A running dcmqrscp: a second DICOM node behind Orthanc."""

    aet: str
    port: int
    folder: Path
    child: Child


@contextlib.contextmanager
def dcmqrscp(
    folder: Path,
    aet: str = "ARCHIVE",
    *,
    knows: dict[str, tuple[str, int]] | None = None,
    nodelay: bool = True,
    files: Sequence[Path] = (),
) -> Iterator[Archive]:
    """DCMTK's archive, holding `files`; `knows` maps AE titles to (host, port): to whom it will C-MOVE."""
    area = folder / f"held-by-{aet}"
    area.mkdir(exist_ok=True)
    port = free_port()
    hosts = "".join(
        f"host{n} = ({title}, {host}, {at})\n" for n, (title, (host, at)) in enumerate((knows or {}).items())
    )
    symbolic = f"group = {', '.join(f'host{n}' for n in range(len(knows or {})))}\n" if knows else ""
    configuration = folder / f"dcmqrscp-{aet}.cfg"
    configuration.write_text(
        f"MaxPDUSize = 131072\nMaxAssociations = 16\n\nHostTable BEGIN\n{hosts}{symbolic}HostTable END\n\n"
        f"VendorTable BEGIN\nVendorTable END\n\n"
        f"AETable BEGIN\n{aet} {area} RW (2000, 20gb) ANY\nAETable END\n"
    )
    child = Child(
        f"dcmqrscp-{aet}",
        [dcmtk_program("dcmqrscp"), "-v", "-c", configuration, str(port)],
        folder,
        environment=environment(nodelay=nodelay),
    )
    try:
        wait_for_port(port)
        if files:
            _fill(area, files)
        yield Archive(aet, port, area, child)
    finally:
        child.kill()


def _fill(area: Path, files: Sequence[Path]) -> None:
    copies = [shutil.copy(file, area / f"{file.parent.name}-{file.name}") for file in files]
    subprocess.run(["dcmqridx", area, *copies], check=True, capture_output=True)
