"""Instances as they arrive, encoded without any library in between; requests; targets that answer as they are told."""

import struct
import threading
from collections.abc import Callable
from pathlib import Path

from proxy.config import LimitsSettings, Pipeline, SpoolSettings
from proxy.dicom.messages import Peer, Requestor, StoreRequest
from proxy.journal import Journal
from proxy.services.store import StoreService
from proxy.spool.parcel import Parcel, Target
from proxy.spool.spool import Spool

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
STUDY, SERIES = "1.2.826.1", "1.2.826.1.1"
REQUESTOR = Requestor("CT_1", "PROXY", Peer("10.1.2.3", 50123), "a1", "CT_1->PROXY(1)")


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    value += (b"\0" if vr in (b"UI", b"OW") else b" ") * (len(value) % 2)
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    return head + (struct.pack("<HI", 0, len(value)) if vr == b"OW" else struct.pack("<H", len(value))) + value


def data_set(
    sop_instance_uid: str,
    *,
    sop_class_uid: str = CT,
    study: str | None = STUDY,
    series: str | None = SERIES,
    modality: str = "CT",
    pixels: bytes = b"12345678",
) -> bytes:
    """An Explicit VR Little Endian data set."""
    parts = [
        element(0x00080016, b"UI", sop_class_uid.encode()),
        element(0x00080018, b"UI", sop_instance_uid.encode()),
        element(0x00080060, b"CS", modality.encode()),
        element(0x00100010, b"PN", b"Doe^Jane"),
    ]
    if study is not None:
        parts.append(element(0x0020000D, b"UI", study.encode()))
    if series is not None:
        parts.append(element(0x0020000E, b"UI", series.encode()))
    return b"".join([*parts, element(0x7FE00010, b"OW", pixels)])


def request(sop_instance_uid: str, *, sop_class_uid: str = CT, requestor: Requestor = REQUESTOR) -> StoreRequest:
    return StoreRequest(1, sop_class_uid, sop_instance_uid, sop_class_uid, EXPLICIT, requestor)


def open_spool(storage: Path, **settings: object) -> Spool:
    defaults = {"min_free_bytes": 0, "retry_initial": 0.01, "retry_max": 0.05}
    return Spool(storage, SpoolSettings.model_validate({**defaults, **settings}))


def service(
    spool: Spool, *targets: Target, journal: Journal | None = None, limits: LimitsSettings | None = None, **keys: object
) -> StoreService:
    pipeline = Pipeline.model_validate({"aet": "PROXY", "services": ["store"], **keys})
    named = {target.name: target for target in targets}
    return StoreService("main", pipeline, spool, limits or LimitsSettings(), journal or Journal(), named)


def store(store_service: StoreService, sop_instance_uid: str, data: bytes | None = None, step: int = 16372) -> int:
    """One whole C-STORE; the status."""
    sink = store_service.receive(request(sop_instance_uid))
    view = memoryview(data if data is not None else data_set(sop_instance_uid))
    for start in range(0, len(view), step):
        sink.write(view[start : start + step])
    return sink.finish().status


class FakeTarget:
    """Takes instances into memory, or raises what `behave` raises."""

    def __init__(self, name: str = "orthanc", behave: Callable[[Parcel], None] = lambda parcel: None) -> None:
        self.name = name
        self.behave = behave
        self.got: list[tuple[str, bytes]] = []  # SOP Instance UID, data set
        self.attempts = 0
        self._lock = threading.Lock()

    def deliver(self, parcel: Parcel) -> str:
        with self._lock:
            self.attempts += 1
        self.behave(parcel)
        with self._lock:
            self.got.append((parcel.envelope.sop_instance_uid, bytes(parcel.data)))
        return ""

    @property
    def uids(self) -> list[str]:
        return [uid for uid, _ in self.got]
