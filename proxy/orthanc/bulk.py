"""The lean way: instance files in and out, and questions, over libcurl, at a tenth of what httpx takes for each.

Everything else goes through pyorthanc and httpx; both speak to the same Orthanc with the same credentials.
"""

import contextlib
import io
import math
import queue
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pycurl

from proxy.config import Backend
from proxy.errors import OrthancUnavailable
from proxy.orthanc.answers import gone_if_missing

Buffer = bytes | memoryview
_PIECE = 1 << 18  # bytes read at a time: memory per download stays at one piece
_ANSWER_MOST = 1 << 20  # bytes of an answer that is no file
_STALE = (pycurl.E_SEND_FAIL_REWIND, pycurl.E_GOT_NOTHING, pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR)


class Bulk:
    """A pool of connections for files in both directions. Thread-safe."""

    def __init__(self, backend: Backend, headers: Mapping[str, str]) -> None:
        self._backend = backend
        self._url = backend.url.rstrip("/")
        self._headers = [f"{name}: {value}" for name, value in headers.items()]
        self._idle: queue.LifoQueue[pycurl.Curl] = queue.LifoQueue(backend.connections)

    def get(
        self, path: str, write: Callable[[memoryview], None], *, begin: Callable[[int], None], patience: float = 0.0
    ) -> int:
        """GET a file; `begin` is told its length, then `write` gets it piece by piece. Returns the HTTP status.

        All of it must be there within `patience` seconds, where that is not 0. Raises InstanceGone, OrthancRefused, or
        OrthancUnavailable also where the body ends too soon.
        """
        with self._connection() as curl:
            answer = _File(write, begin)
            curl.setopt(pycurl.HTTPGET, 1)
            curl.setopt(pycurl.TIMEOUT_MS, math.ceil(patience * 1000))
            curl.setopt(pycurl.HTTPHEADER, self._headers)
            curl.setopt(pycurl.HEADERFUNCTION, answer.read_header)
            curl.setopt(pycurl.WRITEFUNCTION, answer.take)
            self._perform(curl, path, answer.raise_own)
            return answer.finish()

    def post(
        self, path: str, content: Callable[[], Iterable[Buffer]], length: int, content_type: str = "application/dicom"
    ) -> tuple[int, bytes]:
        """POST a file, or a question, in pieces; HTTP status and body. Raises OrthancUnavailable.

        `content` is called once more where a connection was stale.
        """
        for stale in (True, False):
            with self._connection() as curl:
                answer = io.BytesIO()
                curl.setopt(pycurl.POST, 1)
                curl.setopt(pycurl.TIMEOUT_MS, 0)
                curl.setopt(pycurl.POSTFIELDSIZE_LARGE, length)
                curl.setopt(pycurl.HTTPHEADER, [*self._headers, f"Content-Type: {content_type}", "Expect:"])
                curl.setopt(pycurl.READFUNCTION, _Source(content()).read)
                curl.setopt(pycurl.WRITEFUNCTION, answer.write)
                try:
                    self._perform(curl, path, lambda: None)
                except OrthancUnavailable as error:
                    cause = error.__cause__
                    if stale and isinstance(cause, pycurl.error) and cause.args[0] in _STALE:
                        continue
                    raise
                return curl.getinfo(pycurl.RESPONSE_CODE), answer.getvalue()
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close all idle connections."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    def _perform(self, curl: pycurl.Curl, path: str, raise_own: Callable[[], None]) -> None:
        curl.setopt(pycurl.URL, self._url + path)
        curl.setopt(pycurl.XFERINFOFUNCTION, _Silence(self._backend.read_timeout).has_lasted)
        try:
            curl.perform()
        except pycurl.error as error:
            raise_own()
            raise OrthancUnavailable(_words_for_curl(error.args[0])) from error
        raise_own()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[pycurl.Curl]:
        """A handle that nobody else uses; one that failed is not used again."""
        curl = None
        with contextlib.suppress(queue.Empty):
            curl = self._idle.get_nowait()
        curl = curl or _handle(self._backend)
        try:
            yield curl
        except BaseException:
            curl.close()
            raise
        curl.setopt(pycurl.WRITEFUNCTION, len)  # or it would hold on to what it was given
        curl.setopt(pycurl.HEADERFUNCTION, len)
        curl.setopt(pycurl.READFUNCTION, _nothing)
        curl.setopt(pycurl.XFERINFOFUNCTION, _nobody_waits)
        try:
            self._idle.put_nowait(curl)
        except queue.Full:
            curl.close()


