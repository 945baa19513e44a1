"""Every parser of ours as a fuzz target: it takes any bytes, raises what it documents and nothing else, and what it
makes of them holds together.
"""

import contextlib
import json
import socket
import struct
import tempfile
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import xxhash
from hypothesis import strategies as st

from proxy.cache.footer import Footer, read_footer
from proxy.config import LimitsSettings
from proxy.config.file import read
from proxy.dicom.charset import orthanc_charset
from proxy.dicom.commitment import transaction_of
from proxy.dicom.contexts import STORAGE_CLASSES, TRANSFER_SYNTAXES
from proxy.dicom.identifier import find_keys, retrieve_keys
from proxy.dicom.match import matches, response_identifier, with_own
from proxy.dicom.messages import Admission, Offer, Peer, Response
from proxy.dicom.negotiation import Supported, negotiate
from proxy.dicom.part10 import read_meta, write_meta
from proxy.dicom.reencoding import reencode
from proxy.dicom.structure import StructureError, Walker, check
from proxy.errors import ConfigError, InvalidIdentifier, UnreadableIdentifier
from proxy.orthanc.query import find_body, legacy_plan, locate_query
from proxy.spool.envelope import Envelope, read_head, write_head
from proxy.spool.names import parse_path
from proxy.wire import pdu
from proxy.wire.accept import encode_accept, parse_accept
from proxy.wire.arrival import Arrival, TurnedAway, Wait
from proxy.wire.channel import Channel, Context
from proxy.wire.command import RESPONSE, Command, Field, InvalidCommand, is_uid, parse_command, response
from proxy.wire.ending import Ending
from proxy.wire.pdu import InvalidPdu
from proxy.wire.request import Refused, parse_request
from proxy.wire.transport import Buffer, Transport
from tests.fuzz import pieces
from tests.fuzz.pieces import BIG, EXPLICIT, IMPLICIT, wrong
from tests.support import raw
from tests.unit.wire import wired
from tests.unit.wire.serving import MemorySink

LIMITS = LimitsSettings(identifier=1 << 20, uids_per_list=100, nesting=8)
_PEER = Peer("192.0.2.1", 104)
_SUPPORTED = Supported(("echo", "find", "get", "move", "store", "commitment"), STORAGE_CLASSES, TRANSFER_SYNTAXES)


@dataclass(frozen=True)
class Target:
    """`run` raises where the parser does not do well; `inputs` are worth trying. `cost`: how many times slower."""

    name: str
    run: Callable[[bytes], None]
    inputs: st.SearchStrategy[bytes]
    cost: int = 1


# ------------------------------------------------------------------ the upper layer


def _pdu(data: bytes) -> None:
    if len(data) < 6:
        return
    with contextlib.suppress(InvalidPdu):
        pdu.check_header(*pdu.HEADER.unpack_from(data), {pdu.P_DATA: 16384, **pdu.ESTABLISHED_PDUS})
    taken = 0
    try:
        for context_id, control, fragment in pdu.fragments(memoryview(data)[6:]):
            assert 0 <= context_id <= 255
            assert 0 <= control <= 255
            taken += 6 + len(fragment)
        assert taken == len(data) - 6, "bytes that belong to no value"
    except InvalidPdu:
        assert taken <= len(data) - 6


def _request(data: bytes) -> None:
    try:
        offer = parse_request(memoryview(data)[6:], _PEER)
    except (InvalidPdu, Refused):
        return
    ids = [context.context_id for context in offer.contexts]
    assert 1 <= len(ids) == len(set(ids)) <= 128
    assert all(number % 2 for number in ids)
    for title in (offer.calling_aet, offer.called_aet):
        assert 1 <= len(title) <= 16
        assert title.isascii()
        assert title.isprintable()
    assert offer.implementation_version.isprintable()
    for context in offer.contexts:
        assert all(map(is_uid, (context.abstract_syntax, *context.transfer_syntaxes)))
    answers = negotiate(offer, _SUPPORTED)
    accepted = parse_accept(memoryview(encode_accept(offer, Admission(None, answers, 16384)))[6:])  # type: ignore[arg-type]
    assert set(accepted.contexts) == {answer.context_id for answer in answers if answer.result == 0}


def _acceptance(data: bytes) -> None:
    try:
        acceptance = parse_accept(memoryview(data)[6:])
    except InvalidPdu:
        return
    assert all(map(is_uid, acceptance.contexts.values()))


