"""What fuzz targets are fed: right inputs of every kind, and what becomes of them with a few wrong bytes."""

import struct
from collections.abc import Sequence

from hypothesis import strategies as st

from tests.support import raw

IMPLICIT, EXPLICIT, BIG = raw.IMPLICIT, raw.EXPLICIT, raw.BIG_ENDIAN
_SYNTAXES = (IMPLICIT, EXPLICIT, BIG, raw.DEFLATED, "1.2.840.10008.1.2.4.50")
_CLASSES = (raw.VERIFICATION, raw.STUDY_FIND, raw.STUDY_GET, raw.STUDY_MOVE, raw.CT, "1.2.3", "1.2.840.10008.1.20.1")
_EDGES = (0, 1, 2, 3, 7, 8, 0x7F, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFF0, 0xFFFFFFFE, 0xFFFFFFFF)

noise = st.binary(max_size=300)


# ------------------------------------------------------------------ wrong bytes


@st.composite
def mutated(draw: st.DrawFn, inputs: st.SearchStrategy[bytes], most: int = 4) -> bytes:
    """One of `inputs` with up to `most` things done to it; often none."""
    data = bytearray(draw(inputs))
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from(("flip", "edge", "edge", "cut", "drop", "repeat", "insert", "move"))):
            case "flip" if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "edge":
                layout = draw(st.sampled_from((">H", "<H", ">L", "<L", "B")))
                width = struct.calcsize(layout)
                value = draw(st.sampled_from(_EDGES)) & ((1 << 8 * width) - 1)
                data[at : at + width] = struct.pack(layout, value)
            case "cut":
                del data[at:]
            case "drop":
                del data[at : at + draw(st.integers(1, 20))]
            case "repeat":
                data[at:at] = data[at : at + draw(st.integers(1, 60))]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=12))
            case "move":
                piece = bytes(data[at : at + draw(st.integers(1, 40))])
                del data[at : at + len(piece)]
                to = draw(st.integers(0, len(data)))
                data[to:to] = piece
    return bytes(data)


