"""A requestor on pynetdicom, for what DCMTK's tools cannot ask or do not print."""

import contextlib
import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pydicom import Dataset, dcmread
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage,
    MRImageStorage,
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    SecondaryCaptureImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

STUDY_FIND = StudyRootQueryRetrieveInformationModelFind
STUDY_GET = StudyRootQueryRetrieveInformationModelGet
STUDY_MOVE = StudyRootQueryRetrieveInformationModelMove
PATIENT_FIND = PatientRootQueryRetrieveInformationModelFind
PATIENT_GET = PatientRootQueryRetrieveInformationModelGet
PATIENT_MOVE = PatientRootQueryRetrieveInformationModelMove
_MODELS = (STUDY_FIND, STUDY_GET, STUDY_MOVE, PATIENT_FIND, PATIENT_GET, PATIENT_MOVE, Verification)
IMAGES = (CTImageStorage, MRImageStorage, SecondaryCaptureImageStorage)


@dataclass(frozen=True)
class Answer:
    """One response: its command set's status elements, its identifier, and when it came (monotonic seconds)."""

    status: int
    command: Dataset
    identifier: Dataset | None
    at: float

    @property
    def comment(self) -> str:
        return str(self.command.get("ErrorComment", ""))

    @property
    def offending(self) -> list[int]:
        value = self.command.get("OffendingElement")
        if value is None:
            return []
        return (
            [int(tag) for tag in value] if isinstance(value, Sequence) and not isinstance(value, str) else [int(value)]
        )

    def counts(self) -> tuple[int | None, int | None, int | None, int | None]:
        """Remaining, completed, failed and warning; None where absent."""
        names = ("Remaining", "Completed", "Failed", "Warning")
        return tuple(self.command.get(f"NumberOf{name}Suboperations") for name in names)  # type: ignore[return-value]


@dataclass
class Scu:
    """An established association as requestor."""

    association: Association
    received: list[Dataset] = field(default_factory=list)
    syntaxes: list[str] = field(default_factory=list)

    def echo(self) -> int:
        """C-ECHO; its status."""
        return int(self.association.send_c_echo().Status)

    def find(self, identifier: Dataset, model: str = STUDY_FIND, *, message_id: int = 1) -> list[Answer]:
        """C-FIND; all responses."""
        return _answers(self.association.send_c_find(identifier, model, msg_id=message_id))

    def get(self, identifier: Dataset, model: str = STUDY_GET, *, message_id: int = 1) -> list[Answer]:
        """C-GET; all responses. What arrives is in `received`."""
        return _answers(self.association.send_c_get(identifier, model, msg_id=message_id))

    def move(
        self, identifier: Dataset, destination: str, model: str = STUDY_MOVE, *, message_id: int = 1
    ) -> list[Answer]:
        """C-MOVE; all responses."""
        return _answers(self.association.send_c_move(identifier, destination, model, msg_id=message_id))

    def store(self, dataset: Dataset) -> int:
        """C-STORE; its status."""
        return int(self.association.send_c_store(dataset).Status)


def keys(level: str | None = None, **values: object) -> Dataset:
    """An identifier; values by keyword, "" for universal."""
    identifier = Dataset()
    if level is not None:
        identifier.QueryRetrieveLevel = level
    for keyword, value in values.items():
        setattr(identifier, keyword, value)
    return identifier


@contextlib.contextmanager
def associated(
    port: int,
    called_aet: str,
    *,
    calling_aet: str = "PYNETSCU",
    images: Sequence[str] = IMAGES,
    transfer_syntaxes: Sequence[str] = tuple(ALL_TRANSFER_SYNTAXES[:4]),
    on_store: Callable[[evt.Event], int] | None = None,
    max_pdu: int = 16382,
) -> Iterator[Scu]:
    """An association with all query/retrieve models, and `images` as storage classes in both roles."""
    ae = AE(calling_aet)
    ae.maximum_pdu_size = max_pdu
    ae.dimse_timeout = ae.acse_timeout = ae.network_timeout = 60
    for model in _MODELS:
        ae.add_requested_context(model)
    for image in images:
        ae.add_requested_context(image, list(transfer_syntaxes))
    received: list[Dataset] = []
    syntaxes: list[str] = []

    def take(event: evt.Event) -> int:
        received.append(dcmread(io.BytesIO(event.encoded_dataset())))
        syntaxes.append(str(event.context.transfer_syntax))
        return on_store(event) if on_store else 0x0000

    association = ae.associate(
        "127.0.0.1",
        port,
        ae_title=called_aet,
        ext_neg=[build_role(image, scu_role=True, scp_role=True) for image in images],
        evt_handlers=[(evt.EVT_C_STORE, take)],  # type: ignore[list-item]
    )
    assert association.is_established, "the association was not accepted"
    try:
        yield Scu(association, received, syntaxes)
    finally:
        if association.is_established:
            association.release()
        else:
            association.abort()


def _answers(responses: Iterator[tuple[Dataset, Dataset | None]]) -> list[Answer]:
    answers = []
    for command, identifier in responses:
        assert "Status" in command, f"the association ended without a final response, after {len(answers)}"
        answers.append(Answer(int(command.Status), command, identifier, time.monotonic()))
    return answers
