"""Past each bound of [limits]: the right refusal, a line in the log, a count in the metrics; others notice nothing."""

import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest

from proxy.demo.orthanc import Orthanc
from proxy.dicom.words import status_code
from tests.support import raw
from tests.support.population import CT
from tests.support.proxy_process import Proxy, ProxyPool
from tests.support.raw import STUDY_FIND, STUDY_GET, Context, Peer, command, element, message

_LIMITS = {
    "associations": 8,
    "associations_per_aet": 3,
    "associations_per_address": 5,
    "pending_connections": 6,
    "request_timeout": 1,
    "idle_timeout": 2,
    "pdu_timeout": 1,
    "send_timeout": 1,
    "response_timeout": 1,
    "association_request": "8 KiB",
    "contexts": 4,
    "command_set": "1 KiB",
    "identifier": "8 KiB",
    "instance": "64 KiB",
    "nesting": 3,
    "uids_per_list": 5,
    "results": 2,
    "suboperations": 4,
}
_ECHO: Context = (1, raw.VERIFICATION, (raw.IMPLICIT,))
_FIND: Context = (1, STUDY_FIND, (raw.IMPLICIT,))
_GET: Context = (1, STUDY_GET, (raw.IMPLICIT,))
_IMAGES: Context = (3, raw.CT, (raw.EXPLICIT,))
_LEVEL, _STUDY = element(0x00080052, "STUDY"), 0x0020000D


@pytest.fixture(params=["fast", "stock"])
def proxy(request: pytest.FixtureRequest, one_orthanc: Orthanc, proxies: ProxyPool) -> Proxy:
    """The proxy with narrow bounds, on either wire."""
    return proxies.get(one_orthanc, {"limits": _LIMITS, "listener": {"wire": request.param}})


@pytest.fixture
def fast(one_orthanc: Orthanc, proxies: ProxyPool) -> Proxy:
    """The same on our own wire, which has bounds that pynetdicom cannot have."""
    return proxies.get(one_orthanc, {"limits": _LIMITS, "listener": {"wire": "fast"}})


@pytest.fixture(autouse=True)
def _others_notice_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    """They are served after each test, and find that nobody holds on to anything."""
    victim = request.getfixturevalue("fast" if "fast" in request.fixturenames else "proxy")
    yield
    assert raw.echo(victim.dicom_port, victim.aet, calling="OTHER") < 2
    deadline = time.monotonic() + 20
    while _sum(victim, "orthanc_proxy_associations_open", {}) > 0:
        assert time.monotonic() < deadline, "associations stay open"
        time.sleep(0.05)


def _sum(proxy: Proxy, name: str, labels: Mapping[str, str]) -> float:
    """The sum of all time series of a metric that have these labels."""
    total = 0.0
    for line in proxy.admin("/metrics").text.splitlines():
        found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
        if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
            total += float(found[2])
    return total


@dataclass
class Told:
    """What log and metrics must say once something is over."""

    proxy: Proxy
    words: str
    metric: str
    labels: Mapping[str, str]

    def __enter__(self) -> "Told":
        self._before = self._counted()
        self._logged = self.proxy.log.count(self.words)
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        deadline = time.monotonic() + 30
        while kind is None and (
            self._counted() <= self._before or (self._logged == 0 and self.words not in self.proxy.log)
        ):
            assert time.monotonic() < deadline, (
                f"{self.words!r} is not told, or {self.metric} {self.labels} not counted"
            )
            time.sleep(0.05)

    def _counted(self) -> float:
        return _sum(self.proxy, self.metric, self.labels)


def _rejected(proxy: Proxy, words: str, result: int, source: int, reason: int) -> Told:
    labels = {"result": str(result), "source": str(source), "reason": str(reason)}
    return Told(proxy, words, "orthanc_proxy_associations_rejected_total", labels)


def _ended(proxy: Proxy, words: str, how: str) -> Told:
    return Told(proxy, words, "orthanc_proxy_associations_ended_total", {"how": how})


def _answered(proxy: Proxy, words: str, status: int) -> Told:
    return Told(proxy, words, "orthanc_proxy_requests_total", {"status": status_code(status)})


def _associate(
    proxy: Proxy, *contexts: Context, calling: str = "RAW", address: str = "127.0.0.1", **more: object
) -> Peer:
    peer = Peer(socket.create_connection(("127.0.0.1", proxy.dicom_port), 5, (address, 0)))
    try:
        return peer.associate(proxy.aet, contexts or (_ECHO,), calling=calling, **more)  # type: ignore[arg-type]
    except BaseException:
        peer.close()
        raise


# ------------------------------------------------------------------ associations

_CROWDS: dict[str, list[tuple[str, str]]] = {
    "associations": [(f"WS{n}", f"127.0.0.{2 + n % 3}") for n in range(9)],
    "associations_per_aet": [("SAME", f"127.0.0.{2 + n}") for n in range(4)],
    "associations_per_address": [(f"WS{n}", "127.0.0.2") for n in range(6)],
}


