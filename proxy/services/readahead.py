"""Preparing instances ahead of the receiver: found in the cache or downloaded, and brought into a form it takes.

While everything is hot, one instance is prepared in the caller's own thread during the time the receiver digests
the one before. So is a small one that has to be downloaded: handing it from thread to thread would take longer than
Orthanc does. From the first instance on that is slow or large or has to be converted, a few threads work ahead, within
a window that is bounded in number and in bytes; what is long is sent while it is still coming.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from proxy.dicom.contexts import How, sending
from proxy.dicom.messages import Located, Outgoing
from proxy.errors import NoAcceptableContext, OrthancUnavailable, ProxyError
from proxy.services.waiting import Background

_WINDOW = 16  # instances
_WINDOW_BYTES = 64 << 20  # beyond it, one at a time
_QUICK = 1024 << 10  # bytes; files up to here are downloaded in the caller's thread
_LONG = 4 << 20  # bytes; longer files are sent while they are downloaded
_PATIENCE = 0.5  # seconds until that is given up, and others do it: the requestor must hear from us, and may cancel
_GIVE_UP_AFTER = 3  # downloads in a row that Orthanc was not there for


class Held(Protocol):
    """An instance whose bytes are at hand, until `close`."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    data: memoryview
    was_hit: bool

    def close(self) -> None:
        """Give the bytes back."""


class Growing(Protocol):
    """An instance of which the rest is still to come: `pieces` waits for it. `size`: bytes of its data set."""

    @property
    def sop_class_uid(self) -> str: ...
    @property
    def sop_instance_uid(self) -> str: ...
    @property
    def transfer_syntax(self) -> str: ...
    @property
    def size(self) -> int: ...
    def pieces(self) -> Iterator[memoryview]: ...
    def close(self) -> None: ...


class Coming(Protocol):
    """An instance that Orthanc was asked for already; to be taken or closed."""

    @property
    def located(self) -> Located: ...
    def take(self, patience: float) -> Held: ...
    def close(self) -> None: ...


Started = Callable[[Growing], None]


class Instances(Protocol):
    """Where instances come from."""

    def lookup(self, located: Located) -> Held | None:
        """The cached instance, without waiting for anything but the disk; None = it must be fetched."""

    def fetch(self, located: Located, patience: float = 0.0, started: Started | None = None) -> Held:
        """The instance, downloaded where it is not cached; within `patience` seconds, if not 0. Raises OrthancError.

        `started` is told in mid-download as soon as the instance can be sent, where that is possible.
        """

    def ask(self, located: Located) -> Coming | None:
        """Ask Orthanc for what will be wanted next; None where nothing is gained by it. Does not wait."""


Convert = Callable[[Located, Held | None, Sequence[str]], Outgoing]
"""Brings an instance into one of the accepted transfer syntaxes. Takes over what is held, and closes it.

None is held where nothing is cached and the stored bytes might not be needed. Raises ProxyError.
"""


@dataclass(slots=True)
class Prepared:
    """An instance ready to be sent, or the error that prevents it."""

    located: Located
    outgoing: Outgoing | None = None
    error: ProxyError | None = None
    size: int = 0
    was_hit: bool = False


