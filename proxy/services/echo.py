"""C-ECHO (PS3.4 A.4): this Application Entity is alive, whatever the state of the Orthanc behind it."""

from collections.abc import Iterator

from proxy.dicom.messages import Request, Response
from proxy.dicom.status import Status


def answer_echo(request: Request) -> Iterator[Response]:  # noqa: ARG001
    """Success. A modality asks whether we take images, and with the spool we do while Orthanc is away."""
    yield Response(Status.SUCCESS)
