"""How the forwarder learns what waits: whoever receives tells it, and it looks for itself where news may be missing."""

import logging
import threading
import time
from collections.abc import Callable
from itertools import groupby

from proxy.spool.arrivals import Listener
from proxy.spool.names import Name
from proxy.spool.spool import Spool
from proxy.spool.waiting import Waiting
from proxy.workers.waiting_room import WaitingRoom

_LOGGER = logging.getLogger(__name__)
_LISTEN = 0.5  # seconds between two looks at what else there is to do
_HOUSEKEEPING = 30.0
_EMPTY_FOLDER_AGE = 60.0
_TELL_AGAIN = 600.0


class News:
    """Fills `room`, under its lock `changed`. `complain` gets words for the administrator."""

    def __init__(
        self,
        spool: Spool,
        room: WaitingRoom,
        changed: threading.Condition,
        clock: Callable[[], float],
        complain: Callable[[str], None],
    ) -> None:
        self._spool = spool
        self._room = room
        self._changed = changed
        self._clock = clock
        self._complain = complain
        self._stopping = False
        self._missed = -1
        self._unreadable = False
        self._told: dict[str, float] = {}
        self.arrived_at = float("-inf")  # monotonic
        self.thread = threading.Thread(target=self._run, name="spool-news", daemon=True)

    def start(self) -> None:
        """Look, then listen. Raises OSError."""
        self._listener = Listener(self._spool.pipe)
        self.thread.start()

    def stop(self) -> None:
        """Hear no more."""
        self._stopping = True
        if self.thread.is_alive():
            self._listener.wake()

    def close(self) -> None:
        """Close the pipe, once the thread has ended."""
        self._listener.close()

    def look_again(self) -> None:
        """Something is not as it was told."""
        self._missed = -1

    def disk_fails(self, error: OSError) -> str:
        """In words. It is told now and then, and what may have been missed by it is looked for later."""
        self._unreadable = True
        words = f"the disk of the spool fails: {error.strerror or type(error).__name__}"
        if self._clock() - self._told.get(words, float("-inf")) > _TELL_AGAIN:
            self._told[words] = self._clock()
            # Where it fails has UIDs in it: that is for the command to say
            self._complain(f"{words}; what is there is tried again (`orthanc-proxy spool list` says where it stops)")
        return words

    def _run(self) -> None:
        chores = self._clock()
        while not self._stopping:
            try:
                if self._spool.ledger.missed != self._missed:
                    self._look()
                for line in self._listener.lines(_LISTEN):
                    self._hear(line)
                if self._clock() >= chores:
                    chores = self._clock() + _HOUSEKEEPING
                    self._tidy()
            except Exception as error:
                self._unreadable = True  # what has come with this news and is not known now is looked for later
                self._complain(f"the spool cannot be read: {type(error).__name__}")
                _LOGGER.debug("reading the spool", exc_info=True)
                time.sleep(_LISTEN)

    def _hear(self, line: bytes) -> None:
        try:
            waiting = Waiting.decode(line)
        except ValueError:
            self.look_again()  # cut by a crash
            return
        with self._changed:
            self.arrived_at = self._clock()
            if waiting.name.number > 1:  # one before it may have gone, and it has moved up since
                self._find(self._spool.names_like(waiting.name))
            else:
                self._room.admit(waiting)
            self._changed.notify_all()

    def _look(self) -> None:
        """Find all that waits and is not known yet; what cannot be read holds up nothing."""
        self._missed, self._unreadable = self._spool.ledger.missed, False
        for _, names in groupby(self._spool.names(self.disk_fails), key=lambda name: name.key):
            if self._stopping:
                return
            with self._changed:
                self._find(list(names))
                self._changed.notify_all()

    def _find(self, names: list[Name]) -> None:
        try:
            self._room.find(names)
        except OSError as error:
            self.disk_fails(error)

    def _tidy(self) -> None:
        self._spool.sweep()
        self._spool.remove_empty_folders(time.time() - _EMPTY_FOLDER_AGE)
        if self._unreadable:
            self._look()
