"""A DICOM peer made of bytes: builds any PDU, right or wrong, and says how the other side ends a connection.

Written apart from `proxy.wire` on purpose: what both misunderstood would otherwise look right.
"""

import contextlib
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

VERIFICATION = "1.2.840.10008.1.1"
STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_GET = "1.2.840.10008.5.1.4.1.2.2.3"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"

RQ, AC, RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
C_STORE, C_GET, C_FIND, C_MOVE, C_ECHO, C_CANCEL = 0x0001, 0x0010, 0x0020, 0x0021, 0x0030, 0x0FFF
NO_DATA = 0x0101

Context = tuple[int, str, Sequence[str]]
"""Presentation context: ID, abstract syntax, transfer syntaxes."""


# ---- PDUs


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """A PDU; `length` lies about its body where given."""
    return struct.pack(">BxL", kind, len(body) if length is None else length) + body


def item(kind: int, body: bytes, length: int | None = None) -> bytes:
    """An item or sub-item of an association PDU."""
    return struct.pack(">BxH", kind, (len(body) if length is None else length) & 0xFFFF) + body


def context_item(context_id: int, abstract: str, transfer: Sequence[str]) -> bytes:
    """A proposed presentation context."""
    syntaxes = b"".join(item(0x40, name.encode()) for name in transfer)
    return item(0x20, struct.pack("BBBB", context_id, 0, 0, 0) + item(0x30, abstract.encode()) + syntaxes)


def user_item(max_pdu: int = 16384, extra: bytes = b"") -> bytes:
    """User information with the sub-items everybody sends."""
    return item(0x50, item(0x51, struct.pack(">L", max_pdu)) + item(0x52, b"1.2.3.4") + extra + item(0x55, b"RAW"))


def role_item(sop_class: str, scu: int = 1, scp: int = 1) -> bytes:
    """SCP/SCU Role Selection."""
    name = sop_class.encode()
    return item(0x54, struct.pack(">H", len(name)) + name + bytes((scu, scp)))


def request(
    called: str | bytes,
    contexts: Sequence[Context] = ((1, VERIFICATION, (IMPLICIT,)),),
    *,
    calling: str | bytes = "RAW",
    max_pdu: int = 16384,
    roles: Sequence[str] = (),
    version: int = 1,
    application: bytes | None = None,
    presentation: bytes | None = None,
    user: bytes | None = None,
    extra: bytes = b"",
    length: int | None = None,
) -> bytes:
    """An A-ASSOCIATE-RQ; each part can be replaced by something else."""
    body = struct.pack(">H2x16s16s32x", version, _title(called), _title(calling))
    body += item(0x10, APPLICATION_CONTEXT.encode()) if application is None else application
    body += extra
    body += b"".join(context_item(*context) for context in contexts) if presentation is None else presentation
    body += user_item(max_pdu, b"".join(map(role_item, roles))) if user is None else user
    return pdu(RQ, body, length)


def _title(name: str | bytes) -> bytes:
    return name[:16] if isinstance(name, bytes) else name.encode("latin-1").ljust(16)[:16]


def pdv(context_id: int, control: int, fragment: bytes, length: int | None = None) -> bytes:
    """A presentation data value; control bit 0: command, bit 1: last."""
    return struct.pack(">LBB", len(fragment) + 2 if length is None else length, context_id, control) + fragment


def message(context_id: int, command: bytes, data: bytes | None = None, size: int = 16372) -> bytes:
    """A DIMSE message as P-DATA PDUs of at most `size` bytes of content each."""
    return b"".join(_fragments(context_id, command, 1, size)) + (
        b"".join(_fragments(context_id, data, 0, size)) if data is not None else b""
    )


def _fragments(context_id: int, content: bytes, control: int, size: int) -> Iterator[bytes]:
    for at in range(0, max(len(content), 1), size):
        last = 2 if at + size >= len(content) else 0
        yield pdu(P_DATA, pdv(context_id, control | last, content[at : at + size]))


