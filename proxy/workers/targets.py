"""Every backend and destination as a target of forwarding, from the settings."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from proxy.config import Destination, LimitsSettings, Settings
from proxy.dicom.messages import Receiver
from proxy.orthanc.client import OrthancClient
from proxy.spool.parcel import Parcel, Target
from proxy.tls import destination_context
from proxy.wire import open_receiver
from proxy.workers.dimse_target import DimseTarget, Way
from proxy.workers.rest_target import RestTarget


def targets_of(settings: Settings, clients: Mapping[str, OrthancClient], *, confirm: bool = True) -> dict[str, Target]:
    """By name, as pipelines and routes name them. Raises ConfigError.

    With `confirm` a backend must prove by its MD5 that it holds what it was sent; else its word is enough.
    """
    targets: dict[str, Target] = {name: _backend(name, client, settings, confirm) for name, client in clients.items()}
    for name, destination in settings.destinations.items():
        calling_aet = destination.calling_aet or next(iter(settings.pipelines.values())).aet
        opener = partial(_to_destination, destination, destination_context(name, destination), settings.limits)
        targets[name] = DimseTarget(name, opener, calling_aet)
    return targets


@dataclass(slots=True)
class _EitherWay:
    """A backend that some pipelines forward to by REST and others by DIMSE."""

    name: str
    rest: Target
    dimse: Target
    dimse_pipelines: frozenset[str]

    def deliver(self, parcel: Parcel) -> str:
        """As its pipeline says."""
        way = self.dimse if parcel.envelope.pipeline in self.dimse_pipelines else self.rest
        return way.deliver(parcel)


def _backend(name: str, client: OrthancClient, settings: Settings, confirm: bool) -> Target:
    pipelines = settings.pipelines
    noting = {pipeline: entry.provenance_metadata for pipeline, entry in pipelines.items()}
    rest = RestTarget(name, client, confirm=confirm, noting=noting)
    by_dimse = frozenset(pipeline for pipeline, entry in pipelines.items() if entry.forward == "dimse")
    if not by_dimse:
        return rest
    dimse = DimseTarget(name, partial(_to_orthanc, client, settings.limits))
    return _EitherWay(name, rest, dimse, by_dimse)


def _to_orthanc(client: OrthancClient, limits: LimitsSettings, way: Way) -> Receiver:
    """An association with Orthanc's own DICOM port."""
    host = client.backend.dicom_host or urlsplit(client.backend.url).hostname or ""
    capabilities = client.capabilities
    return _open((host, capabilities.dicom_port), capabilities.dicom_aet, limits, None, way)


def _to_destination(destination: Destination, tls: ssl.SSLContext | None, limits: LimitsSettings, way: Way) -> Receiver:
    return _open((destination.host, destination.port), destination.aet, limits, tls, way)


def _open(
    address: tuple[str, int], called_aet: str, limits: LimitsSettings, tls: ssl.SSLContext | None, way: Way
) -> Receiver:
    return open_receiver(
        address,
        calling_aet=way.calling_aet,
        called_aet=called_aet,
        contexts=[(way.sop_class_uid, [way.transfer_syntax])],
        originator=None,
        limits=limits,
        tls=tls,
    )
