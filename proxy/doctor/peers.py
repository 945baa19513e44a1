"""Whoever is spoken to: each Orthanc is asked for its version, each Move Destination for a C-ECHO."""

import ssl
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

from proxy.config import Backend, Destination, Settings
from proxy.doctor import remedies
from proxy.doctor.finding import Finding, State
from proxy.echo import Address, EchoFailed, echo
from proxy.errors import ConfigError, OrthancError, ProxyError
from proxy.journal import Journal
from proxy.orthanc.client import OrthancClient
from proxy.tls import destination_context

_TIMEOUT = 5.0  # seconds for each destination
_AT_ONCE = 8

Look = Callable[[], Finding]


def peer_findings(settings: Settings) -> Iterator[Finding]:
    """Every backend and every configured destination, in their order."""
    yield from (_backend(name, backend) for name, backend in settings.backends.items())
    calling_aet = next(iter(settings.pipelines.values())).aet
    yield from _all(partial(_destination, name, entry, calling_aet) for name, entry in settings.destinations.items())


def modality_findings(settings: Settings) -> Iterator[Finding]:
    """What Orthanc has in its DicomModalities, and so is a Move Destination, too: whoever is away is no failure."""
    calling_aet = next(iter(settings.pipelines.values())).aet
    listed = {(entry.aet, entry.host, entry.port) for entry in settings.destinations.values()}
    for name, backend in settings.backends.items():
        try:
            with closing(OrthancClient(name, backend, Journal())) as client:
                entries = client.modalities().values()
        except (OrthancError, ConfigError):
            continue  # told of the backend already
        yield from _all(
            partial(_modality, f"{name}/{one.name}", Address(one.aet, one.host, one.port), one.tls, calling_aet)
            for one in entries
            if (one.aet, one.host, one.port) not in listed
        )


def _all(looks: Iterable[Look]) -> Iterator[Finding]:
    """Several at a time, told in their order."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="peer") as pool:
        yield from pool.map(lambda look: look(), looks)


def _backend(name: str, backend: Backend) -> Finding:
    what, where = f"backends.{name}", backend.url
    try:
        with closing(OrthancClient(name, backend, Journal())) as client:
            client.ping()
            capabilities = client.capabilities
    except (OrthancError, ConfigError) as error:
        says = error.comment if isinstance(error, OrthancError) else str(error)
        return Finding(what, where, State.FAILED, says, remedies.for_backend(name, says))
    return Finding(what, where, State.OK, f"Orthanc {capabilities.version}, C-FIND mode {capabilities.mode}")


def _destination(name: str, entry: Destination, calling_aet: str) -> Finding:
    address = Address(entry.aet, entry.host, entry.port)
    what = f"destinations.{name}"
    try:
        context = destination_context(name, entry)
        seconds = echo(address, entry.calling_aet or calling_aet, timeout=_TIMEOUT, ssl_context=context)
    except (EchoFailed, ConfigError, ProxyError, OSError) as error:
        remedy = remedies.for_destination(f"[destinations.{name}]", str(error))
        return Finding(what, str(address), State.FAILED, str(error), remedy)
    return Finding(what, str(address), State.OK, f"C-ECHO in {seconds * 1000:.0f} ms")


def _modality(name: str, address: Address, tls: bool, calling_aet: str) -> Finding:
    what = f"modality {name}"
    try:
        context = ssl.create_default_context() if tls else None
        seconds = echo(address, calling_aet, timeout=_TIMEOUT, ssl_context=context)
    except (EchoFailed, ProxyError, OSError) as error:
        remedy = remedies.for_destination("Orthanc's DicomModalities", str(error))
        return Finding(what, str(address), State.WARNING, str(error), remedy)
    return Finding(what, str(address), State.OK, f"C-ECHO in {seconds * 1000:.0f} ms")