def wrong(inputs: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Mostly mutated, at times noise."""
    return st.one_of(mutated(inputs), mutated(inputs, 1), noise)


# ------------------------------------------------------------------ the upper layer

_uids = st.sampled_from(_CLASSES)
_transfer = st.lists(st.sampled_from(_SYNTAXES), min_size=1, max_size=4)
_titles = st.one_of(
    st.sampled_from((b"PROXY".ljust(16), b"WS1".ljust(16, b"\0"), b" PADDED ".ljust(16), b"A" * 16)),
    st.binary(min_size=16, max_size=16),
)


@st.composite
def association_requests(draw: st.DrawFn) -> bytes:
    """A-ASSOCIATE-RQ PDUs."""
    extra = b"".join(map(raw.role_item, draw(st.lists(_uids, max_size=2))))
    if draw(st.booleans()):
        user, code = draw(st.binary(max_size=20)), draw(st.binary(max_size=20))
        kind = draw(st.integers(0, 6))
        fields = struct.pack(">BBH", kind, 1, len(user)) + user + struct.pack(">H", len(code)) + code
        extra += raw.item(0x58, fields)
    if draw(st.booleans()):
        name = draw(_uids).encode()
        extra += raw.item(0x56, struct.pack(">H", len(name)) + name + draw(st.binary(max_size=6)))
    count = draw(st.integers(0, 5))
    contexts = [(2 * n + 1, draw(_uids), draw(_transfer)) for n in range(count)]
    return raw.request(
        draw(_titles),
        contexts,
        calling=draw(_titles),
        version=draw(st.sampled_from((0, 1, 1, 1, 3, 0xFFFF))),
        user=raw.user_item(draw(st.sampled_from((0, 1, 1018, 16384, 0xFFFFFFFF))), extra),
    )


@st.composite
def association_acceptances(draw: st.DrawFn) -> bytes:
    """A-ASSOCIATE-AC PDUs."""
    body = struct.pack(">H2x16s16s32x", 1, b"DEST".ljust(16), b"PROXY".ljust(16))
    body += raw.item(0x10, raw.APPLICATION_CONTEXT.encode())
    for number in range(draw(st.integers(0, 4))):
        result = draw(st.integers(0, 5))
        syntaxes = b"".join(raw.item(0x40, name.encode()) for name in draw(_transfer)[:1])
        body += raw.item(0x21, bytes((2 * number + 1, 0, result, 0)) + syntaxes)
    extra = b"".join(map(raw.role_item, draw(st.lists(_uids, max_size=2))))
    return raw.pdu(raw.AC, body + raw.user_item(16384, extra))


@st.composite
def data_pdus(draw: st.DrawFn) -> bytes:
    """P-DATA-TF PDUs of a few values."""
    values = st.tuples(st.integers(0, 255), st.integers(0, 3), st.binary(max_size=40))
    body = b"".join(raw.pdv(*value) for value in draw(st.lists(values, min_size=1, max_size=4)))
    return raw.pdu(raw.P_DATA, body)


small_pdus = st.builds(raw.pdu, st.integers(0, 9), st.binary(max_size=8))


# ------------------------------------------------------------------ DIMSE

_COMMAND_UIDS = st.sampled_from((*_CLASSES, "", "../../etc/passwd", "1." * 40, "1.2\x00.3"))
FIELDS = (0x0001, 0x0010, 0x0020, 0x0021, 0x0030, 0x0100, 0x0130, 0x0FFF, 0x8001, 0x8030, 0x8100, 0x8020, 0x0140)


@st.composite
def command_sets(draw: st.DrawFn) -> bytes:
    """Command sets: requests, responses and C-CANCELs, of fields that we know and do not know."""
    field = draw(st.sampled_from(FIELDS))
    extra = b""
    for tag, values in (
        (0x00000600, st.sampled_from((b"DEST", b"", b"\xff" * 16))),
        (0x00000900, st.sampled_from((b"\0\0", b"\0\xff", b"\x24\1"))),
        (0x00001000, _COMMAND_UIDS.map(lambda text: text.encode("latin-1"))),
        (0x00001008, st.sampled_from((b"\1\0", b"\2\0"))),
        (0x00001030, st.sampled_from((b"WS1", b"A" * 20))),
        (0x00001031, st.sampled_from((b"\1\0", b"\xff\xff"))),
    ):
        if draw(st.booleans()):
            extra += raw.element(tag, draw(values))
    return raw.command(
        field,
        message_id=draw(st.integers(0, 0xFFFF)),
        sop_class=draw(_COMMAND_UIDS),
        data=draw(st.booleans()),
        answers=draw(st.integers(0, 0xFFFF)) if field & 0x8000 or field == 0x0FFF else None,
        extra=extra,
    )


# ------------------------------------------------------------------ data sets

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG = ("OB", "OW", "SQ", "UN", "UT", "UC", "UR", "OF")


def element(tag: int, vr: str, value: bytes, syntax: str, length: int | None = None) -> bytes:
    """One element of a data set in one of the three uncompressed syntaxes, or a delimiter where `vr` is empty."""
    size = len(value) if length is None else length
    order = ">" if syntax == BIG else "<"
    tagged = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT or not vr:
        return tagged + struct.pack(f"{order}L", size) + value
    tagged += vr.encode()
    head = struct.pack(f"{order}2xL", size) if vr in _LONG else struct.pack(f"{order}H", size & 0xFFFF)
    return tagged + head + value


_PLAIN: Sequence[tuple[int, str]] = (
    (0x00080005, "CS"),
    (0x00080016, "UI"),
    (0x00080018, "UI"),
    (0x00080020, "DA"),
    (0x00080030, "TM"),
    (0x00080050, "SH"),
    (0x00080052, "CS"),
    (0x00080060, "CS"),
    (0x00080061, "CS"),
    (0x0008002A, "DT"),
    (0x00100010, "PN"),
    (0x00100020, "LO"),
    (0x00101010, "AS"),
    (0x0020000D, "UI"),
    (0x0020000E, "UI"),
    (0x00200013, "IS"),
    (0x00201208, "IS"),
    (0x00280010, "US"),
    (0x00280030, "DS"),
    (0x00090010, "LO"),
    (0x00091001, "UN"),
    (0x00091002, "OB"),
    (0x00081195, "UI"),
    (0x00081150, "UI"),
    (0x00081155, "UI"),
    (0x00081197, "US"),
    (0x7FE00010, "OW"),
)
_SEQUENCES = (0x00081140, 0x00081199, 0x00400100, 0x00091003)
_VALUES = st.one_of(
    st.sampled_from(
        (
            b"",
            b"STUDY ",
            b"SERIES",
            b"IMAGE ",
            b"PATIENT ",
            b"1.2.3.4\0",
            b"1.2.3\\1.2.4\\1.2",
            b"*",
            b"A*B?",
            b"*a*a*a*a*a*a*a*a*b",
            b"DOE^J*=*=?",
            b"ISO_IR 192",
            b"\\ISO 2022 IR 87",
            b"ISO_IR 100",
            b"\x1b$B$$\x1b(B^X",
            b"20200101-",
            b"-2020",
            b"-",
            b"20200101120000+0100-20210101",
            b"120000.000000-1300",
            b"99",
            b"-1",
            b"1e999",
            b"\0" * 8,
            b"  ",
            b"\xff" * 7,
            b"9" * 400,
        )
    ),
    st.binary(max_size=24),
)


@st.composite
def data_sets(draw: st.DrawFn, syntax: str, depth: int = 0) -> bytes:
    """Data sets that hang together, in ascending order of tags or not."""
    parts = []
    for _ in range(draw(st.integers(0 if depth else 1, 5))):
        if depth < 3 and draw(st.integers(0, 3)) == 0:
            parts.append(draw(_sequences(syntax, depth)))
        elif syntax != IMPLICIT and draw(st.integers(0, 9)) == 0:
            parts.append(draw(_encapsulated(syntax)))
        else:
            tag, vr = draw(st.sampled_from(_PLAIN))
            parts.append(element(tag, vr, draw(_VALUES), syntax))
    if draw(st.integers(0, 3)):
        parts.sort()
    return b"".join(parts)


@st.composite
def _sequences(draw: st.DrawFn, syntax: str, depth: int) -> bytes:
    items = b""
    for _ in range(draw(st.integers(0, 2))):
        content = draw(data_sets(syntax, depth + 1))
        if draw(st.booleans()):
            items += element(_ITEM, "", content, syntax)
        else:
            items += element(_ITEM, "", content, syntax, 0xFFFFFFFF) + element(_ITEM_END, "", b"", syntax)
    tag = draw(st.sampled_from(_SEQUENCES))
    vr = draw(st.sampled_from(("SQ", "SQ", "UN")))
    if draw(st.booleans()):
        return element(tag, vr, items, syntax)
    return element(tag, vr, items, syntax, 0xFFFFFFFF) + element(_SEQUENCE_END, "", b"", syntax)


@st.composite
def _encapsulated(draw: st.DrawFn, syntax: str) -> bytes:
    fragments = [b"", *draw(st.lists(st.binary(max_size=10), max_size=3))]
    content = b"".join(element(_ITEM, "", fragment, syntax) for fragment in fragments)
    return element(0x7FE00010, "OB", content, syntax, 0xFFFFFFFF) + element(_SEQUENCE_END, "", b"", syntax)


@st.composite
def identifiers(draw: st.DrawFn, syntax: str) -> bytes:
    """Identifiers with a level, and keys."""
    level = draw(st.sampled_from((b"STUDY ", b"PATIENT ", b"SERIES", b"IMAGE ", b"", b"ROOM", b"study\0")))
    parts = [element(0x00080052, "CS", level, syntax), draw(data_sets(syntax, 1))]
    if draw(st.booleans()):
        parts.append(element(0x0020000D, "UI", draw(_VALUES), syntax))
    return b"".join(parts)
