"""An Orthanc that wants a name and a password."""

import base64
import contextlib
import http.client
from collections.abc import Iterator
from pathlib import Path

from proxy.demo.orthanc import Orthanc

NAME, PASSWORD = "proxy", "right"


class Guarded(Orthanc):
    """One that can be talked to all the same."""

    def call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)
        try:
            secret = base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
            connection.request(method, path, body, {"Authorization": f"Basic {secret}"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@contextlib.contextmanager
def guarded(folder: Path) -> Iterator[Orthanc]:
    """It runs, and lets in `NAME` with `PASSWORD`."""
    orthanc = Guarded(folder, options={"AuthenticationEnabled": True, "RegisteredUsers": {NAME: PASSWORD}})
    try:
        orthanc.start()
        yield orthanc
    finally:
        orthanc.kill()