@pytest.mark.parametrize("setting", _CROWDS)
def test_one_association_too_many_is_told_to_come_later(setting: str, proxy: Proxy) -> None:
    *crowd, last = _CROWDS[setting]
    peers = [_associate(proxy, calling=calling, address=address) for calling, address in crowd]
    words = f"[limits] {setting} = {_LIMITS[setting]} is reached"
    with _rejected(proxy, words, 2, 3, 2), pytest.raises(raw.Ended, match="rejected 2/3/2"):
        _associate(proxy, calling=last[0], address=last[1])
    assert [peer.echo() for peer in peers] == [0] * len(peers), "those inside notice"
    peers.pop().release()
    peers.append(_associate(proxy, calling=last[0], address=last[1]))
    for peer in peers:
        peer.close()


def test_too_many_presentation_contexts_are_refused(proxy: Proxy) -> None:
    contexts = [(2 * n + 1, raw.CT, (raw.IMPLICIT,)) for n in range(5)]
    with _rejected(proxy, "[limits] contexts = 4", 2, 3, 2), pytest.raises(raw.Ended, match="rejected 2/3/2"):
        _associate(proxy, *contexts)
    _associate(proxy, *contexts[:4]).close()


def test_a_peer_that_can_receive_next_to_nothing_is_refused(proxy: Proxy) -> None:
    with (
        _rejected(proxy, "[limits] smallest_peer_pdu = 1018", 1, 1, 1),
        pytest.raises(raw.Ended, match="rejected 1/1/1"),
    ):
        _associate(proxy, max_pdu=1017)
    _associate(proxy, max_pdu=1018).close()


def test_past_the_number_of_silent_connections_the_oldest_goes(fast: Proxy) -> None:
    with _rejected(fast, "too many connections without a request", 0, 0, 0):
        silent = [Peer.connect(fast.dicom_port) for _ in range(7)]
        assert silent[0].ending(0.5) == "closed"
        assert raw.echo(fast.dicom_port, fast.aet, calling="OTHER") < 1
    for peer in silent:
        peer.close()


def test_a_connection_without_a_request_has_its_time(fast: Proxy) -> None:
    with _rejected(fast, "no complete A-ASSOCIATE-RQ in time", 0, 0, 0):
        began = time.monotonic()
        peers = [Peer.connect(fast.dicom_port) for _ in range(2)]
        peers[1].send(raw.request(fast.aet)[:60])
        assert [peer.ending(3) for peer in peers] == ["closed"] * 2
        assert 0.8 < time.monotonic() - began < 2.5


def test_a_silent_connection_has_its_time_on_the_stock_wire_too(proxy: Proxy) -> None:
    assert Peer.connect(proxy.dicom_port).ending(4) in ("closed", "aborted 2/0")


def test_a_request_too_long_is_refused_by_its_header(fast: Proxy) -> None:
    peer = Peer.connect(fast.dicom_port)
    with _rejected(fast, "announces 8193 bytes, 8192 are allowed", 0, 0, 0):
        peer.send(raw.pdu(raw.RQ, b"", 8193))
        assert peer.ending(0.8) == "aborted 2/6"


# ------------------------------------------------------------------ messages

_FIND_COMMAND = command(raw.C_FIND, sop_class=STUDY_FIND, data=True)
_STORE_COMMAND = raw.store_command(raw.CT, "2.25.1")
_TOO_LONG: dict[str, tuple[Context, bytes, str, str]] = {
    "pdu": (_ECHO, raw.pdu(raw.P_DATA, b"", 16385), "announces 16385 bytes, 16384 are allowed", "aborted 2/6"),
    "command_set": (
        _ECHO,
        raw.pdu(raw.P_DATA, raw.pdv(1, 1, bytes(1025))),
        "a command set is longer than allowed",
        "aborted 0/0",
    ),
    "identifier": (_FIND, message(1, _FIND_COMMAND, bytes(8194)), "a data set is longer than allowed", "aborted 0/0"),
    "instance": (_IMAGES, message(3, _STORE_COMMAND, bytes(65538)), "a data set is longer than allowed", "aborted 0/0"),
}


@pytest.mark.parametrize("bound", _TOO_LONG)
def test_what_is_too_long_is_aborted(bound: str, fast: Proxy) -> None:
    context, sent, words, ending = _TOO_LONG[bound]
    peer = _associate(fast, context)
    with _ended(fast, words, "protocol error"):
        peer.send(sent)
        assert peer.ending(1, closing=False) == ending
        peer.close()


