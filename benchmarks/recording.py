"""Records DICOM sessions for the floor: relays that note, in order, what the server reads and writes."""

import contextlib
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tests.support.child import Child

_RECORD = struct.Struct("<cBQ")
_SOURCE = Path(__file__).parent / "floor.c"


class Recording:
    """A script being written, as `floor.c` reads it; neighbouring operations of one kind become one."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._open: tuple[bytes, int] | None = None
        self._length = 0
        self._parts: list[bytes] = []

    def add(self, operation: bytes, connection: int, data: bytes = b"") -> None:
        """Note one operation of the server: R, W or C."""
        with self._lock:
            if self._open != (operation, connection) or operation == b"C":
                self._flush()
                self._open = (operation, connection)
            self._length += len(data)
            if operation == b"W":
                self._parts.append(data)

    def finish(self) -> None:
        """Write the end."""
        with self._lock:
            self._flush()
            self._target.write(_RECORD.pack(b"E", 0, 0))

    def _flush(self) -> None:
        if self._open is not None:
            self._target.write(_RECORD.pack(self._open[0], self._open[1], self._length))
            self._target.writelines(self._parts)
        self._open, self._length, self._parts = None, 0, []


class Relay:
    """Passes one connection on to `port`. `server_side`: is it the server that connects to us (to a destination)?"""

    def __init__(self, port: int, recording: Recording, connection: int, *, server_side: bool) -> None:
        self._target = port
        self._recording = recording
        self._connection = connection
        self._server_side = server_side
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._serve, daemon=True)
        self._accepting.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            near, _ = self._listener.accept()
            far = socket.create_connection(("127.0.0.1", self._target))
            if self._server_side:
                self._recording.add(b"C", self._connection)
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            inward, outward = (b"W", b"R") if self._server_side else (b"R", b"W")
            for source, sink, operation in ((near, far, inward), (far, near, outward)):
                thread = threading.Thread(target=self._pass_on, args=(source, sink, operation), daemon=True)
                thread.start()
                self._threads.append(thread)

    def _pass_on(self, source: socket.socket, sink: socket.socket, operation: bytes) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                self._recording.add(operation, self._connection, data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Wait for the connection's end."""
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


def build_floor(folder: Path) -> Path | None:
    """The compiled floor, or None without gcc."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    program = folder / "floor"
    subprocess.run([compiler, "-O2", "-o", program, _SOURCE], check=True)
    return program


@contextlib.contextmanager
def running_floor(program: Path, script: Path, destination_port: int = 0) -> Iterator[tuple[int, int]]:
    """The floor serving `script`: its port and pid."""
    script.with_name(f"floor-{script.stem}.log").unlink(missing_ok=True)
    child = Child(f"floor-{script.stem}", [program, script, str(destination_port)], script.parent)
    try:
        yield _announced_port(child), child.pid
    finally:
        child.kill()


def _announced_port(child: Child) -> int:
    for _ in range(500):
        if text := child.output().strip():
            return int(text.splitlines()[-1])
        time.sleep(0.02)
    raise TimeoutError("the floor does not start")
