"""Everything that can be looked at, in the order in which one would look; each finding comes as soon as it is there."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from proxy import __version__
from proxy.access import open_to_the_network
from proxy.config import Settings
from proxy.doctor import running
from proxy.doctor.disk import disk_findings
from proxy.doctor.finding import Finding, State
from proxy.doctor.path import path_findings
from proxy.doctor.peers import modality_findings, peer_findings
from proxy.doctor.ports import Served, port_findings
from proxy.doctor.preflight import bad_certificates
from proxy.echo import Address, EchoFailed

_START = "Start it: `systemctl start orthanc-proxy`, or `orthanc-proxy serve`."
AsOwnerOf = Callable[[Path], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Examination:
    """Looks at what `settings` describe. `as_owner_of` acts as the user of a folder; `calling_aet` asks by DICOM."""

    settings: Settings
    as_owner_of: AsOwnerOf
    calling_aet: str

    def findings(self) -> Iterator[Finding]:
        """All of them; takes a few seconds, or some more for each peer that does not answer."""
        settings = self.settings
        yield from _configured(settings)
        with self.as_owner_of(settings.storage.path):
            yield from list(disk_findings(settings))
        state = look(settings)
        yield from state.findings
        yield from port_findings(settings, state.served)
        yield from peer_findings(settings)
        yield from modality_findings(settings)
        yield from path_findings(settings, state.targets, self.calling_aet)


def _configured(settings: Settings) -> Iterator[Finding]:
    for complaint in bad_certificates(settings):
        key, _, says = complaint.partition(": ")
        yield Finding(key, "", State.FAILED, says, "Correct the file, or the path to it.")
    for warning in open_to_the_network(settings):
        says, _, remedy = warning.partition("; ")
        yield Finding("access", "", State.WARNING, says, remedy[:1].upper() + remedy[1:] + ".")


@dataclass(frozen=True, slots=True)
class Running:
    """Whether orthanc-proxy runs, what it serves, and where each pipeline can be asked by DICOM."""

    findings: tuple[Finding, ...] = ()
    served: Served = field(default_factory=Served)
    targets: Mapping[str, Address] = field(default_factory=dict)


def look(settings: Settings) -> Running:
    """Ask the running program: by its admin server, else by C-ECHO."""
    if not running.can_be_asked(settings.admin):
        return _by_dicom(settings)
    where = f"{running.local(settings.admin.bind_address)}:{settings.admin.bind_port}"
    try:
        about = running.ask(settings.admin, "/api/v1/about").json()
        ready = running.ask(settings.admin, "/readyz").json()
    except running.NotRunning as error:
        return Running((Finding("orthanc-proxy", where, State.WARNING, f"does not run: {error}", _START),))
    if not isinstance(about, dict) or about.get("id") != settings.proxy.id or not isinstance(ready, dict):
        says = "something else answers here than orthanc-proxy with these settings"
        remedy = "Compare [proxy] id and [admin] bind_port with the configuration of the program that runs."
        return Running((Finding("orthanc-proxy", where, State.FAILED, says, remedy),))
    version = str(about.get("version", ""))
    ports = frozenset(int(part.rpartition(":")[2]) for part in str(about.get("dicom_address", "")).split(", ") if part)
    served = Served(ports | {settings.admin.bind_port}, version)
    return Running(tuple(_readiness(where, version, ready)), served, _targets(settings, ports))


def _readiness(where: str, version: str, ready: dict[str, object]) -> Iterator[Finding]:
    if version != __version__:
        says = f"version {version} runs, {__version__} is installed"
        yield Finding("orthanc-proxy", where, State.WARNING, says, "Restart it.")
    reasons = ready.get("reasons")
    if ready.get("ready"):
        yield Finding("orthanc-proxy", where, State.OK, f"version {version} runs and is ready")
    for reason in reasons if isinstance(reasons, list) else ():
        says = f"not ready: {reason.get('words', '')}"
        yield Finding("orthanc-proxy", where, State.FAILED, says, str(reason.get("advice", "")))


def _by_dicom(settings: Settings) -> Running:
    address = running.dicom_address(settings)
    if address is None:
        says = "nobody can be asked: neither the admin server's port nor a plain DICOM port is known"
        return Running((Finding("orthanc-proxy", "", State.SKIPPED, says),))
    try:
        says = running.answers_by_dicom(address)
    except EchoFailed as error:
        return Running((Finding("orthanc-proxy", str(address), State.WARNING, f"does not run: {error}", _START),))
    ports = frozenset({address.port})
    finding = Finding("orthanc-proxy", str(address), State.OK, f"a DICOM node answers: {says}")
    return Running((finding,), Served(ports), _targets(settings, ports))


def _targets(settings: Settings, ports: frozenset[int]) -> dict[str, Address]:
    """Where each pipeline can be called without TLS, if that port is served."""
    addresses = {name: running.dicom_address(settings, entry.aet) for name, entry in settings.pipelines.items()}
    return {name: address for name, address in addresses.items() if address is not None and address.port in ports}
