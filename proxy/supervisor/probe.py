"""Asks every backend now and then whether it is there, so that health checks are answered from memory."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.admin.controls import BackendState
from proxy.errors import OrthancError
from proxy.events import Trouble
from proxy.journal import Journal
from proxy.orthanc.client import OrthancClient

_EVERY = 5.0  # seconds


@dataclass(slots=True)
class Probe:
    """Keeps the last known state of each backend; tells the journal when one goes or comes back."""

    clients: Mapping[str, OrthancClient]
    urls: Mapping[str, str]
    journal: Journal
    _states: dict[str, BackendState] = field(default_factory=dict)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to ask."""
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopped.set()

    def states(self) -> tuple[BackendState, ...]:
        """The last known state of each backend."""
        unknown = (BackendState(name, url, reachable=False, words="not asked yet") for name, url in self.urls.items())
        return tuple(self._states.get(state.name, state) for state in unknown)

    def _run(self) -> None:
        while not self._stopped.is_set():
            began = time.monotonic()
            for name, client in self.clients.items():
                self._take(self._ask(name, client))
            self._stopped.wait(max(0.5, _EVERY - (time.monotonic() - began)))

    def _ask(self, name: str, client: OrthancClient) -> BackendState:
        url = self.urls[name]
        try:
            client.ping()
            capabilities = client.capabilities
        except OrthancError as error:
            return BackendState(name, url, reachable=False, words=error.comment)
        return BackendState(name, url, reachable=True, version=capabilities.version, mode=capabilities.mode)

    def _take(self, state: BackendState) -> None:
        before = self._states.get(state.name)
        self._states[state.name] = state
        if not state.reachable and (before is None or before.reachable):
            what = f"Orthanc {state.name!r} at {state.url} is not available: {state.words}"
            self.journal.emit(Trouble(where=f"backends.{state.name}", what=what, severity="error"))
        elif state.reachable and before is not None and not before.reachable:
            self.journal.emit(Trouble(where=f"backends.{state.name}", what=f"Orthanc {state.name!r} is back"))