RELEASE = pdu(RELEASE_RQ, bytes(4))
RELEASED = pdu(RELEASE_RP, bytes(4))


# ---- data sets


def element(tag: int, value: bytes | str, length: int | None = None) -> bytes:
    """An element in Implicit VR Little Endian; text is padded to even length."""
    content = value.encode("latin-1") if isinstance(value, str) else value
    content += (b"\0" if isinstance(value, bytes) else b" ") * (len(content) % 2)
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(content) if length is None else length) + content


def explicit(tag: int, vr: str, value: bytes | str, length: int | None = None) -> bytes:
    """An element in Explicit VR Little Endian."""
    content = value.encode("latin-1") if isinstance(value, str) else value
    content += (b"\0" if vr in ("UI", "OB", "UN") else b" ") * (len(content) % 2)
    size = len(content) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    long = vr in ("OB", "OW", "SQ", "UN", "UT", "OF", "OD", "UC", "UR")
    return head + (struct.pack("<2xL", size) if long else struct.pack("<H", size & 0xFFFF)) + content


def uid(value: str) -> bytes:
    """A UID as an element's value."""
    return value.encode("latin-1") + b"\0" * (len(value) % 2)


def command(
    field: int,
    *,
    message_id: int = 1,
    sop_class: str | None = VERIFICATION,
    data: bool = False,
    answers: int | None = None,
    extra: bytes = b"",
) -> bytes:
    """A command set; `answers` makes it a response to that message ID."""
    body = element(0x00000002, uid(sop_class)) if sop_class is not None else b""
    body += element(0x00000100, struct.pack("<H", field))
    if answers is None:
        body += element(0x00000110, struct.pack("<H", message_id))
    else:
        body += element(0x00000120, struct.pack("<H", answers))
    if field in (C_STORE, C_GET, C_FIND, C_MOVE):
        body += element(0x00000700, struct.pack("<H", 0))
    body += element(0x00000800, struct.pack("<H", 1 if data else NO_DATA)) + extra
    return element(0x00000000, struct.pack("<L", len(body))) + body


def store_command(sop_class: str, sop_instance: str | bytes, *, message_id: int = 1) -> bytes:
    """A C-STORE-RQ."""
    name = uid(sop_instance) if isinstance(sop_instance, str) else sop_instance
    return command(C_STORE, message_id=message_id, sop_class=sop_class, data=True, extra=element(0x00001000, name))


def store_response(sop_class: str, sop_instance: str, *, answers: int, status: int = 0) -> bytes:
    """A C-STORE-RSP."""
    tail = element(0x00000900, struct.pack("<H", status)) + element(0x00001000, uid(sop_instance))
    return command(C_STORE | 0x8000, sop_class=sop_class, answers=answers, extra=tail)


_NUMBERS = frozenset(
    (0, 0x0100, 0x0110, 0x0120, 0x0700, 0x0800, 0x0900, 0x1002, 0x1008, *range(0x1020, 0x1024), 0x1031)
)


def elements(data: bytes) -> dict[int, bytes]:
    """The elements of a flat data set in Implicit VR Little Endian, padding removed."""
    found, at = {}, 0
    while at + 8 <= len(data):
        group, number, length = struct.unpack_from("<HHL", data, at)
        padding = b"\0" if not group and number in _NUMBERS else b"\0 "  # the number 32 is no space
        found[group << 16 | number] = data[at + 8 : at + 8 + length].rstrip(padding)
        at += 8 + length
    return found


def us(value: bytes) -> int:
    """An unsigned short whose trailing zero bytes may have been stripped."""
    return int.from_bytes(value, "little")


# ---- the peer


@dataclass(frozen=True)
class Message:
    """A DIMSE message as received: its command elements and its data set."""

    context_id: int
    command: dict[int, bytes]
    data: bytes | None

    @property
    def field(self) -> int:
        return us(self.command[0x00000100])

    @property
    def status(self) -> int:
        return us(self.command[0x00000900])


class Ended(Exception):
    """Raised when the other side ended the connection; the text is as `Peer.ending` says it."""


