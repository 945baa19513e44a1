"""`orthanc-proxy serve`: the process that opens the ports, keeps the workers alive and does the background work.

It never speaks DICOM itself: a supervisor that is slow, or busy forwarding, costs no association anything.
"""

import json
import logging
import os
import queue
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path

from proxy.config import Settings
from proxy.supervisor.notify import notify, watchdog_interval
from proxy.supervisor.oversight import Oversight, oversee

Load = Callable[[], Settings]
_TICK = 0.5  # seconds between two looks at the workers when nothing happens
_LOGGER = logging.getLogger("proxy.supervisor")


def run(load: Load, settings: Settings, *, ready_file: Path | None = None, config_files: tuple[Path, ...] = ()) -> int:
    """Serve until SIGTERM or SIGINT; the exit status. Raises ConfigError for what shows only at start."""
    with oversee(load, settings, config_files) as oversight:
        return _Loop(oversight, ready_file).run()


class _Loop:
    """The main thread: signals, workers, the watchdog."""

    def __init__(self, oversight: Oversight, ready_file: Path | None) -> None:
        self._oversight = oversight
        self._ready_file = ready_file
        self._told_ready = False
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._wake, self._waker = socket.socketpair()
        self._waker.setblocking(False)

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _frame: self._signals.put(number))
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        crew = self._oversight.crew
        crew.start(self._oversight.settings)
        watchdog = watchdog_interval()
        kick = time.monotonic()
        while True:
            readable = wait([*crew.pipes(), self._wake], timeout=_TICK)
            if self._wake in readable:
                self._wake.recv(4096)
            crew.attend(readable, self._oversight.settings)
            if self._handle_signals():
                return self._drain()
            self._tell_ready()
            if watchdog is not None and time.monotonic() >= kick:
                notify("WATCHDOG=1")
                kick = time.monotonic() + watchdog

    def _handle_signals(self) -> bool:
        """Act on what has come; True when it is time to stop."""
        while not self._signals.empty():
            if self._signals.get() != signal.SIGHUP:
                return True
            notify("RELOADING=1")
            self._oversight.reload()
            notify("READY=1")
        return False

    def _tell_ready(self) -> None:
        if self._told_ready or not self._oversight.crew.ready:
            return
        self._told_ready = True
        ports = self._oversight.ports()
        if self._ready_file is not None:
            part = self._ready_file.with_name(self._ready_file.name + ".part")
            part.write_text(json.dumps(ports), encoding="utf-8")
            part.replace(self._ready_file)
        notify(f"READY=1\nMAINPID={os.getpid()}")
        _LOGGER.info("ready: %s", ", ".join(f"{name} port {port}" for name, port in ports.items() if port))

    def _drain(self) -> int:
        """Readiness drops, nobody is let in, open associations may finish. A second signal ends the patience."""
        notify("STOPPING=1")
        crew, timeout = self._oversight.crew, self._oversight.settings.proxy.drain_timeout
        _LOGGER.info("stopping: open associations have %g s to finish", timeout)
        self._oversight.draining = crew.stopping = True
        crew.tell("drain", timeout)
        until = time.monotonic() + timeout + 5.0
        while crew.any_alive() and time.monotonic() < until:
            pipes = crew.pipes()
            readable = wait([*pipes, self._wake], timeout=_TICK)
            if self._wake in readable:
                self._wake.recv(4096)
            crew.attend(readable, self._oversight.settings)
            if not self._signals.empty():
                self._signals.get()
                crew.tell("drain", 0.0)
        crew.kill()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # one more would kill an interpreter that is already on its way out
        _LOGGER.info("stopped")
        return 0


__all__ = ["run"]
