"""One socket: reads into one buffer, writes all or says why not, and waits no longer than it was told."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest
import trustme

from proxy.wire.ending import Ending
from proxy.wire.transport import TlsTransport, Transport, transport_for, tune
from tests.unit.wire.serving import settles

Pair = tuple[Transport, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = _connected()
    transport = transport_for(ours, send_timeout=0.3)
    yield transport, theirs
    transport.close()
    theirs.close()


def _connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
    return ours, theirs


def _unread(transport: Transport) -> bytes:
    return bytes(transport.view[transport.start : transport.end])


def _soon() -> float:
    return time.monotonic() + 2


def test_bytes_read_before_are_there() -> None:
    ours, theirs = _connected()
    transport = transport_for(ours, send_timeout=1, received=b"x" * 100_000)
    assert _unread(transport) == b"x" * 100_000
    transport.close()
    theirs.close()


def test_what_arrives_is_appended(pair: Pair) -> None:
    transport, theirs = pair
    for part in (b"one", b"two"):
        theirs.sendall(part)
        assert transport.receive(_soon())
    assert _unread(transport) == b"onetwo"


def test_silence_ends_when_time_is_up(pair: Pair) -> None:
    transport, _ = pair
    began = time.monotonic()
    assert not transport.receive(began + 0.1)
    assert 0.09 < time.monotonic() - began < 1


def test_a_look_does_not_wait(pair: Pair) -> None:
    transport, _ = pair
    began = time.monotonic()
    assert not transport.receive(None)
    assert not transport.receive(began - 5)
    assert time.monotonic() - began < 0.05


def test_the_buffer_grows_for_a_pdu_that_needs_it_and_keeps_what_is_unread(pair: Pair) -> None:
    transport, theirs = pair
    data = bytes(range(256)) * 8192
    threading.Thread(target=theirs.sendall, args=(data,), daemon=True).start()
    assert transport.receive(_soon())
    transport.start = min(10, transport.end)
    transport.reserve(len(data))
    while transport.end - transport.start < len(data) - 10:
        assert transport.receive(_soon())
    assert _unread(transport) == data[10:]


def test_the_buffer_does_not_grow_where_all_is_taken(pair: Pair) -> None:
    transport, theirs = pair
    threading.Thread(target=theirs.sendall, args=(bytes(4 << 20),), daemon=True).start()
    taken = 0
    while taken < 4 << 20:
        assert transport.receive(_soon())
        taken += transport.end - transport.start
        transport.start = transport.end
    assert len(transport.view) <= 256 * 1024


def test_a_closed_connection_is_an_ending(pair: Pair) -> None:
    transport, theirs = pair
    theirs.close()
    with pytest.raises(Ending) as ended:
        transport.receive(_soon())
    assert ended.value.how == "lost"


def test_partial_writes_lose_and_double_nothing() -> None:
    ours, theirs = _connected()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    transport = transport_for(ours, send_timeout=5)
    buffers = [bytes([n % 251]) * (n * 7 % 5000) for n in range(900)]
    received = bytearray()

    def read() -> None:
        while more := theirs.recv(3000):
            received.extend(more)

    reader = threading.Thread(target=read)
    reader.start()
    transport.send(buffers)
    transport.close()
    reader.join(10)
    assert received == b"".join(buffers)
    theirs.close()


def test_a_peer_that_stops_reading_is_given_up(pair: Pair) -> None:
    transport, _ = pair
    began = time.monotonic()
    with pytest.raises(Ending) as ended:
        transport.send([bytes(64 << 20)])
    assert ended.value.how == "timeout"
    assert time.monotonic() - began < 3


def test_a_slow_reader_is_not_given_up_while_it_reads() -> None:
    """The kernel reports space late, when a third of its buffer is free: what counts is what the peer takes."""
    ours, theirs = _connected()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    tune(ours)
    transport = transport_for(ours, send_timeout=0.5)
    total = 10 << 20
    stop = threading.Event()

    def read() -> None:
        got = 0
        while got < total and not stop.is_set():
            got += len(theirs.recv(32 * 1024))
            time.sleep(0.015)

    reader = threading.Thread(target=read)
    reader.start()
    began = time.monotonic()
    transport.send([bytes(total)])
    assert time.monotonic() - began > 1
    stop.set()
    transport.close()
    reader.join(5)
    theirs.close()


def _can_write(transport: Transport) -> bool:
    try:
        transport.send([b"x" * 1000])
    except Ending:
        return False
    return True


def test_writing_to_a_reset_connection_is_an_ending(pair: Pair) -> None:
    transport, theirs = pair
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    theirs.close()
    assert settles(lambda: not _can_write(transport))


@pytest.mark.parametrize("how", ["interrupt", "cut"])
def test_another_thread_can_end_a_wait(pair: Pair, how: str) -> None:
    transport, _ = pair
    threading.Timer(0.1, getattr(transport, how)).start()
    began = time.monotonic()
    with pytest.raises(Ending):
        transport.receive(began + 5)
    assert time.monotonic() - began < 2


def test_the_last_pdu_arrives_before_the_end(pair: Pair) -> None:
    transport, theirs = pair
    transport.send_parting(b"good bye")
    assert theirs.recv(100) == b"good bye"
    assert theirs.recv(100) == b""


def test_nagle_is_off_and_the_send_buffer_large() -> None:
    ours, theirs = _connected()
    tune(ours)
    assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    for end in (ours, theirs):
        end.close()
    tune(ours)  # a dead socket is no error


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="Linux only")
def test_what_was_read_is_acknowledged_before_a_wait() -> None:
    """Two small writes of a peer that keeps Nagle on: the second must not wait 40 ms for a delayed ACK."""
    ours, theirs = _connected()
    transport = transport_for(ours, send_timeout=1)
    theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
    began = time.monotonic()
    for _ in range(20):
        theirs.send(b"a" * 10)
        theirs.send(b"b" * 10)
        got = 0
        while got < 20:
            assert transport.receive(_soon())
            got += transport.end - transport.start
            transport.start = transport.end
        transport.send([b"answer"])
        theirs.recv(100)
    assert time.monotonic() - began < 0.4  # 0.8 s and more with delayed ACKs
    transport.close()
    theirs.close()


# ---- TLS


@pytest.fixture
def tls_pair() -> Iterator[tuple[Transport, ssl.SSLSocket]]:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    ours, theirs = _connected()
    wrapped: list[ssl.SSLSocket] = []
    shaking = threading.Thread(target=lambda: wrapped.append(server.wrap_socket(ours, server_side=True)))
    shaking.start()
    peer = client.wrap_socket(theirs, server_hostname="localhost")
    shaking.join()
    transport = transport_for(wrapped[0], send_timeout=0.5)
    yield transport, peer
    transport.close()
    peer.close()


def test_tls_carries_bytes_both_ways(tls_pair: tuple[Transport, ssl.SSLSocket]) -> None:
    transport, peer = tls_pair
    assert isinstance(transport, TlsTransport)
    data = bytes(range(256)) * 1000
    threading.Thread(target=peer.sendall, args=(data,), daemon=True).start()
    while transport.end - transport.start < len(data):
        assert transport.receive(_soon())
    assert _unread(transport) == data
    threading.Thread(target=transport.send, args=([data[:70_000], memoryview(data)[70_000:]],), daemon=True).start()
    back = b""
    while len(back) < len(data):
        back += peer.recv(65536)
    assert back == data


def test_tls_bytes_that_poll_cannot_see_are_read(tls_pair: tuple[Transport, ssl.SSLSocket]) -> None:
    transport, peer = tls_pair
    peer.sendall(bytes(16000))
    assert settles(lambda: transport.receive(None))
    while transport.end < 16000:
        assert transport.receive(time.monotonic() + 0.5)


def test_tls_silence_ends_when_time_is_up(tls_pair: tuple[Transport, ssl.SSLSocket]) -> None:
    transport, _ = tls_pair
    began = time.monotonic()
    while transport.receive(began + 0.2):  # session tickets are no data
        pass
    assert time.monotonic() - began < 1


def test_tls_stays_tls_when_another_thread_interrupts(tls_pair: tuple[Transport, ssl.SSLSocket]) -> None:
    transport, peer = tls_pair
    transport.interrupt()
    transport.send([b"secret"])
    assert peer.recv(10) == b"secret"
    transport.send_parting(b"bye")
    assert peer.recv(10) == b"bye"


def test_tls_peer_that_stops_reading_is_given_up(tls_pair: tuple[Transport, ssl.SSLSocket]) -> None:
    transport, _ = tls_pair
    with pytest.raises(Ending):
        transport.send([bytes(64 << 20)])


def test_a_detached_tls_socket_is_plain_and_open(tls_pair: tuple[Transport, ssl.SSLSocket]) -> None:
    transport, peer = tls_pair
    transport.send_parting(b"bye")
    assert peer.recv(10) == b"bye"
    bare = transport.detach()
    assert not isinstance(bare, ssl.SSLSocket)
    peer.close()
    bare.setblocking(True)
    bare.settimeout(2)
    with contextlib.suppress(ConnectionResetError):
        while bare.recv(1000):
            pass
    bare.close()
