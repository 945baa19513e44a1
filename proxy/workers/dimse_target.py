"""An AE as target of forwarding: a destination, or Orthanc's own DICOM port under the original calling AE title.

Associations are kept for a moment, so that a series goes over one of them.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from proxy.dicom.messages import Outgoing, Receiver
from proxy.dicom.status import STORE_WARNINGS, Status
from proxy.errors import DestinationUnreachable, ReceiverLost
from proxy.spool.envelope import Envelope
from proxy.spool.parcel import NotForThisTarget, Parcel

_KEPT = 1.0  # seconds
_DUPLICATE = 0x0111


@dataclass(frozen=True, slots=True)
class Way:
    """What makes two instances fit into one association."""

    calling_aet: str
    sop_class_uid: str
    transfer_syntax: str


Open = Callable[[Way], Receiver]
"""Opens an association on which such instances can be sent. Raises DestinationUnreachable, OrthancUnavailable."""


class DimseTarget:
    """`calling_aet` is our title towards it; "" = that of the original requestor."""

    def __init__(self, name: str, open_receiver: Open, calling_aet: str = "") -> None:
        self.name = name
        self._open = open_receiver
        self._calling_aet = calling_aet
        self._lock = threading.Lock()
        self._idle: list[tuple[float, Way, Receiver]] = []
        self._timer: threading.Timer | None = None

    def deliver(self, parcel: Parcel) -> str:
        """See `proxy.spool.parcel.Target`: a success or warning status is the confirmation (PS3.4 B.2.3)."""
        envelope = parcel.envelope
        way = Way(self._calling_aet or envelope.calling_aet, envelope.sop_class_uid, envelope.transfer_syntax)
        try:
            return _judged(self._send_somehow(way, parcel), self.name)
        except ReceiverLost as error:
            raise DestinationUnreachable(f"{self.name}: {error.comment}") from error

    def _send_somehow(self, way: Way, parcel: Parcel) -> int:
        kept = self._take(way)
        if kept is not None:
            try:
                return self._send(kept, way, parcel)
            except ReceiverLost:
                pass  # it was closed meanwhile, most likely
        return self._send(self._open(way), way, parcel)

    def _send(self, receiver: Receiver, way: Way, parcel: Parcel) -> int:
        keep = False
        try:
            if way.transfer_syntax not in receiver.accepts(way.sop_class_uid):
                raise NotForThisTarget(f"{self.name} does not take this SOP class in its transfer syntax")
            receiver.begin(_outgoing(parcel.envelope, parcel.data))
            status = receiver.finish()
            keep = status is not None
        finally:
            if keep:
                self._keep(way, receiver)
            else:
                receiver.close()
        if status is None:
            raise ReceiverLost("no answer")
        return status

    def _take(self, way: Way) -> Receiver | None:
        """An association that is still open and fits."""
        with self._lock:
            for kept in self._idle:
                if kept[1] == way:
                    self._idle.remove(kept)
                    return kept[2]
        return None

    def _keep(self, way: Way, receiver: Receiver) -> None:
        with self._lock:
            self._idle.append((time.monotonic(), way, receiver))
            self._expire_later()

    def _expire_later(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(_KEPT, self._expire)
            self._timer.daemon = True
            self._timer.start()

    def _expire(self) -> None:
        """Release what nobody has used for a moment."""
        now = time.monotonic()
        with self._lock:
            self._timer = None
            stale = [kept for kept in self._idle if now - kept[0] >= _KEPT]
            self._idle = [kept for kept in self._idle if now - kept[0] < _KEPT]
            if self._idle:
                self._expire_later()
        for _, _, receiver in stale:
            receiver.close()


def _outgoing(envelope: Envelope, data: memoryview) -> Outgoing:
    return Outgoing(envelope.sop_class_uid, envelope.sop_instance_uid, envelope.transfer_syntax, data)


def _judged(status: int, name: str) -> str:
    """Words for the log. Raises NotForThisTarget or DestinationUnreachable for a failure."""
    if status in (Status.SUCCESS, _DUPLICATE):
        return ""
    if status in STORE_WARNINGS or status >> 12 == 0xB:
        return f"an instance was stored with warning {status:04X}"
    words = f"{name} answers C-STORE with {status:04X}"
    if status >> 8 == 0xA9 or status >> 12 == 0xC or status in _FOR_GOOD:
        raise NotForThisTarget(words)
    raise DestinationUnreachable(words)


_FOR_GOOD = (Status.SOP_CLASS_NOT_SUPPORTED, Status.INVALID_SOP_INSTANCE)