def _arrival(data: bytes) -> None:
    """The front door's reader; the first byte says in what pieces the others come, and whether the peer then goes."""
    step, goes = (data[0] % 64 or 1, data[0] >= 128) if data else (1, False)
    ours, theirs = socket.socketpair()
    arrival = Arrival(ours, ("192.0.2.1", 104), None, LIMITS)
    try:
        for at in range(1, len(data), step):
            theirs.sendall(data[at : at + step])
            found = arrival.read()
            assert isinstance(found, (Offer, Wait))
            if isinstance(found, Offer):
                return
        if goes:
            theirs.close()
            arrival.read()
    except TurnedAway as turned:
        answer = turned.answer
        assert answer == b"" or answer[0] in (pdu.ASSOCIATE_RJ, pdu.ABORT)
        assert len(arrival._received) <= LIMITS.association_request + (1 << 16)
    finally:
        arrival.close()
        theirs.close()


# ------------------------------------------------------------------ DIMSE


def _command(data: bytes) -> None:
    try:
        command = parse_command(data)
    except InvalidCommand:
        return
    assert command.field in Field
    assert 0 <= command.message_id <= 0xFFFF
    if not command.field & RESPONSE and command.field is not Field.C_CANCEL_RQ:
        answer = response(command, Response(0xA900, comment="x" * 80, offending_tags=(1, 2)), has_data_set=False)
        assert raw.element(0x00000120, struct.pack("<H", command.message_id)) in answer


class _Pieces(Transport):
    """A connection on which `data` comes in pieces of `step` bytes, and then its end; what is written is forgotten."""

    def __init__(self, data: bytes, step: int) -> None:
        self.view, self.start, self.end = memoryview(bytearray(64)), 0, 0
        self._left = iter([data[at : at + step] for at in range(0, len(data), step)])

    def receive(self, until: float | None) -> bool:
        piece = next(self._left, None)
        if piece is None:
            raise Ending("lost", "connection closed by the peer")
        if self.start == self.end:
            self.start = self.end = 0
        while len(self.view) - self.end < len(piece):
            self._make_room()
        self.view[self.end : self.end + len(piece)] = piece
        self.end += len(piece)
        return True

    def send(self, buffers: Sequence[Buffer]) -> None:
        pass


def _channel(data: bytes) -> None:
    """What comes on an established association; the first byte says in what pieces."""
    sinks: list[MemorySink] = []

    def open_sink(command: Command, context: Context) -> MemorySink:
        sinks.append(MemorySink(None))  # type: ignore[arg-type]
        return sinks[-1]

    transport = _Pieces(data[1:], data[0] * 8 + 1 if data else 1)
    channel = Channel(transport, wired.CONTEXTS, LIMITS, max_pdu=16384, peer_max_pdu=16384, open_sink=open_sink)
    how, served = "", 0
    while not how:
        try:
            message = channel.next_request()
            if message.sink is not None:
                message.sink.finish()
            channel.is_cancelled(message.command.message_id)
            served += 1
        except Ending as ending:
            how = ending.how
    assert how in ("released", "aborted", "lost", "protocol error")
    assert all(sink.outcome for sink in sinks), "a sink that was neither finished nor abandoned"
    assert served <= len(data)
    assert len(transport.view) <= 256 * 1024


# ------------------------------------------------------------------ data sets

_SAMPLE = {
    "0008,0005": "ISO_IR 192",
    "0008,0020": "20200102",
    "0008,0030": "120000.5",
    "0008,0061": "CT\\MR",
    "0008,1140": [{"0008,1150": "1.2.3", "0008,1155": "1.2.3.4"}],
    "0010,0010": "Müller^Jörg=山田^太郎=やまだ^たろう",
    "0010,0020": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "0020,000d": "1.2.3",
    "0020,0013": "7",
    "0028,0010": "512",
    "7fe0,0010": None,
}


def _identifier(syntax: str) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        with contextlib.suppress(InvalidIdentifier):
            keys = find_keys(data, syntax, LIMITS, orthanc_charset("Latin1"))
            match = with_own(_SAMPLE, "PROXY")
            matches(match, keys.keys)
            answer = response_identifier(match, keys, "PROXY").encode(syntax)
            check(answer, syntax, max_depth=64)
            for mode in ("legacy", "requested", "extended"):
                json.dumps(find_body(keys, mode))  # type: ignore[arg-type]
            legacy_plan(keys)
        with contextlib.suppress(InvalidIdentifier):
            wanted = retrieve_keys(data, syntax, LIMITS)
            assert wanted.values, "everything is retrieved"
            for values in wanted.values.values():
                assert 1 <= len(values) <= LIMITS.uids_per_list
                assert all(value and "*" not in value for value in values)
            json.dumps(locate_query(wanted))

    return run