class ReadAhead:
    """Hands out `located` in order, each prepared for a receiver that takes what `accepts` says."""

    def __init__(
        self,
        located: Sequence[Located],
        instances: Instances,
        convert: Convert,
        accepts: Callable[[str], Sequence[str]],
        background: Background,
    ) -> None:
        self._located = located
        self._instances = instances
        self._convert = convert
        self._accepts = accepts
        self._background = background
        self._queue: deque[Prepared | Future[Prepared]] = deque()
        self._position = 0
        self._bytes = 0  # of what is in the queue
        self._deep = False
        self._is_quick = True  # does Orthanc answer without delay?
        self._coming: Coming | None = None
        self._verdicts: dict[tuple[str, str], NoAcceptableContext | None] = {}
        self._absent = 0  # downloads in a row that Orthanc was not there for

    def fill(self) -> None:
        """Prepare, or start to prepare, what fits into the window. Does not wait."""
        while self._position < len(self._located) and self._has_room():
            located = self._located[self._position]
            entry = self._hot(located)
            if isinstance(entry, Future):
                self._deep = True
            self._queue.append(entry)
            self._position += 1
            self._bytes += located.size
            if not self._deep:
                return

    def next(self) -> Prepared | Future[Prepared]:
        """The next in order; a Future where it is still being prepared. Raises IndexError after the last."""
        if not self._queue:
            self.fill()
        entry = self._queue.popleft()
        self._bytes -= self._located[self._position - len(self._queue) - 1].size
        return entry

    def close(self) -> None:
        """Give everything back that was prepared and not handed out."""
        self._position = len(self._located)
        if self._coming is not None:
            self._coming.close()
        for entry in self._queue:
            if isinstance(entry, Future):
                discard(entry)
            elif entry.outgoing is not None:
                entry.outgoing.close()
        self._queue.clear()

    def _has_room(self) -> bool:
        if not self._queue:
            return True
        limit = _WINDOW if self._deep else 1
        size = self._located[self._position].size
        return len(self._queue) < limit and self._bytes + size <= _WINDOW_BYTES

    def _hot(self, located: Located) -> Prepared | Future[Prepared]:
        hopeless = self._hopeless(located)
        if hopeless is not None:
            return Prepared(located, error=hopeless)
        held = self._taken(located) or self._instances.lookup(located) or self._fetched_at_once(located)
        if held is None:
            return self._streamed(located) if located.size > _LONG else self._background.submit(self._fetched, located)
        if self._fits(held):
            return self._as_stored(located, held)
        return self._background.submit(self._converted, located, held)

    def _taken(self, located: Located) -> Held | None:
        """What Orthanc was asked for when the one before was at hand."""
        coming, self._coming = self._coming, None
        if coming is None:
            return None
        if coming.located is not located:
            coming.close()
            return None
        return self._at_once(lambda: coming.take(_PATIENCE))

    def _fetched_at_once(self, located: Located) -> Held | None:
        """A small instance, downloaded here and now; None where that is not promising or does not work out."""
        if not self._is_promising(located):
            return None
        return self._at_once(lambda: self._instances.fetch(located, _PATIENCE))

    def _at_once(self, get: Callable[[], Held]) -> Held | None:
        """Not from the cache, so that the next one will not be there either: Orthanc can look for it meanwhile."""
        try:
            held = get()
        except ProxyError:
            self._is_quick = False
            return None
        following = self._position + 1
        if following < len(self._located) and self._is_promising(self._located[following]):
            self._coming = self._instances.ask(self._located[following])
        return held

    def _is_promising(self, located: Located) -> bool:
        return (
            not self._deep
            and self._is_quick
            and 0 < located.size <= _QUICK
            and self._hopeless(located) is None
            and not self._to_transcode(located)
        )

    def _hopeless(self, located: Located) -> NoAcceptableContext | None:
        """Why it is no use to fetch this instance, as far as Orthanc's listing tells."""
        if not located.sop_class_uid:
            return None
        kind = located.sop_class_uid, located.transfer_syntax
        if kind not in self._verdicts:
            self._verdicts[kind] = self._verdict(located)
        return self._verdicts[kind]

    def _verdict(self, located: Located) -> NoAcceptableContext | None:
        accepted = self._accepts(located.sop_class_uid)
        if not accepted:
            return NoAcceptableContext("the receiver does not accept this SOP class")
        if located.transfer_syntax and sending(located.transfer_syntax, accepted).how is How.IMPOSSIBLE:
            return NoAcceptableContext("the receiver accepts no fitting transfer syntax")
        return None

    def _streamed(self, located: Located) -> Future[Prepared]:
        """Ready when the beginning is there, where it can be sent as it is."""
        ready: Future[Prepared] = Future()
        ready.set_running_or_notify_cancel()  # what it brings has to be closed, whoever waits for it or not
        self._background.submit(self._stream, located, ready)
        return ready

    def _stream(self, located: Located, ready: Future[Prepared]) -> None:
        def started(growing: Growing) -> None:
            if growing.size % 2 or growing.transfer_syntax not in self._accepts(growing.sop_class_uid):
                growing.close()
                return
            uids = growing.sop_class_uid, growing.sop_instance_uid, growing.transfer_syntax
            ready.set_result(Prepared(located, Outgoing(*uids, growing.pieces(), growing.close), size=growing.size))

        try:
            prepared = self._fetched(located, started)
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
            raise
        if not ready.done():
            ready.set_result(prepared)
        elif prepared.outgoing is not None:
            prepared.outgoing.close()

    def _fetched(self, located: Located, started: Started | None = None) -> Prepared:
        """Runs in the background: download, and convert where needed."""
        if self._absent >= _GIVE_UP_AFTER:
            return Prepared(located, error=OrthancUnavailable("Orthanc does not answer"))
        try:
            if self._to_transcode(located):
                prepared = self._converted(located, None)
            else:
                prepared = self._sendable(located, self._instances.fetch(located, started=started))
        except ProxyError as error:
            prepared = Prepared(located, error=error)
        self._absent = self._absent + 1 if isinstance(prepared.error, OrthancUnavailable) else 0
        return prepared

    def _to_transcode(self, located: Located) -> bool:
        """True where Orthanc is asked for another form, so that the stored one is not downloaded in vain."""
        if not located.sop_class_uid or not located.transfer_syntax:
            return False
        return sending(located.transfer_syntax, self._accepts(located.sop_class_uid)).how is How.TRANSCODE

    def _sendable(self, located: Located, held: Held) -> Prepared:
        return self._as_stored(located, held) if self._fits(held) else self._converted(located, held)

    def _fits(self, held: Held) -> bool:
        """As it is? A data set of odd length does not: no PDV may be odd, and DCMTK aborts when one is."""
        return len(held.data) % 2 == 0 and held.transfer_syntax in self._accepts(held.sop_class_uid)

    def _converted(self, located: Located, held: Held | None) -> Prepared:
        accepted = self._accepts(held.sop_class_uid if held is not None else located.sop_class_uid)
        was_hit = held is not None and held.was_hit
        try:
            outgoing = self._convert(located, held, accepted)
        except ProxyError as error:
            return Prepared(located, error=error, was_hit=was_hit)
        size = len(outgoing.data) if isinstance(outgoing.data, memoryview) else located.size
        return Prepared(located, outgoing, size=size, was_hit=was_hit)

    def _as_stored(self, located: Located, held: Held) -> Prepared:
        outgoing = Outgoing(held.sop_class_uid, held.sop_instance_uid, held.transfer_syntax, held.data, held.close)
        return Prepared(located, outgoing, size=len(held.data), was_hit=held.was_hit)


def discard(future: Future[Prepared]) -> None:
    """Give back what `future` brings, whenever it does."""
    if not future.cancel():
        future.add_done_callback(_close_result)


def _close_result(future: Future[Prepared]) -> None:
    if not future.cancelled() and future.exception() is None:
        outgoing = future.result().outgoing
        if outgoing is not None:
            outgoing.close()
