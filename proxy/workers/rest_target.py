"""A backend as target of forwarding: POST /instances, and proof that Orthanc holds what it was sent."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from proxy.errors import InstanceGone
from proxy.spool.envelope import Envelope
from proxy.spool.parcel import NotForThisTarget, Parcel

_PIECE = 1 << 20
_FIRST_METADATA = 1024  # what is below is Orthanc's own


class Client(Protocol):
    """What is needed of `proxy.orthanc.client.OrthancClient`."""

    def upload(self, content: Callable[[], Iterator[bytes | memoryview]], length: int) -> dict[str, Any]: ...

    def attachment_md5(self, instance_id: str) -> str: ...

    def transfer_syntax(self, instance_id: str) -> str: ...

    def put_metadata(self, instance_id: str, number: int, value: str) -> None: ...


class RestTarget:
    """`confirm`: ask for the MD5 of what is stored. `noting`: pipelines whose provenance becomes metadata."""

    def __init__(self, name: str, client: Client, *, confirm: bool, noting: Mapping[str, bool]) -> None:
        self.name = name
        self._client = client
        self._confirm = confirm
        self._noting = noting

    def deliver(self, parcel: Parcel) -> str:
        """See `proxy.spool.parcel.Target`.

        An instance that Orthanc has already, with other content, counts as delivered: its OverwriteInstances decides
        which one it keeps, exactly as if it had been sent by DIMSE.
        """
        answer = self._client.upload(lambda: _pieces(parcel), len(parcel))
        status, instance_id = str(answer.get("Status", "")), str(answer.get("ID", ""))
        if status == "FilteredOut":
            return "an instance was filtered out by Orthanc's own rules"
        try:
            words = self._check(parcel, instance_id, status) if self._confirm else ""
            if self._noting.get(parcel.envelope.pipeline):
                self._note(parcel.envelope, instance_id)
        except InstanceGone:
            return "an instance was deleted from Orthanc as soon as it was stored"
        return words

    def _check(self, parcel: Parcel, instance_id: str, status: str) -> str:
        stored = self._client.attachment_md5(instance_id)
        if not stored or stored == _md5(parcel):
            return ""
        if status == "AlreadyStored":
            return "Orthanc keeps what it already has under a SOP Instance UID that came again with other content"
        if self._client.transfer_syntax(instance_id) != parcel.envelope.transfer_syntax:
            return ""  # IngestTranscoding: it is meant to differ
        raise NotForThisTarget("Orthanc stored other bytes than it was sent")

    def _note(self, envelope: Envelope, instance_id: str) -> None:
        received = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(envelope.received_at))
        values = (envelope.calling_aet, envelope.called_aet, envelope.address, received)
        for number, value in enumerate(values, _FIRST_METADATA):
            self._client.put_metadata(instance_id, number, value)


def _pieces(parcel: Parcel) -> Iterator[bytes | memoryview]:
    """The file in pieces; the first holds the head, so that a small instance is one write."""
    first = _PIECE - len(parcel.head)
    yield parcel.head + parcel.data[:first]
    for start in range(first, len(parcel.data), _PIECE):
        yield parcel.data[start : start + _PIECE]


def _md5(parcel: Parcel) -> str:
    digest = hashlib.md5(parcel.head, usedforsecurity=False)
    digest.update(parcel.data)
    return digest.hexdigest()
