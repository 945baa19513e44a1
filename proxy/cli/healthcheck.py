"""`orthanc-proxy healthcheck`: what the image's HEALTHCHECK runs."""

import typer

from proxy.cli.options import Config, Overrides, configuration, fail
from proxy.config import AdminSettings, Settings
from proxy.doctor.running import NotRunning, answers_by_dicom, ask, can_be_asked, dicom_address
from proxy.echo import EchoFailed


def healthcheck(config: Config = None, overrides: Overrides = None) -> None:
    """Ask the proxy on this machine whether it is ready, then send it a C-ECHO. Exit status 0 or 1."""
    settings = configuration(config, overrides).settings
    try:
        words = [_readiness(settings.admin), _answer(settings)]
    except (EchoFailed, NotRunning) as error:
        fail(f"not healthy: {error}")
    typer.echo("healthy: " + ", ".join(word for word in words if word))


def _readiness(admin: AdminSettings) -> str:
    """GET /readyz, where the admin server is on and its port is known."""
    if not can_be_asked(admin):
        return ""
    answer = ask(admin, "/readyz")
    if answer.status != 200:
        raise NotRunning(f"/readyz says {answer.status}: {answer.text[:2000]}")
    return "ready"


def _answer(settings: Settings) -> str:
    """C-ECHO by the plain port. A rejection is an answer, too: access rules need not know HEALTHCHECK."""
    address = dicom_address(settings)
    return "no C-ECHO: the plain DICOM port is not known" if address is None else answers_by_dicom(address)
