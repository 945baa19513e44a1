"""What stands behind every wire: which offers are let in, and who serves them.

An offer passes, in this order: draining, called AE title, what the peer can receive, certificate pins, access
rules, bounds on associations, and then negotiation of its contexts.
"""

import itertools
import logging
import threading
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from proxy import access
from proxy.access import Grant, KnownModality
from proxy.config import LimitsSettings, Listener, Pipeline
from proxy.dicom.messages import Admission, Offer, Peer, Refusal, Requestor
from proxy.dicom.negotiation import Supported, negotiate
from proxy.events import AssociationOpened, AssociationRefused
from proxy.journal import Journal
from proxy.scp.association import Association, Services
from proxy.scp.occupancy import Occupancy

_log = logging.getLogger(__name__)

_TRANSIENT, _PERMANENT = 2, 1
_SERVICE_USER, _PRESENTATION = 1, 3
_CONGESTION, _LOCAL_LIMIT = 1, 2


@dataclass(frozen=True, slots=True)
class ServedPipeline:
    """One AE title at work. `supported` and `modalities` are asked for each association: Orthanc may change them."""

    name: str
    settings: Pipeline
    services: Services
    supported: Callable[[], Supported]
    modalities: Callable[[], Collection[KnownModality]]


@dataclass(frozen=True, slots=True)
class _Rules:
    """All that a reload replaces, in one piece."""

    pipelines: Sequence[ServedPipeline]
    listener: Listener
    limits: LimitsSettings


class DicomApplication:
    """Implements `proxy.dicom.messages.Application`; thread-safe."""

    def __init__(
        self,
        pipelines: Sequence[ServedPipeline],
        listener: Listener,
        limits: LimitsSettings,
        occupancy: Occupancy,
        journal: Journal,
    ) -> None:
        self._rules = _Rules(pipelines, listener, limits)
        self._occupancy = occupancy
        self._journal = journal
        self._draining = threading.Event()
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        titles = ", ".join(pipeline.settings.aet for pipeline in self._rules.pipelines)
        return f"<DicomApplication {titles}{' draining' if self._draining.is_set() else ''}>"

    def replace(self, pipelines: Sequence[ServedPipeline], listener: Listener, limits: LimitsSettings) -> None:
        """Serve these from the next association on; open ones keep what they have."""
        self._rules = _Rules(pipelines, listener, limits)

    def drain(self) -> None:
        """Let nobody in any more."""
        self._draining.set()

    def admit(self, offer: Offer) -> Admission | Refusal:
        """Let the offer in, or say why not. Never raises."""
        try:
            verdict = self._admit(offer, self._rules)
        except Exception:
            _log.exception("an association request could not be decided")
            verdict = Refusal(_TRANSIENT, _PRESENTATION, _CONGESTION, "internal error, see the log")
        if isinstance(verdict, Refusal):
            self._tell_refusal(offer.calling_aet, offer.called_aet, offer.peer, verdict)
        return verdict

    def turned_away(self, peer: Peer, why: str) -> None:
        """Tell that a connection never became an association."""
        self._tell_refusal("", "", peer, Refusal(0, 0, 0, why))

    def _admit(self, offer: Offer, rules: _Rules) -> Admission | Refusal:
        if self._draining.is_set():
            return Refusal(_TRANSIENT, _PRESENTATION, _CONGESTION, "shutting down")
        pipeline = _called(offer.called_aet, rules)
        if pipeline is None:
            return access.unknown_called_aet(offer.called_aet)
        refusal = _out_of_bounds(offer, rules.limits) or access.pinned_elsewhere(
            rules.listener.tls.pins, offer.calling_aet, offer.peer
        )
        if refusal is not None:
            return refusal
        grant = access.decide(pipeline.name, pipeline.settings, offer, pipeline.modalities())
        if isinstance(grant, Refusal):
            return grant
        slot = self._occupancy.claim(offer.calling_aet, offer.peer.address, rules.limits)
        if isinstance(slot, str):
            why = f"[limits] {slot} = {getattr(rules.limits, slot)} is reached"
            return Refusal(_TRANSIENT, _PRESENTATION, _LOCAL_LIMIT, why)
        try:
            return self._open(offer, pipeline, grant, slot, rules.listener.max_pdu)
        except BaseException:
            self._occupancy.release(slot)
            raise

    def _open(self, offer: Offer, pipeline: ServedPipeline, grant: Grant, slot: int, max_pdu: int) -> Admission:
        contexts = negotiate(offer, pipeline.supported())
        requestor = Requestor(
            calling_aet=offer.calling_aet,
            called_aet=offer.called_aet,
            peer=offer.peer,
            association_id=uuid.uuid4().hex[:12],
            label=f"{offer.calling_aet}->{offer.called_aet}({next(self._numbers)})",
            implementation_version=offer.implementation_version,
        )
        association = Association(
            requestor,
            pipeline.name,
            grant,
            pipeline.services,
            receivable=frozenset(answer.abstract_syntax for answer in contexts if answer.result == 0 and answer.as_scp),
            journal=self._journal,
            release=partial(self._occupancy.release, slot),
        )
        self._tell_opened(requestor, pipeline.name)
        return Admission(association, contexts, max_pdu, _identity_response(offer, grant))

    def _tell_opened(self, requestor: Requestor, pipeline: str) -> None:
        self._journal.emit(
            AssociationOpened(
                association_id=requestor.association_id,
                label=requestor.label,
                calling_aet=requestor.calling_aet,
                called_aet=requestor.called_aet,
                address=requestor.peer.address,
                pipeline=pipeline,
                implementation_version=requestor.implementation_version,
                tls=requestor.peer.tls,
                port=requestor.peer.port,
                certificate_name=requestor.peer.certificate_name,
            )
        )

    def _tell_refusal(self, calling_aet: str, called_aet: str, peer: Peer, refusal: Refusal) -> None:
        self._journal.emit(
            AssociationRefused(
                calling_aet=calling_aet,
                called_aet=called_aet,
                address=peer.address,
                result=refusal.result,
                source=refusal.source,
                reason=refusal.reason,
                why=refusal.why,
            )
        )


def _called(called_aet: str, rules: _Rules) -> ServedPipeline | None:
    """The pipeline with that AE title: the very same, else in another case, else the first where none is checked."""
    title = called_aet.strip()
    exact = next((pipeline for pipeline in rules.pipelines if pipeline.settings.aet == title), None)
    alike = exact or next((p for p in rules.pipelines if access.same_aet(p.settings.aet, title)), None)
    return alike if alike is not None or rules.listener.check_called_aet else next(iter(rules.pipelines), None)


def _out_of_bounds(offer: Offer, limits: LimitsSettings) -> Refusal | None:
    if 0 < offer.max_pdu < limits.smallest_peer_pdu:
        why = f"it takes PDUs of {offer.max_pdu} bytes only; [limits] smallest_peer_pdu = {limits.smallest_peer_pdu}"
        return Refusal(_PERMANENT, _SERVICE_USER, access.NO_REASON, why)
    if len(offer.contexts) > limits.contexts:
        why = f"{len(offer.contexts)} presentation contexts; [limits] contexts = {limits.contexts}"
        return Refusal(_TRANSIENT, _PRESENTATION, _LOCAL_LIMIT, why)
    return None


def _identity_response(offer: Offer, grant: Grant) -> bytes | None:
    """A user identity that a rule checked is confirmed where that was asked for (PS3.7 D.3.3.7.2)."""
    identity = offer.user_identity
    return b"" if grant.identity_checked and identity is not None and identity.response_requested else None
