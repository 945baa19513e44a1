"""The other end of associations that we open: a Move Destination that does what a script says."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping

from tests.support import raw

Script = Callable[[raw.Peer], object]


class Acceptor:
    """Listens, and does with the first connection what its script says."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._script, self._tls = script, tls
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listening.accept()
            connection.settimeout(5)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            peer = raw.Peer(connection)
            with contextlib.suppress(OSError, raw.Ended):
                self._script(peer)
            peer.close()

    def close(self) -> None:
        """Wait for the script to end, which is itself a thing to test."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(15)
        assert not self._thread.is_alive()


@contextlib.contextmanager
def acceptors() -> Iterator[Callable[..., Acceptor]]:
    """Starts acceptors, and closes them."""
    started: list[Acceptor] = []

    def listen(script: Script, tls: ssl.SSLContext | None = None) -> Acceptor:
        started.append(Acceptor(script, tls))
        return started[-1]

    yield listen
    for acceptor in started:
        acceptor.close()


def acceptance(contexts: Mapping[int, tuple[int, str]], max_pdu: int = 16384) -> bytes:
    """An A-ASSOCIATE-AC: context ID -> result, transfer syntax."""
    body = struct.pack(">H2x16s16s32x", 1, b"DEST".ljust(16), b"PROXY".ljust(16))
    body += raw.item(0x10, raw.APPLICATION_CONTEXT.encode())
    for context_id, (result, syntax) in contexts.items():
        body += raw.item(0x21, bytes((context_id, 0, result, 0)) + raw.item(0x40, syntax.encode()))
    return raw.pdu(raw.AC, body + raw.user_item(max_pdu))


BOTH = acceptance({1: (0, raw.EXPLICIT), 3: (0, raw.IMPLICIT)})
"""Accepts CT in Explicit, and Secondary Capture in Implicit VR."""


def accepting(then: Script = lambda peer: None, answer: bytes = BOTH) -> Script:
    """Reads the request, answers it, and goes on."""

    def script(peer: raw.Peer) -> None:
        peer.read()
        peer.send(answer)
        then(peer)

    return script


def until_released(peer: raw.Peer) -> None:
    """Takes everything up to the release request, and answers that."""
    while peer.read()[0] != raw.RELEASE_RQ:
        pass
    peer.send(raw.RELEASED)


def store_one(peer: raw.Peer, status: int = 0) -> None:
    """Answers one C-STORE and the release request."""
    request = peer.message()
    instance = request.command[0x00001000].decode()
    peer.send(raw.message(request.context_id, raw.store_response(raw.CT, instance, answers=1, status=status)))
    until_released(peer)
