"""A Move Destination for the demo: takes any instance and keeps a digest of its pixel data."""

import threading
from types import TracebackType
from typing import Self

from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.sop_class import Verification

from proxy.demo.pixels import digest

# Our order decides which of several offered ones is taken: explicit before implicit
_SYNTAXES = sorted(ALL_TRANSFER_SYNTAXES, key=lambda syntax: syntax != ExplicitVRLittleEndian)


class Receiver:
    """A storage SCP on loopback. `received` maps SOP Instance UIDs to digests of what came last."""

    def __init__(self, aet: str, port: int) -> None:
        self.aet = aet
        self.port = port
        self.received: dict[str, str] = {}
        self.count = 0
        self.bytes = 0
        self._lock = threading.Lock()
        entity = ApplicationEntity(ae_title=aet)
        entity.require_called_aet = False
        entity.maximum_pdu_size = 0
        entity.add_supported_context(Verification)
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(str(context.abstract_syntax), _SYNTAXES)
        self._server = entity.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()

    def clear(self) -> None:
        """Forget what came so far."""
        with self._lock:
            self.received.clear()
            self.count = self.bytes = 0

    def _store(self, event: evt.Event) -> int:
        content = event.encoded_dataset(include_meta=True)
        with self._lock:
            self.received[str(event.request.AffectedSOPInstanceUID)] = digest(content)
            self.count += 1
            self.bytes += len(content)
        return 0x0000
