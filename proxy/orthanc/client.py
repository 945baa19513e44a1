"""The only door to an Orthanc: one method per REST call that the proxy makes. Thread-safe.

pyorthanc names the routes and httpx carries them, with `Accept-Encoding: identity` (Orthanc 1.10 would compress
every file), idle connections given up before Orthanc closes them after 1 s, and a bound below its 50 threads.
Raises OrthancUnavailable (may work later), OrthancRefused (will not) and InstanceGone; see `proxy.errors`.
"""

import base64
import re
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import orjson
from pyorthanc import Orthanc

from proxy.config import Backend
from proxy.dicom.messages import Located
from proxy.errors import ConfigError, OrthancRefused, OrthancUnavailable
from proxy.events import OrthancCalled
from proxy.journal import Journal
from proxy.orthanc.answers import checked, gone_if_missing, json_of, time_of, value_of
from proxy.orthanc.asking import Asked, Asking
from proxy.orthanc.bulk import Buffer, Bulk, words_for
from proxy.orthanc.jobs import Job, job_of
from proxy.orthanc.memory import Memory
from proxy.orthanc.modalities import Modality, modalities_of
from proxy.orthanc.retry import retried
from proxy.orthanc.version import Capabilities, capabilities_of

_KEEPALIVE = 0.8  # seconds; Orthanc closes idle connections after 1 s
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")
_FILE = "/instances/{id}/attachments/dicom/data"
T = TypeVar("T")
Put = Callable[[memoryview], None]


