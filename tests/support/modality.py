"""A modality that does not give up."""

import threading
import time
from collections.abc import Callable

from pydicom.dataset import FileDataset
from pydicom.uid import SecondaryCaptureImageStorage
from pynetdicom import AE

from tests.support.proxy_process import Proxy


class Sender(threading.Thread):
    """A modality: sends one after the other, and once more after a while what was not acknowledged."""

    def __init__(self, proxy: Proxy, images: list[FileDataset]) -> None:
        super().__init__(daemon=True)
        self.acknowledged: list[FileDataset] = []
        self.refused: list[int] = []
        self.broken = 0
        self.hurry = threading.Event()
        self._given_up = False
        self._proxy = proxy
        self._left = list(images)

    def give_up(self) -> None:
        """Send nothing more."""
        self._given_up = True
        self.join(20)

    def run(self) -> None:
        while self._left and not self._given_up:
            ae = AE("MODALITY")
            ae.add_requested_context(SecondaryCaptureImageStorage)
            ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
            association = ae.associate("127.0.0.1", self._proxy.dicom_port, ae_title=self._proxy.aet)
            if association.is_established:
                self._send(association.send_c_store)
                self.broken += bool(self._left)
                association.release() if association.is_established else association.abort()
            else:
                time.sleep(0.05)

    def _send(self, store: Callable[[FileDataset], object]) -> None:
        while self._left and not self._given_up:
            try:
                status = store(self._left[0]).get("Status")  # type: ignore[attr-defined]
            except (RuntimeError, ValueError):  # the association is gone
                return
            if status is None:
                return
            if status == 0x0000:
                self.acknowledged.append(self._left.pop(0))
                self.hurry.wait(0.03)
            else:
                self.refused.append(int(status))
