"""Everything the supervisor has besides its main loop: sockets, workers, background work, admin server."""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from proxy import log
from proxy.access import open_to_the_network
from proxy.admin.board import Board
from proxy.admin.server import AdminServer
from proxy.cache.files import CacheFiles
from proxy.config import Settings
from proxy.errors import ConfigError
from proxy.events import Event, Trouble
from proxy.journal import Journal
from proxy.metrics import MetricsSubscriber
from proxy.orthanc.client import OrthancClient
from proxy.scp.occupancy import Occupancy
from proxy.spool.spool import Spool
from proxy.supervisor.commitment import reporter, requestors
from proxy.supervisor.controls import SupervisorControls
from proxy.supervisor.crew import Crew
from proxy.supervisor.probe import Probe
from proxy.supervisor.reload import merged
from proxy.supervisor.sockets import Listening, open_listening
from proxy.workers.commitment import CommitmentReporter
from proxy.workers.forwarder import Forwarder
from proxy.workers.targets import targets_of

_LOGGER = logging.getLogger("proxy.supervisor")


@dataclass(slots=True)
class Oversight:
    """What the main loop, the admin server and reload share. `draining` is set once, at the end."""

    load: Callable[[], Settings]
    settings: Settings
    config_files: tuple[Path, ...]
    listening: Listening
    crew: Crew
    clients: dict[str, OrthancClient]
    forwarder: Forwarder
    reporter: CommitmentReporter
    probe: Probe
    cache: CacheFiles
    journal: Journal
    admin: AdminServer | None = None
    draining: bool = False
    started: float = field(default_factory=time.time)
    _reloading: threading.Lock = field(default_factory=threading.Lock)

    def ports(self) -> dict[str, int | None]:
        """Where we listen."""
        admin = self.admin.address[1] if self.admin is not None else None
        return {"dicom": self.listening.dicom_port, "tls": self.listening.tls_port, "admin": admin}

    def reload(self) -> tuple[bool, tuple[str, ...]]:
        """Read the configuration again; an invalid one changes nothing. Whether it was taken, and words."""
        with self._reloading:
            try:
                settings, words = merged(self.settings, self.load())
                targets = targets_of(settings, self.clients)
                if self.admin is not None:
                    self.admin.use(settings.admin)
            except ConfigError as error:
                for complaint in error.complaints:
                    self.journal.emit(Trouble(where="reload", what=f"not reloaded: {complaint}", severity="error"))
                return False, tuple(error.complaints)
            self.settings = settings
            log.set_level(settings.proxy.log_level)
            self.forwarder.replace(settings.pipelines, targets)
            self.reporter.resolve = requestors(settings, self.clients).resolve
            self.crew.tell("settings", settings)
            self.crew.tell("level", settings.proxy.log_level)
            words = words or ("the configuration was read again and is in force",)
            for line in words:
                _LOGGER.info("reload: %s", line)
            self.warn_if_open()
            return True, words

    def warn_if_open(self) -> None:
        """Tell which pipelines anybody may use."""
        for warning in open_to_the_network(self.settings):
            self.journal.emit(Trouble(where="access", what=warning))


@contextlib.contextmanager
def oversee(load: Callable[[], Settings], settings: Settings, config_files: tuple[Path, ...]) -> Iterator[Oversight]:
    """Open everything, start the background work, and close it all at the end. Raises ConfigError."""
    try:
        log.configure(settings.logging, settings.proxy.log_level)
    except OSError as error:
        raise _unusable("logging.log_file_path", settings.logging.log_file_path, error) from error
    try:
        spool = Spool(settings.storage.path, settings.spool)
    except OSError as error:
        raise _unusable("storage.path", settings.storage.path, error) from error
    with contextlib.ExitStack() as stack:
        listening = open_listening(settings.listener)
        stack.callback(listening.close)
        stack.callback(spool.close)
        try:
            oversight = _assembled(load, settings, config_files, listening, spool, stack)
            oversight.warn_if_open()
            _start(oversight, stack)
        except BlockingIOError as error:  # the forwarder's lock
            raise ConfigError([f"storage.path: another orthanc-proxy runs on {settings.storage.path}"]) from error
        except OSError as error:
            raise _unusable("storage.path", settings.storage.path, error) from error
        yield oversight


def _assembled(
    load: Callable[[], Settings],
    settings: Settings,
    config_files: tuple[Path, ...],
    listening: Listening,
    spool: Spool,
    stack: contextlib.ExitStack,
) -> Oversight:
    board, metrics = Board(time.time()), MetricsSubscriber()
    told = Journal(board, metrics)  # what workers tell; they have logged it already
    journal = Journal(log.LogSubscriber(), board, metrics)
    occupancy_fd = os.memfd_create("orthanc-proxy-occupancy")  # in memory: on a full disk a mapped file is deadly
    occupancy = Occupancy(occupancy_fd)
    stack.callback(occupancy.close)

    def hear(event: Event) -> None:
        (journal if isinstance(event, Trouble) and event.where == "worker" else told).emit(event)

    clients = {name: OrthancClient(name, backend, journal) for name, backend in settings.backends.items()}
    for client in clients.values():
        stack.callback(client.close)
    oversight = Oversight(
        load=load,
        settings=settings,
        config_files=config_files,
        listening=listening,
        crew=Crew(
            settings.proxy.worker_processes,
            listening,
            occupancy_fd,
            hear,
            lambda _: _swept(occupancy),
        ),
        clients=clients,
        forwarder=Forwarder(spool, settings.spool, settings.pipelines, targets_of(settings, clients), journal),
        reporter=reporter(settings, clients, spool, journal),
        probe=Probe(clients, {name: backend.url for name, backend in settings.backends.items()}, journal),
        cache=CacheFiles(settings.storage.path / "cache"),
        journal=journal,
    )
    if settings.admin.enabled:
        oversight.admin = AdminServer(settings.admin, board, metrics, SupervisorControls(oversight))
    return oversight


def _unusable(key: str, path: Path, error: OSError) -> ConfigError:
    return ConfigError([f"{key}: {error.strerror or error}: {error.filename or path}"])


def _swept(occupancy: Occupancy) -> None:
    """Take back the slots of a worker that died."""
    occupancy.sweep()


def _start(oversight: Oversight, stack: contextlib.ExitStack) -> None:
    """The background work; it ends in the opposite order, the admin server last."""
    if oversight.admin is not None:
        oversight.admin.start()
        stack.callback(oversight.admin.stop)
    oversight.probe.start()
    stack.callback(oversight.probe.stop)
    oversight.forwarder.start()
    stack.callback(oversight.forwarder.join, 5.0)
    stack.callback(oversight.forwarder.stop)
    oversight.reporter.start()
    stack.callback(oversight.reporter.join, 2.0)
    stack.callback(oversight.reporter.stop)