def _commitment(data: bytes) -> None:
    with contextlib.suppress(InvalidIdentifier):
        transaction = transaction_of(data, EXPLICIT, LIMITS.nesting)
        assert is_uid(transaction.uid)
        assert transaction.references
        for reference in transaction.references:
            assert is_uid(reference.sop_class_uid)
            assert is_uid(reference.sop_instance_uid)


_WANTED = (0x00080016, 0x00080018, 0x0020000D)
_INFLATED_MOST = 1 << 18


def _walked(data: bytes, syntax: str, step: int, wanted: Collection[int] = _WANTED) -> dict[int, bytes] | None:
    walker = Walker(syntax, LIMITS.nesting, wanted, max_bytes=_INFLATED_MOST, kept_bytes=64)
    try:
        for at in range(0, len(data), step):
            walker.feed(memoryview(data)[at : at + step])
        walker.finish()
    except StructureError:
        return None
    return walker.found


def _data_set(syntax: str) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        whole = _walked(data, syntax, max(len(data), 1))
        for step in (1, 7, 64):
            assert _walked(data, syntax, step) == whole, f"walked in steps of {step} bytes it is another data set"
        hangs_together = _walked(data, syntax, 5, ()) is not None
        try:
            check(data, syntax, max_depth=LIMITS.nesting, max_bytes=_INFLATED_MOST)
        except UnreadableIdentifier:
            assert not hangs_together
        else:
            assert hangs_together
        if syntax in (IMPLICIT, EXPLICIT, BIG) and whole is not None:
            for target in (IMPLICIT, EXPLICIT, BIG):
                with contextlib.suppress(ValueError):
                    list(reencode(memoryview(data), syntax, target))

    return run


@st.composite
def _deflated(draw: st.DrawFn) -> bytes:
    deflater = zlib.compressobj(draw(st.integers(0, 9)), wbits=-zlib.MAX_WBITS)
    data = draw(pieces.data_sets(EXPLICIT)) * draw(st.sampled_from((1, 1, 1, 400)))
    return deflater.compress(data) + deflater.flush() + draw(st.sampled_from((b"", b"", b"\0", b"\0" * 9, b"junk" * 9)))


# ------------------------------------------------------------------ files of ours


def _part10(data: bytes) -> None:
    try:
        meta = read_meta(data)
    except ValueError:
        return
    assert 0 <= meta.dataset_offset <= len(data)
    assert meta.transfer_syntax == meta.transfer_syntax.rstrip("\0 ")


@st.composite
def _files(draw: st.DrawFn) -> bytes:
    meta = write_meta(raw.CT, "1.2.3", draw(st.sampled_from((IMPLICIT, EXPLICIT, "1.2.840.10008.1.2.4.50"))))
    return meta[draw(st.sampled_from((0, 0, 132))) :] + draw(pieces.data_sets(EXPLICIT))


def _footer(data: bytes) -> None:
    for verify in (True, False):
        try:
            footer = read_footer(memoryview(data), verify=verify)
        except ValueError:
            continue
        assert 0 <= footer.dataset_offset <= footer.length <= len(data)


@st.composite
def _cache_files(draw: st.DrawFn) -> bytes:
    content = draw(st.binary(max_size=100))
    offset = draw(st.integers(0, len(content)))
    hasher = xxhash.xxh3_128(content)
    return content + Footer("instance.file", raw.CT, "1.2.3", EXPLICIT, offset, len(content)).pack(hasher)


def _envelope(data: bytes) -> None:
    try:
        envelope, offset = read_head(data)
    except ValueError:
        return
    assert 0 <= offset <= len(data)
    assert envelope.transfer_syntax


_ENVELOPE = Envelope(
    id="000000000000000000000001",
    pipeline="main",
    calling_aet="WS1",
    called_aet="PROXY",
    address="192.0.2.1",
    port=104,
    received_at=1.5,
    sop_class_uid=raw.CT,
    sop_instance_uid="1.2.3",
    transfer_syntax=EXPLICIT,
)
_spool_files = st.sampled_from(("", "1.2.3")).map(
    lambda uid: write_head(_ENVELOPE.complete(uid, uid, "CT", 8, "0" * 32)) + b"data set"
)


def _spool_name(data: bytes) -> None:
    name = parse_path(data.decode("utf-8", "replace"))
    if name is not None:
        assert parse_path(name.path) == name
        assert ".." not in Path(name.path).parts
        assert not name.path.startswith("/")


_PATHS = st.lists(
    st.sampled_from(("main", "pipeline", "1.2.3", "..", "", "1.2.3~2.dcm", "1.2.3.dcm", ".dead", "a\0b", "\u202e")),
    max_size=6,
).map(lambda parts: "/".join(parts).encode())


