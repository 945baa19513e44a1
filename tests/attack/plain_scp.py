"""A plain pynetdicom SCP, as its documentation writes one: what the kit must find fault with.

`python -m tests.attack.plain_scp FOLDER` prints its port and serves until it is killed.
"""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from pydicom import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    Verification,
)

from tests.support.instances import instance

STUDY_UID = "2.25.100"
COUNT = 10


def main(folder: Path) -> None:
    """Serve, holding one study of CT images in memory and writing what comes to `folder`."""
    images = [
        instance(
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            StudyInstanceUID=STUDY_UID,
            SeriesInstanceUID="2.25.101",
            SOPInstanceUID=f"2.25.102.{n}",
        )
        for n in range(COUNT)
    ]

    def find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        asked = str(event.identifier.get("StudyInstanceUID", "") or "")
        if asked in ("", "*", STUDY_UID):
            found = Dataset()
            found.QueryRetrieveLevel = "STUDY"
            found.StudyInstanceUID = STUDY_UID
            yield 0xFF00, found

    def get(event: evt.Event) -> Iterator[int | tuple[int, Dataset | None]]:
        asked = str(event.identifier.get("StudyInstanceUID", "") or "")
        chosen = images if asked in ("", STUDY_UID) else []
        yield len(chosen)
        for image in chosen:
            if event.is_cancelled:
                yield 0xFE00, None
                return
            yield 0xFF00, image

    def store(event: evt.Event) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        dataset.save_as(folder / f"{dataset.SOPInstanceUID}.dcm")
        return 0x0000

    ae = AE("PLAIN")
    ae.add_supported_context(Verification)
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(str(context.abstract_syntax), scu_role=True, scp_role=True)
    handlers = [(evt.EVT_C_FIND, find), (evt.EVT_C_GET, get), (evt.EVT_C_STORE, store)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)  # type: ignore[arg-type]
    print(server.socket.getsockname()[1], flush=True)  # type: ignore[union-attr]
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
