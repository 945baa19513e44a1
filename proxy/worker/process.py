"""The life of a worker process: settings come down the control pipe, events go up, and drain ends it."""

import gc
import logging
import signal
import socket
import threading
from multiprocessing.connection import Connection

from proxy import log
from proxy.config import Settings
from proxy.journal import Journal
from proxy.scp.occupancy import Occupancy
from proxy.worker.assembly import Assembly
from proxy.worker.upstream import Upstream

_LOGGER = logging.getLogger("proxy.worker")


def run(number: int, control_fd: int, occupancy_fd: int, plain_fd: int | None, tls_fd: int | None) -> int:
    """Serve until drained; the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches the supervisor, which tells us
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.current_thread().name = f"worker-{number}"
    pipe, pipe_lock = Connection(control_fd), threading.Lock()
    kind, settings = pipe.recv()
    if kind != "settings" or not isinstance(settings, Settings):
        raise RuntimeError("the supervisor did not send settings first")
    log.configure(settings.logging, settings.proxy.log_level)
    upstream = Upstream(pipe, pipe_lock)
    upstream.start()
    journal = Journal(log.LogSubscriber(), upstream)
    sockets = [socket.socket(fileno=fd) if fd is not None else None for fd in (plain_fd, tls_fd)]
    assembly = Assembly(settings, sockets[0], sockets[1], Occupancy(occupancy_fd), journal)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=assembly.drain, daemon=True).start())
    assembly.start()
    _settle_memory()
    with pipe_lock:
        pipe.send(("ready", None))
    _obey(pipe, assembly)
    upstream.stop()
    return 0


def _obey(pipe: Connection, assembly: Assembly) -> None:
    """Do what the supervisor says; its death is an order to drain, too."""
    while not assembly.drained:
        try:
            if not pipe.poll(0.5):
                continue
            kind, payload = pipe.recv()
        except (EOFError, OSError):
            _LOGGER.warning("the supervisor is gone: stopping")
            assembly.drain()
            return
        match kind:
            case "settings":
                assembly.reload(payload)
            case "level":
                log.set_level(payload)
            case "drain":
                threading.Thread(target=assembly.drain, args=(payload,), daemon=True).start()


def _settle_memory() -> None:
    """What is there now stays for good: the collector need not walk it again for every few hundred new objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
