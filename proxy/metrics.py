"""Prometheus metrics, counted from events; every label set is bounded, and none can hold patient data.

The supervisor hears the events of all processes, so one registry in one process is the whole truth.
"""

import platform
import threading
from collections import OrderedDict

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from proxy import __version__, events
from proxy.dicom.words import status_code

OTHER = "other"
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which says when it began: nobody asks
_SECONDS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_BYTES = (1 << 10, 16 << 10, 128 << 10, 512 << 10, 1 << 20, 8 << 20, 64 << 20, 512 << 20, 4 << 30)
_COMMANDS = frozenset({"C-ECHO", "C-FIND", "C-GET", "C-MOVE", "C-STORE", "N-ACTION", "N-EVENT-REPORT"})
_LEVELS = frozenset({"", "PATIENT", "STUDY", "SERIES", "IMAGE"})


class Names:
    """The first `limit` distinct names keep theirs, later ones become "other": a requestor chooses its own AE title."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def __call__(self, name: str) -> str:
        if name in self._known:
            return name
        if len(self._known) >= self._limit:
            return OTHER
        self._known.add(name)
        return name


class MetricsSubscriber:
    """Counts events. `calling_aets` is how many distinct calling AE titles get a time series of their own."""

    def __init__(self, registry: CollectorRegistry | None = None, calling_aets: int = 100) -> None:
        self.registry = registry or CollectorRegistry()
        self._aet, self._endpoint, self._name = Names(calling_aets), Names(100), Names(200)
        self._lock = threading.Lock()
        self._running: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._declare_dicom(self.registry)
        self._declare_behind(self.registry)
        Info("orthanc_proxy_build", "What is running", registry=self.registry).info(
            {"version": __version__, "python": platform.python_version()}
        )

    def _declare_dicom(self, registry: CollectorRegistry) -> None:
        self._attempted = Counter(
            "orthanc_proxy_associations_attempted", "Association requests, accepted or not", registry=registry
        )
        self._accepted = Counter(
            "orthanc_proxy_associations_accepted",
            "Associations accepted",
            ["pipeline", "calling_aet"],
            registry=registry,
        )
        self._rejected = Counter(
            "orthanc_proxy_associations_rejected",
            "Associations rejected, by A-ASSOCIATE-RJ result, source and reason; result 0: turned away before that",
            ["result", "source", "reason"],
            registry=registry,
        )
        self._open = Gauge("orthanc_proxy_associations_open", "Associations now", ["pipeline"], registry=registry)
        self._ended = Counter(
            "orthanc_proxy_associations_ended", "Associations over, by how", ["pipeline", "how"], registry=registry
        )
        self._association_seconds = Histogram(
            "orthanc_proxy_association_duration_seconds", "Life of associations", buckets=_SECONDS, registry=registry
        )
        self._requests = Counter(
            "orthanc_proxy_requests",
            "DIMSE requests that got their final response; status - where the association went away first",
            ["pipeline", "service", "level", "calling_aet", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "orthanc_proxy_request_duration_seconds",
            "From request to final response",
            ["service", "level"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._sizes = Histogram(
            "orthanc_proxy_request_size_bytes",
            "Bytes of data sets that a request moved",
            ["service"],
            buckets=_BYTES,
            registry=registry,
        )
        self._matches = Counter("orthanc_proxy_matches", "Answers to C-FIND", ["level"], registry=registry)
        self._suboperations = Counter(
            "orthanc_proxy_suboperations", "C-STORE sub-operations of C-GET and C-MOVE", ["service", "outcome"],
            registry=registry,
        )  # fmt: skip
        self._received = Counter(
            "orthanc_proxy_received_bytes", "Bytes of data sets received", ["pipeline"], registry=registry
        )
        self._sent = Counter("orthanc_proxy_sent_bytes", "Bytes of data sets sent", ["pipeline"], registry=registry)

    def _declare_behind(self, registry: CollectorRegistry) -> None:
        self._cache = {
            field: Counter(f"orthanc_proxy_cache_{name}", words, registry=registry)
            for field, name, words in (
                ("hits", "hits", "Instances served from the cache"),
                ("misses", "misses", "Instances that had to be downloaded"),
                ("coalesced", "coalesced", "Instances that waited for a download already under way"),
                ("evicted", "evictions", "Instances dropped to make room"),
                ("evicted_bytes", "evicted_bytes", "Bytes dropped to make room"),
                ("written_bytes", "written_bytes", "Bytes written to the cache"),
                ("damaged", "damaged", "Files found damaged, and not served"),
                ("failures", "failures", "Writes that failed; service went on without the cache"),
            )
        }
        self._calls = Counter(
            "orthanc_proxy_orthanc_calls",
            "REST calls, by endpoint and HTTP status; status 0: no answer",
            ["backend", "method", "endpoint", "status"],
            registry=registry,
        )
        self._call_seconds = Histogram(
            "orthanc_proxy_orthanc_call_duration_seconds",
            "REST calls",
            ["backend", "endpoint"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._forwarded = Counter(
            "orthanc_proxy_forwarded",
            "Attempts to deliver spooled instances",
            ["pipeline", "target", "outcome"],
            registry=registry,
        )
        self._forwarded_bytes = Counter(
            "orthanc_proxy_forwarded_bytes", "Bytes delivered from the spool", ["target"], registry=registry
        )
        self._troubles = Counter(
            "orthanc_proxy_troubles", "Troubles told on the status page", ["where", "severity"], registry=registry
        )

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.OrthancCalled():
                endpoint = self._endpoint(event.endpoint)
                self._calls.labels(event.backend, event.method, endpoint, str(event.status)).inc()
                self._call_seconds.labels(event.backend, endpoint).observe(event.duration)
            case events.CacheChanged():
                for field, counter in self._cache.items():
                    if amount := getattr(event, field):
                        counter.inc(amount)
            case events.OperationProgress():
                self._move(event, ended=False)
            case events.OperationEnded():
                self._operation(event)
            case events.AssociationOpened():
                self._attempted.inc()
                self._accepted.labels(event.pipeline, self._aet(event.calling_aet)).inc()
                self._open.labels(event.pipeline).inc()
            case events.AssociationEnded():
                self._open.labels(event.pipeline).dec()
                self._ended.labels(event.pipeline, event.how).inc()
                self._association_seconds.observe(event.duration)
            case events.AssociationRefused():
                self._attempted.inc()
                self._rejected.labels(str(event.result), str(event.source), str(event.reason)).inc()
            case events.Forwarded():
                self._forwarded.labels(event.pipeline, event.target, event.outcome).inc()
                if event.outcome == "delivered":
                    self._forwarded_bytes.labels(event.target).inc(event.bytes)
            case events.Trouble():
                self._troubles.labels(self._name(event.where), event.severity).inc()

    def _operation(self, event: events.OperationEnded) -> None:
        service = event.command if event.command in _COMMANDS else OTHER
        level = event.level if event.level in _LEVELS else OTHER
        self._requests.labels(
            event.pipeline, service, level, self._aet(event.calling_aet), status_code(event.status)
        ).inc()
        self._seconds.labels(service, level).observe(event.duration)
        self._move(event, ended=True)
        if service == "C-FIND":
            self._matches.labels(level).inc(event.matches)
        elif service in ("C-GET", "C-MOVE"):
            for outcome, amount in (
                ("completed", event.completed),
                ("failed", event.failed),
                ("warning", event.warning),
            ):
                if amount:
                    self._suboperations.labels(service, outcome).inc(amount)
        if event.bytes:
            self._sizes.labels(service).observe(event.bytes)

    def _move(self, event: events.OperationProgress | events.OperationEnded, *, ended: bool) -> None:
        """Count bytes while they move, so that the rate of a long retrieve is seen during it."""
        key = (event.association_id, event.message_id)
        with self._lock:
            counted = self._running.pop(key, 0)
            if not ended:
                self._running[key] = max(event.bytes, counted)
                while len(self._running) > 4096:
                    self._running.popitem(last=False)
        if event.bytes > counted:
            counter = self._received if event.command == "C-STORE" else self._sent
            counter.labels(event.pipeline).inc(event.bytes - counted)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics as text, with their content type: OpenMetrics for who asks for it."""
        if "application/openmetrics-text" in accept:
            return openmetrics.generate_latest(self.registry), openmetrics.CONTENT_TYPE_LATEST  # type: ignore[no-untyped-call]
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