@dataclass
class Peer:
    """One connection. `accepted` maps the context IDs that were accepted to their transfer syntaxes.

    `roles` maps SOP classes to the (SCU, SCP) roles that were granted to us; `items` holds the last user information
    sub-item of each type.
    """

    connection: socket.socket
    accepted: dict[int, str] = field(default_factory=dict)
    roles: dict[str, tuple[int, int]] = field(default_factory=dict)
    items: dict[int, bytes] = field(default_factory=dict)
    max_pdu: int = 16384
    _buffer: bytearray = field(default_factory=bytearray)

    @classmethod
    def connect(cls, port: int, *, timeout: float = 5.0, receive_buffer: int | None = None) -> "Peer":
        """A new connection. Raises OSError."""
        connection = socket.socket()
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(timeout)
        try:
            connection.connect(("127.0.0.1", port))
        except OSError:
            connection.close()
            raise
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(connection)

    def send(self, data: bytes, *, timeout: float = 10.0) -> bool:
        """Write all of it; False when the other side does not want it (any more)."""
        try:
            self.connection.settimeout(timeout)
            self.connection.sendall(data)
        except OSError:
            return False
        return True

    def pump(self, block: bytes, total: int, *, timeout: float = 2.0) -> int:
        """Write `block` again and again; how many bytes the other side took before it refused or stopped reading."""
        taken = 0
        self.connection.settimeout(timeout)
        with contextlib.suppress(OSError):
            while taken < total:
                taken += self.connection.send(block)
        return taken

    def drip(self, data: bytes, interval: float) -> int:
        """Write a byte at a time; how many could be written."""
        for sent, byte in enumerate(data):
            if not self.send(bytes([byte])) or self._is_closed():
                return sent
            time.sleep(interval)
        return len(data)

    def _is_closed(self) -> bool:
        """Has the other side closed? What it sent before counts as not yet closed."""
        try:
            self.connection.settimeout(0)
            return self.connection.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def read(self, timeout: float = 5.0) -> tuple[int, bytes]:
        """The next PDU: type and body. Raises Ended, or TimeoutError."""
        deadline = time.monotonic() + timeout
        header = self._exactly(6, deadline)
        kind, length = struct.unpack(">BxL", header)
        return kind, self._exactly(length, deadline)

    def _exactly(self, count: int, deadline: float) -> bytes:
        while len(self._buffer) < count:
            self.connection.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                more = self.connection.recv(1 << 18)
            except TimeoutError:
                raise
            except OSError as error:
                raise Ended("reset") from error
            if not more:
                raise Ended("closed")
            self._buffer += more
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def ending(self, within: float = 5.0, *, closing: bool = True) -> str:
        """How the other side ends this connection: rejected R/S/D, aborted S/R, released, closed, reset; or open.

        Without `closing` a PDU that ends the association will do; else the connection must be closed, too, or the
        time be over.
        """
        deadline = time.monotonic() + within
        said = ""
        while True:
            try:
                kind, body = self.read(deadline - time.monotonic())
            except Ended as end:
                return said or str(end)
            except (TimeoutError, ValueError):
                return said or "open"
            if kind == RJ:
                said = f"rejected {body[1]}/{body[2]}/{body[3]}"
            elif kind == ABORT:
                said = f"aborted {body[2]}/{body[3]}"
            elif kind == RELEASE_RP:
                said = "released"
            if said and not closing:
                return said

    def associate(
        self,
        called: str,
        contexts: Sequence[Context] = ((1, VERIFICATION, (IMPLICIT,)),),
        *,
        timeout: float = 5.0,
        calling: str = "RAW",
        max_pdu: int = 16384,
        roles: Sequence[str] = (),
    ) -> "Peer":
        """Request an association. Raises Ended when it is refused."""
        self.send(request(called, contexts, calling=calling, max_pdu=max_pdu, roles=roles))
        kind, body = self.read(timeout)
        if kind == RJ:
            raise Ended(f"rejected {body[1]}/{body[2]}/{body[3]}")
        if kind != AC:
            raise Ended(f"aborted {body[2]}/{body[3]}" if kind == ABORT else f"PDU {kind}")
        self._take_acceptance(body)
        return self

    def _take_acceptance(self, body: bytes) -> None:
        at = 68
        while at + 4 <= len(body):
            kind, length = struct.unpack_from(">BxH", body, at)
            value = body[at + 4 : at + 4 + length]
            if kind == 0x21 and value[2] == 0:
                self.accepted[value[0]] = value[8:].decode()
            elif kind == 0x50:
                self._take_user_information(value)
            at += 4 + length

    def _take_user_information(self, body: bytes) -> None:
        at = 0
        while at + 4 <= len(body):
            kind, length = struct.unpack_from(">BxH", body, at)
            value = self.items[kind] = body[at + 4 : at + 4 + length]
            if kind == 0x51:
                self.max_pdu = struct.unpack(">L", value)[0]
            elif kind == 0x54:
                self.roles[value[2:-2].decode()] = (value[-2], value[-1])
            at += 4 + length

    def message(self, timeout: float = 5.0) -> Message:
        """The next DIMSE message. Raises Ended or TimeoutError."""
        deadline = time.monotonic() + timeout
        parts: list[bytes] = []
        parsed: dict[int, bytes] | None = None
        while True:
            kind, body = self.read(max(deadline - time.monotonic(), 0.001))
            if kind != P_DATA:
                raise Ended(f"aborted {body[2]}/{body[3]}" if kind == ABORT else f"PDU {kind}")
            found = list(values(body))
            for index, (context_id, control, fragment) in enumerate(found):
                parts.append(fragment)
                if not control & 2:
                    continue
                content, parts = b"".join(parts), []
                if control & 1:
                    parsed = elements(content)
                    if us(parsed.get(0x00000800, b"\x01\x01")) != NO_DATA:
                        continue
                    done = Message(context_id, parsed, None)
                else:
                    done = Message(context_id, parsed or {}, content)
                rest = b"".join(pdv(*value) for value in found[index + 1 :])
                if rest:
                    self._buffer[:0] = pdu(P_DATA, rest)
                return done

    def answers(self, timeout: float = 10.0) -> list[Message]:
        """Responses up to and with the final one."""
        deadline = time.monotonic() + timeout
        found = []
        while True:
            found.append(self.message(max(deadline - time.monotonic(), 0.001)))
            if found[-1].status not in (0xFF00, 0xFF01):
                return found

    def echo(self, timeout: float = 5.0, message_id: int = 1) -> int:
        """C-ECHO on context 1; its status."""
        self.send(message(1, command(C_ECHO, message_id=message_id)))
        return self.message(timeout).status

    def release(self, timeout: float = 5.0) -> str:
        """Release the association and close."""
        self.send(RELEASE)
        said = self.ending(timeout, closing=False)
        self.close()
        return said

    def reset(self) -> None:
        """Vanish without a word: TCP RST."""
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def close(self) -> None:
        """Close the connection (TCP FIN)."""
        self.connection.close()


def values(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Context ID, message control header and fragment of each presentation data value in a P-DATA body."""
    at = 0
    while at + 6 <= len(body):
        length, context_id, control = struct.unpack_from(">LBB", body, at)
        yield context_id, control, body[at + 6 : at + 4 + length]
        at += 4 + length


def echo(port: int, called: str, *, timeout: float = 2.0, calling: str = "RAW") -> float:
    """Associate, C-ECHO, release; seconds it took. Raises Ended, TimeoutError or OSError when it does not go well."""
    began = time.monotonic()
    peer = Peer.connect(port, timeout=timeout)
    try:
        peer.associate(called, calling=calling, timeout=timeout)
        status = peer.echo(timeout)
        if status != 0:
            raise Ended(f"C-ECHO status {status:04X}")
        peer.send(RELEASE)
        said = peer.ending(timeout, closing=False)
        if said != "released":
            raise Ended(f"release: {said}")
    finally:
        peer.close()
    return time.monotonic() - began
