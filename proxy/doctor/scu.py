"""A requestor as workstations are, on pynetdicom and so on no code of ours: one C-FIND, or one C-GET."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import build_role, evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association

from proxy.dicom.contexts import UNCOMPRESSED
from proxy.dicom.status import PENDING
from proxy.echo import Address

Context = tuple[str, Sequence[str]]
"""A presentation context to propose: abstract syntax and transfer syntaxes."""

_CONNECT, _PATIENCE = 10.0, 300.0  # seconds for an association, and for each response
_GONE = -1


class NotAssociated(Exception):
    """Raised where no association is to be had; says why. `rejected`: it is alive, but does not let us in."""

    def __init__(self, why: str, *, rejected: bool = False) -> None:
        super().__init__(why)
        self.rejected = rejected


@dataclass(slots=True)
class Answer:
    """What came back: the final status (-1 = none), its comment, matches, received data sets in bytes, and seconds."""

    status: int = _GONE
    comment: str = ""
    matches: int = 0
    received: list[bytes] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def outcome(self) -> str:
        """The status in words for people."""
        if self.status == _GONE:
            return "the association ended before the answer"
        return f"status {self.status:04X}" + (f": {self.comment}" if self.comment else "")


def find(target: Address, calling_aet: str, model: str, identifier: Dataset) -> Answer:
    """C-FIND. Raises NotAssociated."""
    with associated(target, calling_aet, [(model, UNCOMPRESSED)]) as association:
        return _answered(association.send_c_find(identifier, model), Answer())


def move(target: Address, calling_aet: str, model: str, identifier: Dataset, destination: str) -> Answer:
    """C-MOVE to an AE title. Raises NotAssociated."""
    with associated(target, calling_aet, [(model, UNCOMPRESSED)]) as association:
        return _answered(association.send_c_move(identifier, destination, model), Answer())


def get(target: Address, calling_aet: str, model: str, identifier: Dataset, image: tuple[str, str]) -> Answer:
    """C-GET of instances of one (SOP class, transfer syntax). Raises NotAssociated."""
    answer = Answer()

    def take(event: evt.Event) -> int:
        answer.received.append(event.request.DataSet.getvalue())
        return 0x0000

    sop_class, transfer_syntax = image
    contexts: list[Context] = [(model, UNCOMPRESSED), (sop_class, [transfer_syntax])]
    roles = [build_role(sop_class, scp_role=True)]
    handlers = [(evt.EVT_C_STORE, take)]
    with associated(target, calling_aet, contexts, ext_neg=roles, evt_handlers=handlers) as association:
        return _answered(association.send_c_get(identifier, model), answer)


@contextmanager
def associated(target: Address, calling_aet: str, contexts: Sequence[Context], **more: Any) -> Iterator[Association]:
    """An association, released at the end; `more` is handed to pynetdicom. Raises NotAssociated."""
    entity = ApplicationEntity(ae_title=calling_aet)
    entity.connection_timeout = entity.acse_timeout = _CONNECT
    entity.dimse_timeout = entity.network_timeout = _PATIENCE
    for abstract_syntax, syntaxes in contexts:
        entity.add_requested_context(abstract_syntax, [*syntaxes])
    association = entity.associate(target.host, target.port, ae_title=target.aet, **more)
    if association.is_rejected:
        raise NotAssociated(f"{target} does not let {calling_aet} in", rejected=True)
    if not association.is_established:
        raise NotAssociated(f"no association with {target}")
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def _answered(responses: Iterator[tuple[Dataset, Dataset | None]], answer: Answer) -> Answer:
    began = time.monotonic()
    for status, match in responses:
        answer.status = int(status.Status) if "Status" in status else _GONE
        answer.comment = str(status.get("ErrorComment", ""))
        answer.matches += match is not None and answer.status in PENDING
    answer.seconds = time.monotonic() - began
    return answer
