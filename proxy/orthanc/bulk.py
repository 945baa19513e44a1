"""The lean way for bytes: instance files in and out over urllib3, which costs a fifth of httpx for each of them.

Everything else goes through pyorthanc and httpx; both speak to the same Orthanc with the same credentials.
"""

import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import urllib3
from urllib3.util import Retry, Timeout

from proxy.errors import OrthancUnavailable
from proxy.orthanc.answers import gone_if_missing

Buffer = bytes | memoryview
_PIECE = 1 << 18  # bytes read at a time: memory per download stays at one piece


class Bulk:
    """A pool of connections for files in both directions. Thread-safe."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        connections: int,
        timeout: tuple[float, float],
        tls: ssl.SSLContext | None,
    ) -> None:
        options: dict[str, Any] = {"ssl_context": tls} if url.startswith("https:") else {}
        self._url = url
        self._headers = dict(headers)
        self._pool = urllib3.PoolManager(
            num_pools=2,
            maxsize=connections,
            block=False,
            retries=Retry(False),
            timeout=Timeout(connect=timeout[0], read=timeout[1]),
            **options,
        )

    def get(self, path: str, write: Callable[[memoryview], None], *, begin: Callable[[int], None]) -> int:
        """GET a file; `begin` is told its length, then `write` gets it piece by piece. Returns the HTTP status.

        Raises InstanceGone, OrthancRefused, or OrthancUnavailable also where the body ends too soon.
        """
        try:
            response = self._pool.request("GET", self._url + path, headers=self._headers, preload_content=False)
        except urllib3.exceptions.HTTPError as error:
            raise OrthancUnavailable(words_for(error)) from error
        try:
            return self._body(response, write, begin)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            response.close()
            raise OrthancUnavailable(words_for(error)) from error
        except BaseException:
            response.close()
            raise

    def post(self, path: str, content: Callable[[], Iterable[Buffer]], length: int) -> tuple[int, bytes]:
        """POST a file in pieces; HTTP status and body. `content` is called once more where a connection was stale.

        Raises OrthancUnavailable.
        """
        headers = {**self._headers, "Content-Length": str(length), "Content-Type": "application/dicom"}
        for stale in (True, False):
            try:
                body: Any = content()  # any buffer will do, its stubs know bytes alone
                response = self._pool.request("POST", self._url + path, headers=headers, body=body)
                return response.status, response.data
            except urllib3.exceptions.ProtocolError as error:
                if not stale:
                    raise OrthancUnavailable(words_for(error)) from error
            except urllib3.exceptions.HTTPError as error:
                raise OrthancUnavailable(words_for(error)) from error
        raise AssertionError("unreachable")

    @staticmethod
    def _body(
        response: urllib3.BaseHTTPResponse, write: Callable[[memoryview], None], begin: Callable[[int], None]
    ) -> int:
        if response.status != 200:
            body = response.read(1 << 16)
            response.release_conn()
            gone_if_missing(response.status, body)
        length = response.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise OrthancUnavailable("Orthanc sent a file without its length")
        left = int(length)
        begin(left)
        buffer = bytearray(min(_PIECE, max(left, 1)))
        view = memoryview(buffer)
        while left:
            count = response.readinto(view[: min(left, len(buffer))])
            if not count:
                raise OrthancUnavailable("Orthanc ended a file too soon")
            write(view[:count])
            left -= count
        response.release_conn()
        return response.status

    def close(self) -> None:
        """Close all idle connections."""
        self._pool.clear()


def words_for(error: Exception) -> str:
    """A transport error of urllib3 or httpx in an administrator's words; at most 64 characters."""
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
