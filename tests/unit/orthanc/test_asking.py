"""Asking ahead, against a server that answers as it is told."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.config import Backend
from proxy.errors import OrthancUnavailable
from proxy.orthanc import asking
from proxy.orthanc.asking import Asking

FILE = bytes(range(256)) * 100
OK = b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: %d\r\n\r\n"


class Server:
    """Answers the requests of each connection with `answers` in turn; after the last one it closes the connection."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.requests: list[bytes] = []
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connected,), daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        with connected, contextlib.suppress(ConnectionResetError):
            received = b""
            while chunk := connected.recv(65536):
                received += chunk
                if received.endswith(b"\r\n\r\n"):
                    self.requests.append(received)
                    received = b""
                    if not self.answers:
                        return
                    connected.sendall(self.answers.pop(0))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def pool(port: int, path: str = "", told: list | None = None, **settings) -> Asking:
    backend = Backend(url=f"http://127.0.0.1:{port}{path}", **settings)
    headers = {"Accept-Encoding": "identity", "Authorization": "Basic eA=="}
    return Asking(backend, headers, None, lambda *answer: told.append(answer) if told is not None else None)


def test_a_file_is_asked_for_and_read_later_on_one_connection_after_the_other(server: Server) -> None:
    server.answers = [OK % len(FILE) + FILE, OK % 3 + b"abc"]
    told: list = []
    asking = pool(server.port, "/behind/a/path", told)
    first = asking.ask("/instances/x", len(FILE))
    assert first is not None
    assert first.read(5) == FILE
    second = asking.ask("/instances/y", 3)
    assert second is not None
    assert bytes(second.read(5)) == b"abc"
    assert server.connections == 1
    assert [status for status, _ in told] == [200, 200]
    assert (
        server.requests[0]
        == (
            f"GET /behind/a/path/instances/x HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            "Accept-Encoding: identity\r\nAuthorization: Basic eA==\r\n\r\n"
        ).encode()
    )


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2000 + b"\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"",
    ],
)
def test_anything_but_the_file_as_it_was_listed_is_not_taken(answer: bytes, server: Server) -> None:
    server.answers = [answer] if answer else []
    told: list = []
    asking = pool(server.port, told=told)
    asked = asking.ask("/instances/x", 3)
    assert asked is not None
    with pytest.raises(OrthancUnavailable):
        asked.read(0.2)
    assert [status for status, _ in told] == [0]
    server.answers = [OK % 3 + b"new"]
    again = asking.ask("/instances/x", 3)
    assert again is not None
    assert bytes(again.read(5)) == b"new"
    assert server.connections == 2, "the connection of the wrong answer is not used again"


def test_a_file_that_ends_too_soon_is_not_taken(server: Server) -> None:
    server.answers = [OK % 100 + b"abc"]
    asked = pool(server.port).ask("/instances/x", 100)
    assert asked is not None
    with pytest.raises(OrthancUnavailable):
        asked.read(0.05)


def test_a_connection_that_the_server_will_close_is_not_used_again(server: Server) -> None:
    server.answers = [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", OK % 3 + b"new"]
    asking = pool(server.port)
    for _ in range(2):
        asked = asking.ask("/instances/x", 3)
        assert asked is not None
        asked.read(5)
    assert server.connections == 2


def test_a_connection_that_was_idle_for_long_is_not_used_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_KEEPALIVE", 0.0)
    server.answers = [OK % 3 + b"abc", OK % 3 + b"new"]
    connections = pool(server.port, connections=2)
    for _ in range(2):
        asked = connections.ask("/instances/x", 3)
        assert asked is not None
        asked.read(5)
    assert server.connections == 2


def test_what_is_not_wanted_any_more_costs_its_connection_and_an_answer_is_read_once(server: Server) -> None:
    server.answers = [OK % 3 + b"abc", OK % 3 + b"new"]
    connections = pool(server.port, connections=2)  # one of them is for asking
    unwanted = connections.ask("/instances/x", 3)
    assert unwanted is not None
    unwanted.close()
    unwanted.close()
    asked = connections.ask("/instances/y", 3)
    assert asked is not None
    asked.read(5)
    with pytest.raises(OrthancUnavailable):
        asked.read(5)


def test_half_of_a_backends_connections_are_for_asking(server: Server) -> None:
    connections = pool(server.port, connections=4)
    asked = [connections.ask("/instances/x", 3) for _ in range(3)]
    assert [one is not None for one in asked] == [True, True, False]
    asked[0].close()  # type: ignore[union-attr]
    assert connections.ask("/instances/x", 3) is not None


def test_few_connections_are_kept_for_later(server: Server) -> None:
    server.answers = [OK % 3 + b"abc"] * 12
    connections = pool(server.port, connections=12)
    for expected in (6, 6 + 2):
        asked = [connections.ask("/instances/x", 3) for _ in range(6)]
        for one in asked:
            assert one is not None
            one.read(5)
        assert server.connections == expected


def test_who_cannot_be_reached_is_left_alone_for_a_while(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.close()
    connections = pool(server.port)
    assert connections.ask("/instances/x", 3) is None
    tried = []
    monkeypatch.setattr(socket, "create_connection", lambda *given: tried.append(given))
    assert connections.ask("/instances/x", 3) is None
    assert tried == []


def test_over_tls_the_same(tmp_path: Path) -> None:
    trustme = pytest.importorskip("trustme")
    import ssl

    authority = trustme.CA()
    ours, theirs = ssl.create_default_context(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.configure_trust(ours)
    authority.issue_cert("localhost").configure_cert(theirs)
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connected, _ = listening.accept()
        with theirs.wrap_socket(connected, server_side=True) as secure:
            secure.recv(65536)
            secure.sendall(OK % len(FILE) + FILE)

    threading.Thread(target=serve, daemon=True).start()
    backend = Backend(url=f"https://localhost:{listening.getsockname()[1]}")
    asked = Asking(backend, {}, ours, lambda *_: None).ask("/instances/x", len(FILE))
    assert asked is not None
    assert asked.read(5) == FILE
    listening.close()
