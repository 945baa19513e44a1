"""All that a conformance statement says, as plain data: from the settings, and what Orthanc takes and gives."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import orjson

from proxy import __version__
from proxy.config import Destination, LimitsSettings, Listener, Pipeline, Settings
from proxy.conformance.contexts import Contexts, accepted, beyond_the_standard, proposed
from proxy.conformance.statuses import (
    COMMANDS,
    Answer,
    Rejection,
    Taken,
    answers,
    failure_reasons,
    rejections,
    taken,
)
from proxy.dicom.contexts import STORAGE_CLASSES, TRANSFER_SYNTAXES
from proxy.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from proxy.dicom.negotiation import Supported

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"


@dataclass(frozen=True, slots=True)
class Operation:
    """A DIMSE operation that an AE performs as SCP: its statuses."""

    service: str
    command: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Entity:
    """One of our Application Entities. `beyond_*`: of SOP classes that PS3.6 does not name, too."""

    name: str
    aet: str
    description: str
    accepts: tuple[Contexts, ...]
    proposes: tuple[Contexts, ...]
    operations: tuple[Operation, ...]
    beyond_sent: bool
    beyond_received: bool
    access: str
    checks_user_identity: bool
    move_strategy: str
    archives: tuple[str, ...]
    store_mode: str

    def offers(self, service: str) -> bool:
        """Whether it is an SCP of that service, as in [pipelines.NAME] services."""
        return any(operation.service == service for operation in self.operations)

    @property
    def sends(self) -> bool:
        """Whether it is an SCU of storage classes, on anybody's association."""
        return any(contexts.service == "storage" and contexts.scu for contexts in (*self.accepts, *self.proposes))


@dataclass(frozen=True, slots=True)
class Remote:
    """An Application Entity that the settings name."""

    name: str
    aet: str
    host: str
    port: int
    tls: bool


@dataclass(frozen=True, slots=True)
class Security:
    """TLS of the listener; `client_certificate` as in [listener.tls]."""

    tls: bool
    tls_port: int | None
    client_certificate: str
    pinned: int


@dataclass(frozen=True, slots=True)
class Association:
    """What holds for all associations; times in seconds, lengths in bytes."""

    application_context: str
    implementation_class_uid: str
    implementation_version_name: str
    bind_address: str
    bind_port: int
    checks_called_aet: bool
    max_pdu: int
    limits: Mapping[str, int | float]


@dataclass(frozen=True, slots=True)
class Statement:
    """`origins`: what the settings were read from. `syntaxes_asked`: Orthanc was asked what it takes and gives."""

    product: str
    version: str
    origins: tuple[str, ...]
    syntaxes_asked: bool
    association: Association
    entities: tuple[Entity, ...]
    remotes: tuple[Remote, ...]
    rejections: tuple[Rejection, ...]
    taken: tuple[Taken, ...]
    failure_reasons: tuple[Answer, ...]
    security: Security


def statement_of(
    settings: Settings, *, origins: Collection[str] = (), syntaxes: Mapping[str, Collection[str]] | None = None
) -> Statement:
    """The statement for `settings`. `syntaxes`: by backend, those that Orthanc said it accepts; else all of PS3.6."""
    return Statement(
        product="orthanc-proxy",
        version=__version__,
        origins=tuple(origins),
        syntaxes_asked=syntaxes is not None,
        association=_association(settings.listener, settings.limits),
        entities=tuple(_entity(name, entry, settings, syntaxes or {}) for name, entry in settings.pipelines.items()),
        remotes=tuple(_remote(name, entry) for name, entry in settings.destinations.items()),
        rejections=rejections(settings.limits),
        taken=taken(),
        failure_reasons=failure_reasons(),
        security=_security(settings.listener),
    )


def as_json(statement: Statement) -> bytes:
    """The same for programs."""
    return orjson.dumps(statement, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _entity(name: str, pipeline: Pipeline, settings: Settings, syntaxes: Mapping[str, Collection[str]]) -> Entity:
    transfer_syntaxes = syntaxes.get(pipeline.backend, TRANSFER_SYNTAXES)
    supported = Supported(pipeline.services, STORAGE_CLASSES, transfer_syntaxes, pipeline.unknown_sop_classes)
    sent, received = beyond_the_standard(supported)
    return Entity(
        name=name,
        aet=pipeline.aet,
        description=pipeline.description,
        accepts=accepted(supported),
        proposes=proposed(pipeline, supported, forwards_by_dimse=_forwards_by_dimse(pipeline, settings)),
        operations=tuple(
            Operation(service, command, answers(command, pipeline, settings.limits))
            for service, command in COMMANDS.items()
            if service in pipeline.services
        ),
        beyond_sent=sent,
        beyond_received=received,
        access=pipeline.access,
        checks_user_identity=pipeline.access == "list" and any(rule.username for rule in pipeline.rules),
        move_strategy=pipeline.move_strategy,
        archives=tuple(pipeline.archives),
        store_mode=pipeline.store_mode,
    )


def _forwards_by_dimse(pipeline: Pipeline, settings: Settings) -> bool:
    """Whether anything that is received goes on by C-STORE."""
    targets = {*pipeline.forward_to, *(target for route in pipeline.routes for target in route.forward_to)}
    return "store" in pipeline.services and (
        pipeline.forward == "dimse" or not targets.isdisjoint(settings.destinations)
    )


def _association(listener: Listener, limits: LimitsSettings) -> Association:
    return Association(
        application_context=APPLICATION_CONTEXT,
        implementation_class_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version_name=IMPLEMENTATION_VERSION_NAME,
        bind_address=listener.bind_address,
        bind_port=listener.bind_port,
        checks_called_aet=listener.check_called_aet,
        max_pdu=listener.max_pdu,
        limits={name: getattr(limits, name) for name in type(limits).model_fields},
    )


def _remote(name: str, entry: Destination) -> Remote:
    return Remote(name, entry.aet, entry.host, entry.port, entry.tls)


def _security(listener: Listener) -> Security:
    tls = listener.tls
    port = None if tls.certificate is None else tls.bind_port or listener.bind_port
    return Security(tls.certificate is not None, port, tls.client_certificate, len(tls.pins))
