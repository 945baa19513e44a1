"""The reporter of storage commitment, put together; requestors are found as Move Destinations are."""

import ssl
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from proxy.config import Settings
from proxy.errors import OrthancUnavailable
from proxy.journal import Journal
from proxy.orthanc.client import OrthancClient
from proxy.orthanc.holdings import holdings
from proxy.services.destinations import Destinations
from proxy.spool.spool import Spool
from proxy.spool.transactions import Transactions
from proxy.tls import destination_context
from proxy.workers.commitment import Address, CommitmentReporter, send_report


@dataclass(frozen=True, slots=True)
class Requestors:
    """Where the requestors of a pipeline take reports."""

    settings: Settings
    clients: Mapping[str, OrthancClient]
    contexts: Mapping[str, ssl.SSLContext | None]

    def resolve(self, pipeline: str, aet: str) -> Address:
        """Raises UnknownDestination, OrthancUnavailable."""
        client = _client(self.settings, self.clients, pipeline)
        found = Destinations(self.settings.destinations, client.modalities).resolve(aet)
        tls = self.contexts.get(found.name) if found.name else (ssl.create_default_context() if found.tls else None)
        return Address(found.aet, found.host, found.port, tls)


def requestors(settings: Settings, clients: Mapping[str, OrthancClient]) -> Requestors:
    """Raises ConfigError for TLS settings that are not usable."""
    contexts = {name: destination_context(name, entry) for name, entry in settings.destinations.items()}
    return Requestors(settings, clients, contexts)


def reporter(
    settings: Settings, clients: Mapping[str, OrthancClient], spool: Spool, journal: Journal
) -> CommitmentReporter:
    """Not yet started. Raises ConfigError, OSError."""

    def held(pipeline: str, uids: Iterable[str]) -> Mapping[str, Collection[str]]:
        return holdings(_client(settings, clients, pipeline), uids)

    return CommitmentReporter(
        Transactions(settings.storage.path),
        settings.commitment,
        waiting_uids=spool.waiting_uids,
        holdings=held,
        resolve=requestors(settings, clients).resolve,
        report=partial(send_report, timeout=settings.limits.connect_timeout),
        journal=journal,
    )


def _client(settings: Settings, clients: Mapping[str, OrthancClient], pipeline: str) -> OrthancClient:
    entry = settings.pipelines.get(pipeline)
    if entry is None:
        raise OrthancUnavailable(f"there is no pipeline {pipeline!r} any more")
    return clients[entry.backend]
