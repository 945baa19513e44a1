"""`orthanc-proxy healthcheck`: what the image's HEALTHCHECK runs."""

import http.client

import typer

from proxy.cli.options import Config, Overrides, configuration, fail
from proxy.config import AdminSettings, Settings
from proxy.echo import Address, EchoFailed, echo

_TIMEOUT = 4.0  # seconds for each of the two questions
_CALLING_AET = "HEALTHCHECK"


def healthcheck(config: Config = None, overrides: Overrides = None) -> None:
    """Ask the proxy on this machine whether it is ready, then send it a C-ECHO. Exit status 0 or 1."""
    settings = configuration(config, overrides).settings
    try:
        words = [_readiness(settings.admin), _answer(settings)]
    except (EchoFailed, OSError, http.client.HTTPException, _NotReady) as error:
        fail(f"not healthy: {error}")
    typer.echo("healthy: " + ", ".join(word for word in words if word))


class _NotReady(Exception):
    pass


def _readiness(admin: AdminSettings) -> str:
    """GET /readyz, where the admin server is on and its port is known."""
    if not admin.enabled or admin.bind_port == 0:
        return ""
    connection = http.client.HTTPConnection(local(admin.bind_address), admin.bind_port, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read(2000).decode("utf-8", "replace").strip()
    except OSError as error:
        raise _NotReady(f"the admin server does not answer: {error.strerror or error}") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise _NotReady(f"/readyz says {answer.status}: {body}")
    return "ready"


def _answer(settings: Settings) -> str:
    """C-ECHO by the plain port. A rejection is an answer, too: access rules need not know HEALTHCHECK."""
    tls = settings.listener.tls
    if settings.listener.bind_port == 0 or (tls.certificate is not None and tls.bind_port is None):
        return "no C-ECHO: the plain DICOM port is not known"
    aet = next(iter(settings.pipelines.values())).aet
    address = Address(aet, local(settings.listener.bind_address), settings.listener.bind_port)
    try:
        seconds = echo(address, _CALLING_AET, timeout=_TIMEOUT)
    except EchoFailed as error:
        if not error.rejected:
            raise
        return str(error)
    return f"C-ECHO in {seconds * 1000:.0f} ms"


def local(bind_address: str) -> str:
    """Where to reach ourselves, who listen on `bind_address`."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(bind_address, bind_address)
