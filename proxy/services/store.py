"""Storage Service Class as SCP: C-STORE succeeds when the instance is safe, and not a moment earlier (PS3.4 B).

Safe means synced in our spool (`store_mode = "spool"`), or taken by every target (`"through"`). The data set is
never decoded: while it passes, its structure is walked and the few elements are picked out that must agree with the
command or that name its place in the spool.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.config import LimitsSettings, Pipeline
from proxy.dicom.messages import Response, Sink, StoreRequest
from proxy.dicom.status import Status, status_for
from proxy.dicom.structure import StructureError, Walker
from proxy.errors import InvalidInstance, ProxyError, SpoolFull
from proxy.events import Forwarded, Trouble
from proxy.journal import Journal
from proxy.spool.deadletters import DeadLetters
from proxy.spool.envelope import envelope_of
from proxy.spool.incoming import FLUSH_AT, Incoming
from proxy.spool.names import is_safe_uid
from proxy.spool.parcel import Target, is_final
from proxy.spool.progress import Progress, ProgressFiles
from proxy.spool.routing import targets_of
from proxy.spool.spool import Spool

_LOGGER = logging.getLogger(__name__)
_SOP_CLASS, _SOP_INSTANCE, _MODALITY = 0x00080016, 0x00080018, 0x00080060
_STUDY, _SERIES = 0x0020000D, 0x0020000E
_WANTED = frozenset({_SOP_CLASS, _SOP_INSTANCE, _MODALITY, _STUDY, _SERIES})
_IN_MEMORY = 1 << 20  # of an instance that passes through; beyond it goes to a file


@dataclass(frozen=True, slots=True)
class StoreService:
    """C-STORE for one pipeline. `targets` are needed for store_mode = "through" only."""

    name: str
    pipeline: Pipeline
    spool: Spool
    limits: LimitsSettings
    journal: Journal
    targets: Mapping[str, Target]

    def receive(self, request: StoreRequest) -> Sink:
        """Where the data set goes. Raises SpoolFull, InvalidInstance."""
        if not is_safe_uid(request.sop_instance_uid):
            raise InvalidInstance("SOP Instance UID is not a UID", mismatch=True)
        through = self.pipeline.store_mode == "through"
        envelope = envelope_of(self.name, request)
        try:
            incoming = self.spool.begin(envelope, _IN_MEMORY if through else FLUSH_AT)
        except OSError as error:
            raise self.unwritable(error) from error
        return _Arrival(self, incoming, through)

    def unwritable(self, error: OSError) -> SpoolFull:
        """What the peer is told; the administrator is told why."""
        what = f"the spool cannot be written: {error.strerror or error}"
        self.journal.emit(Trouble(where="spool", what=what, severity="error"))
        return SpoolFull("the spool cannot be written")


class _Arrival:
    """One data set as it arrives."""

    def __init__(self, service: StoreService, incoming: Incoming, through: bool) -> None:
        self._service = service
        self._incoming = incoming
        self._through = through
        envelope = incoming.envelope
        limits = service.limits
        self._walker = Walker(envelope.transfer_syntax, limits.nesting, _WANTED, max_bytes=limits.instance)
        self._too_deep = ""
        self._failure: Response | None = None

    def write(self, fragment: memoryview) -> None:
        """Take the next bytes; a failure is kept for `finish`."""
        if self._failure is not None:
            return
        try:
            if self._incoming.size + len(fragment) > self._service.limits.instance:
                raise SpoolFull("instance is longer than allowed")
            if not self._too_deep:
                self._walk(fragment)
            self._incoming.write(fragment)
        except (ProxyError, OSError) as error:
            self._fail(error)

    def finish(self) -> Response:
        """All has come: make it safe, and answer."""
        if self._failure is None:
            try:
                return self._finish()
            except (ProxyError, OSError) as error:
                return self._fail(error)
            finally:
                self._service.spool.end(self._incoming)
        return self._failure

    def abandon(self) -> None:
        """The sender is gone: leave nothing behind."""
        self._service.spool.end(self._incoming)

    def _finish(self) -> Response:
        if self._too_deep:
            return self._bury()
        try:
            self._walker.finish()
        except StructureError as error:
            raise InvalidInstance(f"Data set: {error}") from error
        self._complete()
        if self._through:
            return self._pass_through()
        self._service.spool.accept(self._incoming)
        return Response(Status.SUCCESS)

    def _walk(self, fragment: memoryview) -> None:
        try:
            self._walker.feed(fragment)
        except StructureError as error:
            if not error.too_deep:
                raise InvalidInstance(f"Data set: {error}") from error
            self._too_deep = str(error)

    def _complete(self) -> None:
        """Compare with the command; find the place in the spool. Raises InvalidInstance."""
        envelope = self._incoming.envelope
        if self._text(_SOP_CLASS) != envelope.sop_class_uid:
            raise InvalidInstance("SOP Class UID differs from the command's", mismatch=True)
        if self._text(_SOP_INSTANCE) != envelope.sop_instance_uid:
            raise InvalidInstance("SOP Instance UID differs from the command's", mismatch=True)
        study, series = self._text(_STUDY), self._text(_SERIES)
        for name, uid in (("Study", study), ("Series", series)):
            if not uid:
                raise InvalidInstance(f"{name} Instance UID is missing", mismatch=True)
            if not is_safe_uid(uid):
                raise InvalidInstance(f"{name} Instance UID is not a UID", mismatch=True)
        self._incoming.complete(study, series, self._text(_MODALITY))

    def _text(self, tag: int) -> str:
        return self._walker.found.get(tag, b"").decode("ascii", "replace").strip(" \0")

    def _bury(self) -> Response:
        """Orthanc up to 1.12 dies of such an instance: keep it from there, but keep it."""
        self._incoming.complete("", "", "")
        DeadLetters(self._service.spool).bury_arrival(self._incoming, self._too_deep)
        what = f"an instance from {self._incoming.envelope.calling_aet} is a dead letter: {self._too_deep}"
        self._service.journal.emit(Trouble(where="spool", what=what))
        return Response(Status.UNABLE_TO_PROCESS, comment=f"Data set: {self._too_deep}")

    def _pass_through(self) -> Response:
        """Every target must confirm; what cannot be delivered now is spooled or refused, as the pipeline says."""
        service, envelope = self._service, self._incoming.envelope
        done: list[str] = []
        if service.spool.holds_another(envelope):  # it came earlier, and must not arrive later
            if service.pipeline.through_fallback == "refuse":
                raise SpoolFull("an earlier instance of this UID still waits")
            return self._fall_back(done)
        for name in targets_of(service.pipeline, envelope.calling_aet, envelope.modality, envelope.sop_class_uid):
            try:
                self._deliver(service.targets[name])
                done.append(name)
            except ProxyError as error:
                if is_final(error) or service.pipeline.through_fallback == "refuse":
                    raise
                return self._fall_back(done)
        return Response(Status.SUCCESS)

    def _deliver(self, target: Target) -> None:
        outcome, why = "delivered", ""
        try:
            with self._incoming.parcel() as parcel:
                _log_words(target, target.deliver(parcel))
        except ProxyError as error:
            outcome, why = "dead" if is_final(error) else "retry", error.comment
            raise
        finally:
            event = Forwarded(
                pipeline=self._service.name, target=target.name, outcome=outcome, why=why, bytes=self._incoming.size
            )
            self._service.journal.emit(event)

    def _fall_back(self, done: list[str]) -> Response:
        if done:
            files = ProgressFiles(self._service.spool.root / ".state")
            files.write(self._incoming.envelope.id, Progress(frozenset(done)))
        self._service.spool.accept(self._incoming)
        return Response(Status.SUCCESS)

    def _fail(self, error: ProxyError | OSError) -> Response:
        """Remember the answer, and give the room back at once."""
        self._service.spool.end(self._incoming)
        told = error if isinstance(error, ProxyError) else self._service.unwritable(error)
        self._failure = Response(status_for(told, "C-STORE"), comment=told.comment)
        return self._failure


def _log_words(target: Target, words: str) -> None:
    if words:
        _LOGGER.info("%s: %s", target.name, words)