# ------------------------------------------------------------------ configuration


def _config(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.toml")
        path.write_bytes(data)
        complaints = ["none"]
        try:
            read(path, {}, secrets=Path(folder, "none"))
        except ConfigError as error:
            complaints = error.complaints
        assert complaints
        assert all(complaint.strip() for complaint in complaints)


_LINES = (
    "[proxy]",
    'id = "x"',
    "workers = 0",
    "workers = 10_000_000_000",
    "[listener]",
    "bind_port = 70000",
    'bind_address = "::1"',
    "bind_prt = 1",
    "[listener.tls.pins]",
    '"WS 1" = ["x"]',
    "[limits]",
    'pdu = "8 EiB"',
    'pdu = "-1"',
    "identifier = 1e999",
    "idle_timeout = nan",
    "idle_timeout = -inf",
    "[pipelines.a]",
    'aet = "A"',
    'aet = "ÄÖ\\u0000"',
    'services = ["echo", "echo", 7]',
    'backend = "b"',
    "[[pipelines.a.rules]]",
    'address = ["10.0.0.0/99"]',
    'calling_aet = ["*"]',
    "[backends.b]",
    'url = "http://127.0.0.1:8042"',
    'url = "file:///etc/passwd"',
    "verify = false",
    "[destinations.d]",
    'aet = "D"',
    'host = "h"',
    "port = 104",
    "[backends]",
    "[pipelines]",
    "a = 1",
    "x.y.z = 1",
    "[a.b",
    '"""',
    "# \u202e",
    "1979-05-27 07:32:00 = 1",
)
_tomls = st.lists(st.sampled_from(_LINES), max_size=14).map(lambda lines: "\n".join(lines).encode())


# ------------------------------------------------------------------ the table

_chunked = st.tuples(st.integers(0, 255), wrong(pieces.association_requests())).map(
    lambda pair: bytes([pair[0]]) + pair[1]
)


@st.composite
def _conversations(draw: st.DrawFn) -> bytes:
    """What a requestor says on an association: messages one after the other, whole and in pieces."""
    parts = [
        st.sampled_from((wired.echo(1), wired.find(2), wired.store(3), wired.cancel(2), raw.RELEASE)),
        st.builds(wired.find, st.integers(0, 3), st.binary(max_size=60), st.integers(1, 60)),
        st.builds(wired.store, st.integers(0, 3), st.binary(max_size=90), st.integers(1, 60)),
        st.builds(raw.message, st.sampled_from((1, 3, 7, 99)), pieces.command_sets()),
        pieces.data_pdus(),
        pieces.small_pdus,
    ]
    said: Sequence[bytes] = draw(st.lists(st.one_of(parts), max_size=6))
    return struct.pack("B", draw(st.integers(0, 255))) + b"".join(said)


TARGETS = [
    Target("pdu", _pdu, st.one_of(wrong(pieces.data_pdus()), wrong(pieces.small_pdus))),
    Target("association-request", _request, wrong(pieces.association_requests())),
    Target("association-acceptance", _acceptance, wrong(pieces.association_acceptances())),
    Target("front-door", _arrival, _chunked),
    Target("command", _command, wrong(pieces.command_sets())),
    Target("channel", _channel, wrong(_conversations())),
    Target("identifier-implicit", _identifier(IMPLICIT), wrong(pieces.identifiers(IMPLICIT)), cost=2),
    Target("identifier-explicit", _identifier(EXPLICIT), wrong(pieces.identifiers(EXPLICIT)), cost=2),
    Target("identifier-big-endian", _identifier(BIG), wrong(pieces.identifiers(BIG)), cost=2),
    Target("data-set-implicit", _data_set(IMPLICIT), wrong(pieces.data_sets(IMPLICIT)), cost=2),
    Target("data-set-explicit", _data_set(EXPLICIT), wrong(pieces.data_sets(EXPLICIT)), cost=2),
    Target("data-set-big-endian", _data_set(BIG), wrong(pieces.data_sets(BIG)), cost=2),
    Target("data-set-deflated", _data_set(raw.DEFLATED), wrong(_deflated()), cost=2),
    Target("commitment", _commitment, wrong(pieces.data_sets(EXPLICIT)), cost=2),
    Target("part-10", _part10, wrong(_files())),
    Target("cache-footer", _footer, wrong(_cache_files())),
    Target("spool-envelope", _envelope, wrong(_spool_files)),
    Target("spool-name", _spool_name, wrong(_PATHS)),
    Target("config", _config, wrong(_tomls), cost=4),
]