class OrthancClient:
    """One Orthanc. `name` is that of its [backends.NAME]. Raises ConfigError where its settings are not usable."""

    def __init__(self, name: str, backend: Backend, journal: Journal) -> None:
        self.name = name
        self.backend = backend
        self._journal = journal
        tls = _tls(name, backend)
        timeouts = httpx.Timeout(
            backend.read_timeout, connect=backend.connect_timeout, pool=backend.read_timeout + backend.connect_timeout
        )
        headers = {"Accept-Encoding": "identity", **_authorization(name, backend)}
        self._api = Orthanc(
            backend.url,
            return_raw_response=True,
            base_url=backend.url,
            timeout=timeouts,
            limits=httpx.Limits(
                max_connections=backend.connections,
                max_keepalive_connections=backend.connections,
                keepalive_expiry=_KEEPALIVE,
            ),
            headers=headers,
            verify=tls if tls is not None else True,
            follow_redirects=False,
        )
        self._bulk = Bulk(backend, headers)
        self._asking = Asking(backend, headers, tls, partial(self._tell, "GET", _FILE))
        self._memory = Memory()

    def __repr__(self) -> str:
        return f"<OrthancClient {self.name} {self.backend.url}>"

    def close(self) -> None:
        """Close all connections."""
        self._api.close()
        self._bulk.close()
        self._asking.close()

    # ---- what Orthanc is

    def system(self) -> dict[str, Any]:
        """GET /system."""
        return self._json("GET", "/system", self._api.get_system, dict)

    @property
    def capabilities(self) -> Capabilities:
        """What this Orthanc can do; asked again now and then, for it may be upgraded while we run."""
        return self._memory.recall("/system", lambda: capabilities_of(self.system()))

    def ping(self) -> None:
        """Is it there, with its database? /system alone is answered from memory."""
        self._once("GET", "/changes?last", lambda: self._api.get_changes(params={"last": ""}))

    def modalities(self) -> dict[str, Modality]:
        """Orthanc's AE titles by symbolic name."""
        return self._memory.recall("/modalities", self._modalities)

    def known_modalities(self) -> dict[str, Modality] | None:
        """The same as last heard, without waiting; None where nothing was heard yet."""
        return self._memory.glance("/modalities", self._modalities)

    def transfer_syntaxes(self) -> tuple[str, ...]:
        """The transfer syntaxes that Orthanc accepts."""
        return self._memory.recall("/tools/accepted-transfer-syntaxes", self._transfer_syntaxes)

    def known_transfer_syntaxes(self) -> tuple[str, ...] | None:
        """The same as last heard, without waiting; None = nothing heard yet."""
        return self._memory.glance("/tools/accepted-transfer-syntaxes", self._transfer_syntaxes)

    def default_encoding(self) -> str:
        """GET /tools/default-encoding, as "Latin1"."""
        return self._memory.recall("/tools/default-encoding", self._default_encoding)

    def _modalities(self) -> dict[str, Modality]:
        route = "/modalities"
        return modalities_of(self._json("GET", route, lambda: self._api.get_modalities(params={"expand": ""}), dict))

    def _transfer_syntaxes(self) -> tuple[str, ...]:
        route = "/tools/accepted-transfer-syntaxes"
        return tuple(self._json("GET", route, self._api.get_tools_accepted_transfer_syntaxes, list))

    def _default_encoding(self) -> str:
        response = self._call("GET", "/tools/default-encoding", self._api.get_tools_default_encoding)
        checked(response.status_code, response.content)
        return str(response.text.strip())

    def now(self) -> datetime:
        """Orthanc's clock (UTC), which stamps what it stores; in whole seconds."""
        response = self._call("GET", "/tools/now", self._api.get_tools_now)
        checked(response.status_code, response.content)
        return time_of(response.text)

    # ---- searching

    def find(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """POST /tools/find with `Expand`."""
        return self._asked("/tools/find", body)

    def find_ids(self, body: Mapping[str, Any]) -> list[str]:
        """POST /tools/find without `Expand`."""
        return self._asked("/tools/find", body)

    def bulk_content(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """POST /tools/bulk-content."""
        return self._asked("/tools/bulk-content", body)

    def resource(self, level: str, resource_id: str) -> dict[str, Any]:
        """GET /{level}/{id}, `level` as "studies". Raises OrthancRefused with status 404 where it is not there."""
        path = f"/{level}/{_safe(resource_id)}"
        return self._json("GET", f"/{level}/{{id}}", lambda: self._api.get(path), dict)

    def statistics(self, level: str, resource_id: str) -> dict[str, Any]:
        """GET /{level}/{id}/statistics."""
        path = f"/{level}/{_safe(resource_id)}/statistics"
        return self._json("GET", f"/{level}/{{id}}/statistics", lambda: self._api.get(path), dict)

    def instance_tags(self, instance_id: str) -> dict[str, Any]:
        """GET /instances/{id}/tags?short: "gggg,eeee" -> value or list of items. Raises InstanceGone."""
        path = f"/instances/{_safe(instance_id)}/tags"
        response = self._call("GET", "/instances/{id}/tags", lambda: self._api.get(path, params={"short": ""}))
        gone_if_missing(response.status_code, response.content)
        tags: dict[str, Any] = json_of(response, dict)
        return tags

    # ---- bytes

    def download(self, located: Located, write: Put, begin: Callable[[int], None], patience: float = 0.0) -> None:
        """The file of an instance: `begin` with its length at the start of each attempt, then `write` piece by piece.

        With `patience` there is one attempt, which must be over after so many seconds. The length is checked against
        the listing and against what arrives. The MD5 is not: it would cost as much as all the rest of a retrieve, and
        TCP has its own sums; what the cache keeps has a hash of ours from here on.
        """

        def checked_begin(length: int) -> None:
            if located.size and length != located.size:
                raise OrthancUnavailable("Orthanc sent a file of another length than it lists")
            begin(length)

        path = _file_path(located)

        def attempt() -> None:
            with self._told("GET", _FILE) as outcome:
                outcome.append(self._bulk.get(path, write, begin=checked_begin, patience=patience))

        if patience:
            attempt()
        else:
            retried(self.backend.retries, attempt)

    def ask(self, located: Located) -> Asked | None:
        """Ask for the file of an instance whose length is known, to read it later; None where that does not work."""
        return self._asking.ask(_file_path(located), located.size)

    def transcoded(self, located: Located, transfer_syntax: str, write: Put) -> None:
        """The whole file as Orthanc transcodes it; what comes back must be checked, old versions ignore the wish.

        Raises OrthancRefused where Orthanc cannot.
        """
        safe = _safe(located.instance_id)
        if self.capabilities.transcodes:
            path = f"/instances/{safe}/file?transcode={quote(transfer_syntax)}"
            with self._told("GET", "/instances/{id}/file?transcode") as outcome:
                outcome.append(self._bulk.get(path, write, begin=lambda _: None))
            return
        wish = {"Transcode": transfer_syntax, "Keep": ["SOPInstanceUID"], "Force": True}
        response = self._once(
            "POST", "/instances/{id}/modify", lambda: self._api.post(f"/instances/{safe}/modify", json=wish)
        )
        write(memoryview(response.content))

    def upload(self, content: Callable[[], Iterable[Buffer]], length: int) -> dict[str, Any]:
        """POST /instances, once; `content` gives the file in pieces. The answer names ID and Status."""
        with self._told("POST", "/instances") as outcome:
            status, body = self._bulk.post("/instances", content, length)
            outcome.append(status)
            checked(status, body)
            return value_of(body, dict)

    def transfer_syntax(self, instance_id: str) -> str:
        """The transfer syntax an instance is stored in, "" where Orthanc does not tell. Raises InstanceGone."""
        path = f"/instances/{_safe(instance_id)}/metadata/TransferSyntax"
        response = self._call("GET", "/instances/{id}/metadata/{name}", lambda: self._api.get(path))
        return response.text.strip() if response.status_code == 200 else ""

    def attachment_md5(self, instance_id: str) -> str:
        """MD5 of the stored file, "" where Orthanc keeps none. Raises InstanceGone."""
        path = f"/instances/{_safe(instance_id)}/attachments/dicom/md5"

        def attempt() -> str:
            digest = bytearray()
            with self._told("GET", "/instances/{id}/attachments/dicom/md5") as outcome:
                try:
                    outcome.append(self._bulk.get(path, digest.extend, begin=lambda _: None))
                except OrthancRefused as error:
                    if error.http_status != 400:
                        raise
                    outcome.append(400)
            return digest.decode("ascii", "replace").strip()

        return retried(self.backend.retries, attempt)

    def put_metadata(self, instance_id: str, number: int, value: str) -> None:
        """Set user metadata (1024 and above) of an instance."""
        path = f"/instances/{_safe(instance_id)}/metadata/{number}"
        put = lambda: self._api.put(path, content=value.encode())  # noqa: E731
        response = self._call("PUT", "/instances/{id}/metadata/{name}", put)
        gone_if_missing(response.status_code, response.content)

    # ---- letting Orthanc send

    def start_store(self, modality: str, instance_ids: Sequence[str], originator: tuple[str, int]) -> str:
        """POST /modalities/{id}/store as a job; its id."""
        body = {
            "Resources": list(instance_ids),
            "Asynchronous": True,
            "MoveOriginatorAet": originator[0],
            "MoveOriginatorID": originator[1],
        }
        path = f"/modalities/{quote(modality, safe='')}/store"
        response = self._once("POST", "/modalities/{id}/store", lambda: self._api.post(path, json=body))
        return str(json_of(response, dict).get("ID", ""))

    def start_move(
        self, modality: str, level: str, resources: Sequence[Mapping[str, str]], target_aet: str
    ) -> str | None:
        """POST /modalities/{id}/move: the id of the job, or None where it is done on return (before 1.11.1)."""
        body = {"Level": level, "Resources": list(resources), "TargetAet": target_aet, "Asynchronous": True}
        path = f"/modalities/{quote(modality, safe='')}/move"
        patient = httpx.Timeout(None, connect=self.backend.connect_timeout)
        response = self._once("POST", "/modalities/{id}/move", lambda: self._api.post(path, json=body, timeout=patient))
        return str(json_of(response, dict).get("ID", "")) or None

    def job(self, job_id: str) -> Job:
        """GET /jobs/{id}."""
        return job_of(self._json("GET", "/jobs/{id}", lambda: self._api.get(f"/jobs/{quote(job_id, safe='')}"), dict))

    def cancel_job(self, job_id: str) -> None:
        """POST /jobs/{id}/cancel."""
        path = f"/jobs/{quote(job_id, safe='')}/cancel"
        self._once("POST", "/jobs/{id}/cancel", lambda: self._api.post(path, content=b""))

    def found(
        self, modality: str, level: str, resource: Mapping[str, str], keywords: Sequence[str]
    ) -> list[dict[str, str]]:
        """Ask a modality by C-FIND for what it has of `resource`; each match as `keywords` -> value."""
        path = f"/modalities/{quote(modality, safe='')}/query"
        body = {"Level": level, "Query": {**dict.fromkeys(keywords, ""), **resource}}
        response = self._once("POST", "/modalities/{id}/query", lambda: self._api.post(path, json=body))
        query = quote(str(json_of(response, dict).get("ID", "")), safe="")
        answers: list[dict[str, Any]] = self._json(
            "GET",
            "/queries/{id}/answers",
            lambda: self._api.get(f"/queries/{query}/answers", params={"expand": "", "simplify": ""}),
            list,
        )
        return [{name: str(answer[name]) for name in keywords if answer.get(name)} for answer in answers]

    # ---- how

    def _asked(self, path: str, body: Mapping[str, Any]) -> list[Any]:
        """The answer to a question that every C-FIND, C-GET or C-MOVE begins with: by the lean way, for its 1 ms."""
        question = orjson.dumps(body)

        def attempt() -> list[Any]:
            with self._told("POST", path) as outcome:
                status, answer = self._bulk.post(path, lambda: (question,), len(question), "application/json")
                outcome.append(status)
                checked(status, answer)
                return value_of(answer, list)

        return retried(self.backend.retries, attempt)

    def _json(self, method: str, endpoint: str, call: Callable[[], httpx.Response], kind: type[T]) -> T:
        return json_of(self._call(method, endpoint, call), kind)

    def _call(self, method: str, endpoint: str, call: Callable[[], httpx.Response]) -> httpx.Response:
        """A call that may be repeated."""
        return retried(self.backend.retries, lambda: self._sent(method, endpoint, call))

    def _once(self, method: str, endpoint: str, call: Callable[[], httpx.Response]) -> httpx.Response:
        """A call that must not be repeated; its answer is a success."""
        response = self._sent(method, endpoint, call)
        checked(response.status_code, response.content)
        return response

    def _sent(self, method: str, endpoint: str, call: Callable[[], httpx.Response]) -> httpx.Response:
        with self._told(method, endpoint) as outcome:
            try:
                response = call()
            except httpx.HTTPError as error:
                raise OrthancUnavailable(words_for(error)) from error
            except RuntimeError as error:
                if not self._api.is_closed:
                    raise
                raise OrthancUnavailable("we are ending") from error  # a question in the background at that moment
            outcome.append(response.status_code)
            if response.status_code >= 500 or response.status_code in (401, 403, 408, 429):
                checked(response.status_code, response.content)
            return response

    @contextmanager
    def _told(self, method: str, endpoint: str) -> Iterator[list[int]]:
        """Tell the journal of one call; the body appends its HTTP status."""
        outcome: list[int] = []
        began = time.perf_counter()
        try:
            yield outcome
        except OrthancRefused as error:
            outcome.append(error.http_status)
            raise
        finally:
            self._tell(method, endpoint, outcome[0] if outcome else 0, time.perf_counter() - began)

    def _tell(self, method: str, endpoint: str, status: int, duration: float) -> None:
        self._journal.emit(
            OrthancCalled(backend=self.name, method=method, endpoint=endpoint, status=status, duration=duration)
        )


def _file_path(located: Located) -> str:
    return f"/instances/{_safe(located.instance_id)}/attachments/dicom/data"


def _safe(resource_id: str) -> str:
    """An Orthanc id as part of a path; what does not look like one never becomes a part of a URL."""
    if not _ID.fullmatch(resource_id):
        raise OrthancRefused("Orthanc named a resource in an unknown form")
    return resource_id


def _authorization(name: str, backend: Backend) -> dict[str, str]:
    if not backend.username:
        return {}
    try:
        pair = f"{backend.username}:{backend.secret()}"
    except OSError as error:
        raise ConfigError([f"backends.{name}.password_file: {error.strerror}: {backend.password_file}"]) from error
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def _tls(name: str, backend: Backend) -> ssl.SSLContext | None:
    if not backend.url.startswith("https:"):
        return None
    context = ssl.create_default_context()
    try:
        if isinstance(backend.verify, Path):
            context = ssl.create_default_context(cafile=str(backend.verify))
        elif not backend.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if backend.client_certificate is not None:
            context.load_cert_chain(backend.client_certificate, password=lambda: b"")
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([f"backends.{name}: cannot use its certificate files: {error}"]) from error
    return context
