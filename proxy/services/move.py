"""C-MOVE (PS3.4 C.4.2): what Orthanc holds of the request, sent to a Move Destination.

Three ways: `direct`, by us on associations of our own; `orthanc-store` and `orthanc-move`, by Orthanc. What Orthanc
does not hold may be had from archives behind it. Of a list of UIDs each is located by itself then, because only so
those that Orthanc has can be told from the others.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from proxy.config import LimitsSettings, Pipeline
from proxy.dicom.contexts import Proposal, proposals
from proxy.dicom.identifier import RetrieveKeys, retrieve_keys
from proxy.dicom.level import UNIQUE_KEYS, Level
from proxy.dicom.messages import Counts, Located, Receiver, Request, Response
from proxy.dicom.status import PENDING, Status
from proxy.errors import DestinationUnreachable, OrthancError
from proxy.services.delegate import Delegation, Resource, level_to_ask
from proxy.services.destinations import Destinations, MoveDestination, OpenReceiver
from proxy.services.get import Locate
from proxy.services.retrieve import Batch, Retrieval, not_counted_yet, nothing_matched, too_many
from proxy.services.waiting import Background, Cancelled, waited

_KEYWORDS = {
    0x00100020: "PatientID",
    0x00080050: "AccessionNumber",
    0x0020000D: "StudyInstanceUID",
    0x0020000E: "SeriesInstanceUID",
    0x00080018: "SOPInstanceUID",
}


@dataclass(frozen=True, slots=True)
class MoveService:
    """Answers C-MOVE.

    `own_modality` tells Orthanc's name for its entry of itself, `unique_keys` what was located at some level, as a
    C-MOVE has to name it; both raise OrthancError.
    """

    pipeline: Pipeline
    limits: LimitsSettings
    locate: Locate
    retrieval: Retrieval
    destinations: Destinations
    open_receiver: OpenReceiver
    delegation: Delegation
    own_modality: Callable[[], str]
    unique_keys: Callable[[Level, Sequence[Located]], Sequence[Resource]]

    def answer(self, request: Request) -> Iterator[Response]:
        """Pendings with counts, then the final response. Raises ProxyError."""
        keys = retrieve_keys(request.identifier, request.transfer_syntax, self.limits)
        request.tally.level = keys.level
        background = self.retrieval.background()
        try:
            yield from self._answer(request, keys, background)
        except Cancelled:
            yield Response(Status.CANCEL, counts=Counts(0))
        finally:
            background.close()

    def _answer(self, request: Request, keys: RetrieveKeys, background: Background) -> Iterator[Response]:
        looking = background.submit(self._look_up, keys, request.move_destination)
        destination, located, missing = yield from waited(looking, request, self.retrieval.heartbeat, not_counted_yet)
        if len(located) > self.limits.suboperations:
            yield too_many(len(located), self.limits.suboperations)
            return
        why = ""
        if missing:
            why = yield from self.delegation.from_archives(
                request, self.pipeline.archives, keys.level, missing, background
            )
        if located:
            yield from _although(why, self._sent(request, keys, destination, located, background))
        elif why:
            yield Response(Status.UNABLE_TO_PERFORM, comment=why[:64], counts=Counts(None))
        else:
            yield nothing_matched()

    def _look_up(self, keys: RetrieveKeys, aet: str) -> tuple[MoveDestination, list[Located], list[Resource]]:
        """Where it goes, what Orthanc holds, and what an archive has to be asked for. Raises ProxyError."""
        by_us = self.pipeline.move_strategy == "direct"
        destination = self.destinations.resolve(aet) if by_us else self.destinations.in_orthanc(aet)
        located = self.locate(keys)
        if by_us:
            located = [self._described(instance) for instance in located]
        return destination, located, self._missing(keys, located) if self.pipeline.archives else []

    def _described(self, located: Located) -> Located:
        """With SOP class and transfer syntax, which a context has to be proposed for; read where nobody told them."""
        if located.sop_class_uid and located.transfer_syntax:
            return located
        try:
            held = self.retrieval.instances.fetch(located)
        except OrthancError:
            return located  # fails when its turn comes
        try:
            return replace(located, sop_class_uid=held.sop_class_uid, transfer_syntax=held.transfer_syntax)
        finally:
            held.close()

    def _missing(self, keys: RetrieveKeys, located: Sequence[Located]) -> list[Resource]:
        """What Orthanc does not hold of the request."""
        members = _members(keys)
        if not located or len(members) == 1:
            return [] if located else [_resource(member) for member in members]
        held = {instance.sop_instance_uid for instance in located}
        if keys.level == "IMAGE":
            return [_resource(member) for member in members if held.isdisjoint(member.values[UNIQUE_KEYS["IMAGE"]])]
        return [_resource(member) for member in members if not self.locate(member)]

    def _sent(
        self,
        request: Request,
        keys: RetrieveKeys,
        destination: MoveDestination,
        located: Sequence[Located],
        background: Background,
    ) -> Iterator[Response]:
        match self.pipeline.move_strategy:
            case "orthanc-store":
                return self.delegation.store(request, destination.modality, located, background)
            case "orthanc-move":
                level = level_to_ask(keys.level)
                resources = self.unique_keys(level, located)
                return self.delegation.move(request, self.own_modality(), level, resources, located, background)
        return self.retrieval.run(request, self._batches(request, destination, located), background)

    def _batches(self, request: Request, destination: MoveDestination, located: Sequence[Located]) -> list[Batch]:
        """One association if its contexts suffice, else one for each 128 of them."""
        needs = ((i.sop_class_uid, i.transfer_syntax) for i in located if i.sop_class_uid and i.transfer_syntax)
        associations = proposals(needs) or [[]]
        homes = {sop_class: number for number, contexts in enumerate(associations) for sop_class, _ in contexts}
        shares: list[list[Located]] = [[] for _ in associations]
        for instance in located:
            shares[homes.get(instance.sop_class_uid, 0)].append(instance)
        return [
            Batch(share, open=partial(self._open, request, destination, contexts))
            for share, contexts in zip(shares, associations, strict=True)
        ]

    def _open(self, request: Request, destination: MoveDestination, contexts: Sequence[Proposal]) -> Receiver:
        """Raises DestinationUnreachable."""
        if not contexts:
            raise DestinationUnreachable("Orthanc does not give out what it holds")
        return self.open_receiver(
            destination,
            calling_aet=destination.calling_aet or self.pipeline.aet,
            contexts=contexts,
            originator=(request.requestor.calling_aet, request.message_id),
        )


def _members(keys: RetrieveKeys) -> list[RetrieveKeys]:
    """The same keys for each single value of the list at their level."""
    own = UNIQUE_KEYS[keys.level]
    own = own if own in keys.values else next(tag for tag in keys.values if tag not in UNIQUE_KEYS.values())
    return [RetrieveKeys(keys.level, {**keys.values, own: (value,)}) for value in keys.values[own]]


def _resource(keys: RetrieveKeys) -> Resource:
    """The keys in Orthanc's words; a list among the higher ones is left out, the lowest key is unique without it."""
    return {_KEYWORDS[tag]: values[0] for tag, values in keys.values.items() if len(values) == 1}


def _although(why: str, responses: Iterator[Response]) -> Iterator[Response]:
    """The responses; a final success becomes a warning where an archive failed to send the other part."""
    for response in responses:
        if why and response.status not in PENDING and response.status == Status.SUCCESS:
            response = replace(response, status=Status.SUBOPERATIONS_WARNING, comment=why[:64])
        yield response
