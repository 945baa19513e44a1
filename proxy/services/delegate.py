"""C-MOVE done by Orthanc: it sends what it holds itself, or asks an archive behind it to send.

Orthanc's jobs tell a percentage and no counts, and the counter of failed instances in their answers means something
else (instances deleted meanwhile). So counts are derived from progress: exact after a success; after a failure
what was not reported as sent is taken for failed.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic, sleep
from typing import Protocol

from proxy.dicom.level import NAMED_BY, Level
from proxy.dicom.messages import Located, Request, Response
from proxy.dicom.status import Status
from proxy.dicom.suboperations import SubOperations
from proxy.errors import OrthancError, OrthancRefused
from proxy.services.retrieve import not_counted_yet
from proxy.services.waiting import Background, Cancelled, waited

_POLL = 0.2  # seconds between two looks at a job

Resource = Mapping[str, str]
"""Unique keys of one patient, study, series or image: "StudyInstanceUID" -> UID, and so on."""


class Job(Protocol):
    """How far one of Orthanc's jobs is. `progress` is a percentage; `why` is Orthanc's text about a failure."""

    @property
    def is_over(self) -> bool: ...

    @property
    def succeeded(self) -> bool: ...

    @property
    def progress(self) -> int: ...

    @property
    def why(self) -> str: ...


class Orthanc(Protocol):
    """What Orthanc is asked to do. Everything may raise OrthancError."""

    def start_store(self, modality: str, instance_ids: Sequence[str], originator: tuple[str, int]) -> str:
        """Send these instances to a modality; the id of the job."""

    def start_move(self, modality: str, level: str, resources: Sequence[Resource], target_aet: str) -> str | None:
        """Have a modality send to `target_aet`; the id of the job, or None where all is done on return."""

    def job(self, job_id: str) -> Job:
        """How far a job is."""

    def cancel_job(self, job_id: str) -> None:
        """Stop a job."""

    def found(self, modality: str, level: str, resource: Resource, keywords: Sequence[str]) -> Sequence[Resource]:
        """Ask a modality by C-FIND for what it has of `resource`; each match as `keywords` -> value."""


def level_to_ask(level: Level) -> Level:
    """The level at which Orthanc can ask: it moves in the Study Root model, which has no patients (PS3.4 C.6.2.1)."""
    return "STUDY" if level == "PATIENT" else level


@dataclass(frozen=True, slots=True)
class Delegation:
    """Lets Orthanc send. `heartbeat` is in seconds."""

    orthanc: Orthanc
    heartbeat: float

    def store(
        self, request: Request, modality: str, located: Sequence[Located], background: Background
    ) -> Iterator[Response]:
        """Orthanc sends `located` to its modality, naming the requestor as Move Originator. The final one is last."""
        originator = request.requestor.calling_aet, request.message_id
        ids = [instance.instance_id for instance in located]
        yield from self._sent(
            request, located, partial(self.orthanc.start_store, modality, ids, originator), background
        )

    def move(
        self,
        request: Request,
        modality: str,
        level: Level,
        resources: Sequence[Resource],
        located: Sequence[Located],
        background: Background,
    ) -> Iterator[Response]:
        """Orthanc is asked, as `modality`, to send what was `located`. The final response is last."""
        start = partial(self.orthanc.start_move, modality, level, resources, request.move_destination)
        yield from self._sent(request, located, start, background)

    def from_archives(
        self,
        request: Request,
        archives: Sequence[str],
        level: Level,
        resources: Sequence[Resource],
        background: Background,
    ) -> Generator[Response, None, str]:
        """Each archive in turn sends what it has of `resources`; returns why something failed, "" if nothing did.

        What no archive has is no failure: nothing matched. Raises Cancelled, OrthancUnavailable.
        """
        level = level_to_ask(level)
        left, why = list(resources), ""
        for archive in archives:
            asking = background.submit(self._held_by, archive, level, left)
            there = yield from waited(asking, request, self.heartbeat, not_counted_yet)
            if any(there):
                named = [resource for matches in there for resource in matches]
                start = partial(self.orthanc.start_move, archive, level, named, request.move_destination)
                failure = yield from self._done(request, start, background, None)
                why = why or failure
                if not failure:
                    left = [resource for resource, matches in zip(left, there, strict=True) if not matches]
            if not left:
                return ""
        return why

    def _held_by(self, archive: str, level: Level, resources: Sequence[Resource]) -> list[Sequence[Resource]]:
        """What the archive has of each, named as a C-MOVE must name it; the same again where it cannot be asked."""
        try:
            return [self.orthanc.found(archive, level, resource, NAMED_BY[level]) for resource in resources]
        except OrthancRefused:
            return [[resource] for resource in resources]

    def _sent(
        self,
        request: Request,
        located: Sequence[Located],
        start: Callable[[], str | None],
        background: Background,
    ) -> Iterator[Response]:
        counts = SubOperations(len(located))
        try:
            why = yield from self._done(request, start, background, counts)
        except Cancelled:
            yield counts.response(Status.CANCEL)
            return
        status = Status.PROCESSING_FAILURE if why else Status.SUCCESS
        for instance in located[counts.completed :]:
            counts.record(instance.sop_instance_uid, status, why)
        yield counts.response(counts.final_status())

    def _done(
        self,
        request: Request,
        start: Callable[[], str | None],
        background: Background,
        counts: SubOperations | None,
    ) -> Generator[Response, None, str]:
        """Start it and wait until it is over; returns why it failed, "" if it did not. Raises Cancelled."""
        pending = counts.pending if counts is not None else not_counted_yet
        try:
            job_id = yield from self._started(request, background.submit(start), pending)
            if job_id is None:
                return ""
            return (yield from self._followed(request, job_id, background, counts, pending))
        except OrthancRefused as error:
            return error.comment

    def _started(
        self, request: Request, starting: Future[str | None], pending: Callable[[], Response]
    ) -> Generator[Response, None, str | None]:
        """The id of the job. Who leaves before Orthanc has told it has it cancelled as soon as that comes."""
        try:
            return (yield from waited(starting, request, self.heartbeat, pending))
        except BaseException:
            if not starting.cancel():
                starting.add_done_callback(self._abandon)
            raise

    def _abandon(self, starting: Future[str | None]) -> None:
        if not starting.cancelled() and starting.exception() is None and (job_id := starting.result()) is not None:
            self._cancel(job_id)

    def _cancel(self, job_id: str) -> None:
        with suppress(OrthancError):
            self.orthanc.cancel_job(job_id)

    def _followed(
        self,
        request: Request,
        job_id: str,
        background: Background,
        counts: SubOperations | None,
        pending: Callable[[], Response],
    ) -> Generator[Response, None, str]:
        """A Pending whenever there is progress, and at every heartbeat. Who leaves early takes the job along."""
        told = monotonic()
        over = False
        try:
            while True:
                looking = background.submit(self.orthanc.job, job_id)
                job = yield from waited(looking, request, self.heartbeat, pending)
                over = job.is_over
                if over:
                    return "" if job.succeeded else f"Orthanc's job failed: {job.why}"
                progressed = counts is not None and counts.advance(job.progress)
                if progressed or monotonic() - told >= self.heartbeat:
                    yield pending()
                    told = monotonic()
                if request.is_cancelled():
                    raise Cancelled
                sleep(_POLL)
        finally:
            if not over:
                self._cancel(job_id)