@dataclass(slots=True)
class _File:
    """The body of one answer on its way. An error of ours is kept until libcurl has ended the transfer."""

    write: Callable[[memoryview], None]
    begin: Callable[[int], None]
    status: int = 0
    left: int = -1  # bytes of the file that are still to come; -1 = its length was not told
    begun: bool = False
    refusal: bytearray = field(default_factory=bytearray)
    error: BaseException | None = None

    def read_header(self, line: bytes) -> None:
        """Called by libcurl for the status line and each header."""
        if line.startswith(b"HTTP/"):
            self.status, self.left = int(line.split()[1]), -1
        elif line[:15].lower() == b"content-length:":
            self.left = int(line[15:])

    def take(self, piece: bytes) -> int:
        """Called by libcurl with a piece of the body; anything but its length makes it stop."""
        try:
            if self.status != 200:
                self.refusal += piece[: _ANSWER_MOST - len(self.refusal)]
                return len(piece)
            self._begin()
            self.left -= len(piece)
            self.write(memoryview(piece))
        except BaseException as error:
            self.error = error
            return 0
        return len(piece)

    def raise_own(self) -> None:
        """Raise what went wrong on our side, if anything did."""
        if self.error is not None:
            raise self.error

    def finish(self) -> int:
        """The HTTP status, when all went well."""
        if self.status != 200:
            gone_if_missing(self.status, bytes(self.refusal))
        self._begin()
        if self.left:
            raise OrthancUnavailable("Orthanc ended a file too soon")
        return self.status

    def _begin(self) -> None:
        if not self.begun:
            if self.left < 0:
                raise OrthancUnavailable("Orthanc sent a file without its length")
            self.begun = True
            self.begin(self.left)


class _Source:
    """Hands pieces of any size over in the sizes that libcurl asks for."""

    def __init__(self, pieces: Iterable[Buffer]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; none at the end. An error of ours stops the transfer."""
        try:
            while not self._rest:
                self._rest = memoryview(next(self._pieces))
        except StopIteration:
            return b""
        piece, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return piece


class _Silence:
    """Ends a transfer without a byte for so many seconds; libcurl's own measure is a mean over the last five."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._moved = -1.0
        self._since = 0.0

    def has_lasted(self, _download: float, down: float, _upload: float, up: float) -> int:
        """Called by libcurl with what has come and gone so far; anything but 0 makes it stop."""
        now, moved = time.monotonic(), down + up
        if moved != self._moved:
            self._moved, self._since = moved, now
        return int(now - self._since > self._seconds)


def _nobody_waits(*_: float) -> int:
    return 0


def _nothing(size: int) -> bytes:  # noqa: ARG001
    return b""


def _handle(backend: Backend) -> pycurl.Curl:
    curl = pycurl.Curl()
    curl.setopt(pycurl.NOSIGNAL, 1)
    curl.setopt(pycurl.FOLLOWLOCATION, 0)
    curl.setopt(pycurl.BUFFERSIZE, _PIECE)
    curl.setopt(pycurl.UPLOAD_BUFFERSIZE, _PIECE)
    curl.setopt(pycurl.TCP_NODELAY, 1)
    curl.setopt(pycurl.CONNECTTIMEOUT_MS, math.ceil(backend.connect_timeout * 1000))
    curl.setopt(pycurl.NOPROGRESS, 0)  # so that it asks XFERINFOFUNCTION, once a second at least
    if backend.url.startswith("https:"):
        _secure(curl, backend)
    return curl


def _secure(curl: pycurl.Curl, backend: Backend) -> None:
    """The same trust as the other way has; libcurl comes without authorities of its own."""
    curl.setopt(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
    if isinstance(backend.verify, Path):
        curl.setopt(pycurl.CAINFO, str(backend.verify))
    elif backend.verify:
        system = ssl.get_default_verify_paths()
        if system.cafile:
            curl.setopt(pycurl.CAINFO, system.cafile)
        if system.capath:
            curl.setopt(pycurl.CAPATH, system.capath)
    else:
        curl.setopt(pycurl.SSL_VERIFYPEER, 0)
        curl.setopt(pycurl.SSL_VERIFYHOST, 0)
    if backend.client_certificate is not None:
        curl.setopt(pycurl.SSLCERT, str(backend.client_certificate))


def _words_for_curl(code: int) -> str:
    """An error of libcurl in an administrator's words; at most 64 characters."""
    match code:
        case pycurl.E_COULDNT_RESOLVE_HOST:
            return "Orthanc's host name is unknown"
        case pycurl.E_COULDNT_CONNECT:
            return "Orthanc refuses connections"
        case pycurl.E_OPERATION_TIMEDOUT | pycurl.E_ABORTED_BY_CALLBACK:
            return "Orthanc does not answer in time"
        case pycurl.E_PEER_FAILED_VERIFICATION | pycurl.E_SSL_CACERT_BADFILE:
            return "Orthanc's TLS certificate is not trusted"
        case pycurl.E_SSL_CONNECT_ERROR | pycurl.E_SSL_CERTPROBLEM | pycurl.E_SSL_CIPHER:
            return "TLS with Orthanc failed"
        case pycurl.E_PARTIAL_FILE:
            return "Orthanc ended a file too soon"
    return f"the connection to Orthanc broke (libcurl {code})"


def words_for(error: Exception) -> str:
    """A transport error of httpx in an administrator's words; at most 64 characters."""
    text = f"{type(error).__name__} {error}"
    for sign, words in (
        ("CERTIFICATE_VERIFY_FAILED", "Orthanc's TLS certificate is not trusted"),
        ("SSL", "TLS with Orthanc failed"),
        ("refused", "Orthanc refuses connections"),
        ("Name or service not known", "Orthanc's host name is unknown"),
        ("name resolution", "Orthanc's host name is unknown"),
        ("imed out", "Orthanc does not answer in time"),
        ("Timeout", "Orthanc does not answer in time"),
    ):
        if sign in text:
            return words
    return f"the connection to Orthanc broke ({type(error).__name__})"