@pytest.mark.parametrize("bound", ["identifier", "instance"])
def test_what_is_too_long_is_aborted_on_the_stock_wire_too(bound: str, proxy: Proxy) -> None:
    context, sent, words, ending = _TOO_LONG[bound]
    peer = _associate(proxy, context)
    how = "protocol error" if "fast" in str(proxy.configuration["listener"]) else "aborted"
    with _ended(proxy, words, how):
        peer.send(sent)
        assert peer.ending(2, closing=False) == ending
        peer.close()


def test_an_association_that_says_nothing_is_aborted(proxy: Proxy) -> None:
    is_fast = "fast" in str(proxy.configuration["listener"])
    words, how = ("no message for too long", "timeout") if is_fast else ("association aborted", "aborted")
    with _ended(proxy, words, how):
        peer = _associate(proxy)
        assert peer.ending(4, closing=False) == "aborted 0/0"
        peer.close()


@pytest.mark.parametrize("cut", [30, 90])
def test_half_a_message_is_aborted(cut: int, fast: Proxy) -> None:
    """In the middle of a PDU, and between two."""
    peer = _associate(fast, _FIND)
    with _ended(fast, "a PDU or message was not completed in time", "timeout"):
        peer.send(message(1, _FIND_COMMAND, _LEVEL, 40)[: 52 if cut > 52 else cut])
        began = time.monotonic()
        assert peer.ending(3, closing=False) == "aborted 2/0"
        assert 0.8 < time.monotonic() - began < 1.9
        peer.close()


def _nested(depth: int) -> bytes:
    opening = element(0x00081140, b"", 0xFFFFFFFF) + element(0xFFFEE000, b"", 0xFFFFFFFF)
    return opening * depth + (element(0xFFFEE00D, b"") + element(0xFFFEE0DD, b"")) * depth


_UIDS = "\\".join(f"1.2.{n}" for n in range(6))
_FINDS: dict[str, tuple[bytes, int, str]] = {
    "nesting": (_LEVEL + _nested(4), 0xC000, "sequences nest deeper than 3"),
    "uids_per_list": (_LEVEL + element(_STUDY, _UIDS), 0xA900, "a list of more than 5 values"),
    "results": (_LEVEL + element(_STUDY, ""), 0xA700, "more than 2 matches, the rest is not told"),
}


@pytest.mark.parametrize("bound", _FINDS)
def test_a_query_past_a_bound_is_told_why(bound: str, proxy: Proxy) -> None:
    identifier, status, comment = _FINDS[bound]
    peer = _associate(proxy, _FIND)
    with _answered(proxy, comment, status):
        peer.send(message(1, _FIND_COMMAND, identifier))
        answers = peer.answers()
    assert (answers[-1].status, len(answers)) == (status, 3 if bound == "results" else 1)
    assert comment in answers[-1].command[0x00000902].decode()
    peer.release()


def _ask_for_all(peer: Peer) -> None:
    identifier = _LEVEL + element(_STUDY, raw.uid(CT.study_instance_uid))
    peer.send(message(1, command(raw.C_GET, sop_class=STUDY_GET, data=True), identifier))


def test_more_suboperations_than_allowed_are_not_begun(proxy: Proxy) -> None:
    peer = _associate(proxy, _GET, _IMAGES, roles=[raw.CT])
    with _answered(proxy, f"{CT.slices} instances match, at most 4 can be asked for", 0xA702):
        _ask_for_all(peer)
        (final,) = peer.answers()
    assert final.status == 0xA702
    peer.release()


# ------------------------------------------------------------------ receivers


@pytest.mark.parametrize("wire", ["fast", "stock"])
def test_a_receiver_that_does_not_answer_is_given_up(
    wire: str, fast: Proxy, one_orthanc: Orthanc, proxies: ProxyPool
) -> None:
    proxy = proxies.get(one_orthanc, {"limits": {**_LIMITS, "suboperations": 1000}, "listener": {"wire": wire}})
    peer = _associate(proxy, _GET, _IMAGES, roles=[raw.CT])
    with _ended(proxy, "no C-STORE response in time", "timeout" if wire == "fast" else "aborted"):
        _ask_for_all(peer)
        assert peer.ending(5, closing=False) == "aborted 0/0"
        peer.close()


def test_a_requestor_that_does_not_read_is_given_up(
    fast: Proxy, start_proxy: Callable[..., Proxy], one_orthanc: Orthanc
) -> None:
    proxy = start_proxy(one_orthanc, {"limits": {**_LIMITS, "results": 0, "identifier": "1 MiB", "idle_timeout": 20}})
    peer = Peer.connect(proxy.dicom_port, receive_buffer=4096).associate(proxy.aet, (_FIND,))
    many_keys = b"".join(element(0x00090000 | n, b"") for n in range(0x1000, 0x3000))
    asked = message(1, _FIND_COMMAND, _LEVEL + element(_STUDY, "") + many_keys)
    with _ended(proxy, "the peer does not read what it is sent", "timeout"):
        while peer.send(asked, timeout=1):
            pass
    peer.close()
