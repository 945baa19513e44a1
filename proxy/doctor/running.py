"""The orthanc-proxy that runs on this machine with these settings, asked from outside by HTTP and DICOM."""

import http.client
from dataclasses import dataclass
from typing import Any

import orjson

from proxy.config import AdminSettings, Settings
from proxy.echo import Address, EchoFailed, echo

_CALLING_AET = "HEALTHCHECK"
_TIMEOUT = 4.0  # seconds for each question
_LONGEST = 64 << 20  # bytes of an answer


class NotRunning(Exception):
    """Raised when no admin server answers; says why."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the admin server."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace").strip()

    def json(self) -> Any:
        """The value of a JSON body, None where it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None


def local(bind_address: str) -> str:
    """Where to reach ourselves, who listen on `bind_address`."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(bind_address, bind_address)


def can_be_asked(admin: AdminSettings) -> bool:
    """Whether there is an admin server, on a port that is known."""
    return admin.enabled and admin.bind_port != 0


def ask(admin: AdminSettings, path: str, *, timeout: float = _TIMEOUT) -> Reply:
    """GET a path of the admin server, with a token where there is one. Raises NotRunning."""
    if not can_be_asked(admin):
        raise NotRunning("there is no admin server on a known port")
    token = next((token.get_secret_value() for token in admin.tokens.values()), "")
    connection = http.client.HTTPConnection(local(admin.bind_address), admin.bind_port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return Reply(answer.status, answer.read(_LONGEST))
    except OSError as error:
        raise NotRunning(f"the admin server does not answer: {error.strerror or error}") from None
    except http.client.HTTPException:
        raise NotRunning("what answers at the admin port is no admin server") from None
    finally:
        connection.close()


def dicom_address(settings: Settings, aet: str = "") -> Address | None:
    """Where our DICOM port can be reached without TLS, as `aet` (the first AE title); None where that is not known."""
    listener, tls = settings.listener, settings.listener.tls
    if listener.bind_port == 0 or (tls.certificate is not None and tls.bind_port is None):
        return None
    return Address(aet or next(iter(settings.pipelines.values())).aet, local(listener.bind_address), listener.bind_port)


def answers_by_dicom(address: Address) -> str:
    """What an AE says to a C-ECHO, a rejection included: it is a sign of life. Raises EchoFailed."""
    try:
        seconds = echo(address, _CALLING_AET, timeout=_TIMEOUT)
    except EchoFailed as error:
        if not error.rejected:
            raise
        return str(error)
    return f"C-ECHO in {seconds * 1000:.0f} ms"
