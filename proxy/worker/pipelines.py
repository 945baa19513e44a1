"""From [pipelines.NAME] to a served AE title: its services, joined with the Orthanc, cache and spool they need."""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from proxy.cache.instances import InstanceCache
from proxy.config import Pipeline, Settings
from proxy.dicom.contexts import STORAGE_CLASSES, TRANSFER_SYNTAXES, Proposal
from proxy.dicom.messages import Receiver
from proxy.dicom.negotiation import Supported
from proxy.journal import Journal
from proxy.orthanc.client import OrthancClient
from proxy.orthanc.hierarchy import unique_keys
from proxy.orthanc.holdings import holdings
from proxy.orthanc.modalities import Modality
from proxy.orthanc.revisits import Revisits
from proxy.orthanc.search import search
from proxy.scp.application import ServedPipeline
from proxy.scp.association import Answer, Services
from proxy.scp.stock.receiver import open_receiver as open_stock_receiver
from proxy.services.commitment import CommitmentService
from proxy.services.delegate import Delegation
from proxy.services.destinations import Destinations, MoveDestination, own_modality
from proxy.services.echo import answer_echo
from proxy.services.find import FindService
from proxy.services.get import GetService
from proxy.services.move import MoveService
from proxy.services.retrieve import Retrieval
from proxy.services.store import StoreService
from proxy.services.transcoding import Transcoding
from proxy.spool.spool import Spool
from proxy.spool.transactions import Transactions
from proxy.tls import destination_context
from proxy.wire import open_receiver as open_fast_receiver
from proxy.workers.targets import targets_of


@dataclass(frozen=True, slots=True)
class Doors:
    """What a worker keeps open for all its pipelines: by backend name, and the spool."""

    clients: Mapping[str, OrthancClient]
    caches: Mapping[str, InstanceCache]
    revisits: Mapping[str, Revisits]
    spool: Spool
    transactions: Transactions

    @classmethod
    def open(cls, settings: Settings, journal: Journal) -> "Doors":
        """Raises ConfigError for backends whose settings are not usable, OSError for a storage that is not."""
        clients = {name: OrthancClient(name, backend, journal) for name, backend in settings.backends.items()}
        folder = settings.storage.path / "cache"
        caches = {
            name: InstanceCache(folder, settings.cache, journal, client.download, client.ask)
            for name, client in clients.items()
        }
        next(iter(caches.values())).start()  # they share one folder
        return cls(
            clients,
            caches,
            {name: Revisits(client) for name, client in clients.items()},
            Spool(settings.storage.path, settings.spool),
            Transactions(settings.storage.path),
        )

    def close(self) -> None:
        """Let go of everything."""
        for client in self.clients.values():
            client.close()
        for cache in self.caches.values():
            cache.close()
        self.spool.close()


@dataclass(frozen=True, slots=True)
class Workshop:
    """Makes pipelines out of settings, also of settings that were read again."""

    doors: Doors
    journal: Journal

    def pipelines(self, settings: Settings) -> list[ServedPipeline]:
        """All of them, in the order of the configuration. Raises ConfigError."""
        contexts = {name: destination_context(name, entry) for name, entry in settings.destinations.items()}
        return [self._pipeline(name, pipeline, settings, contexts) for name, pipeline in settings.pipelines.items()]

    def _pipeline(
        self, name: str, pipeline: Pipeline, settings: Settings, contexts: Mapping[str, ssl.SSLContext | None]
    ) -> ServedPipeline:
        client = self.doors.clients[pipeline.backend]
        revisits = self.doors.revisits[pipeline.backend]
        answers: dict[str, Answer] = {"echo": answer_echo}
        answers["find"] = FindService(partial(search, client), client.default_encoding, settings.limits).answer
        retrieval = self._retrieval(pipeline, settings)
        answers["get"] = GetService(settings.limits, revisits.locate, retrieval).answer
        answers["move"] = MoveService(
            pipeline=pipeline,
            limits=settings.limits,
            locate=revisits.locate,
            retrieval=retrieval,
            destinations=Destinations(settings.destinations, client.modalities),
            open_receiver=_Opener(settings, contexts),
            delegation=Delegation(client, settings.listener.heartbeat_interval),
            own_modality=partial(own_modality, client, client.backend.self_modality),
            unique_keys=partial(unique_keys, client),
        ).answer
        answers["commitment"] = CommitmentService(
            name,
            pipeline,
            settings.limits,
            self.doors.transactions,
            self.doors.spool.waiting_uids,
            partial(holdings, client),
        ).answer
        through = targets_of(settings, self.doors.clients, confirm=False)  # the sender waits: Orthanc's 200 will do
        store = StoreService(name, pipeline, self.doors.spool, settings.limits, self.journal, through)
        services = Services(
            {service: answer for service, answer in answers.items() if service in pipeline.services},
            store.receive if "store" in pipeline.services else None,
        )
        return ServedPipeline(name, pipeline, services, _Supports(pipeline, client).now, partial(_modalities, client))

    def _retrieval(self, pipeline: Pipeline, settings: Settings) -> Retrieval:
        client, cache = self.doors.clients[pipeline.backend], self.doors.caches[pipeline.backend]
        folder = settings.storage.path / "cache"
        transcoding = Transcoding(client.transcoded, cache.fetch, folder, int(settings.limits.instance))
        return Retrieval(cache, transcoding.convert, client.backend.downloads, settings.listener.heartbeat_interval)


@dataclass(frozen=True, slots=True)
class _Opener:
    """Opens associations with Move Destinations on the wire that the listener uses, too."""

    settings: Settings
    contexts: Mapping[str, ssl.SSLContext | None]

    def __call__(
        self,
        destination: MoveDestination,
        *,
        calling_aet: str,
        contexts: Sequence[Proposal],
        originator: tuple[str, int],
    ) -> Receiver:
        """Raises DestinationUnreachable."""
        listener = self.settings.listener
        open_receiver = open_stock_receiver if listener.wire == "stock" else open_fast_receiver
        return open_receiver(
            (destination.host, destination.port),
            calling_aet=calling_aet,
            called_aet=destination.aet,
            contexts=contexts,
            originator=originator,
            limits=self.settings.limits,
            tls=self._tls(destination),
            max_pdu=listener.max_pdu,
        )

    def _tls(self, destination: MoveDestination) -> ssl.SSLContext | None:
        """Of a configured destination its own; one that only Orthanc knows is checked by the system's authorities."""
        if destination.name:
            return self.contexts.get(destination.name)
        return ssl.create_default_context() if destination.tls else None


@dataclass(frozen=True, slots=True)
class _Supports:
    """What an AE title negotiates; Orthanc says which transfer syntaxes, as long as it can be asked."""

    pipeline: Pipeline
    client: OrthancClient

    def now(self) -> Supported:
        """Asked in the front door's thread: never waits and never raises."""
        known = self.client.known_transfer_syntaxes()
        syntaxes = frozenset(known) if known is not None else TRANSFER_SYNTAXES
        return Supported(self.pipeline.services, STORAGE_CLASSES, syntaxes, self.pipeline.unknown_sop_classes)


def _modalities(client: OrthancClient) -> list[Modality]:
    """Orthanc's AE titles as last heard; none before that, so that access = "orthanc" grants its defaults only."""
    return list((client.known_modalities() or {}).values())
