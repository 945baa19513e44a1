"""Metrics of the present state, asked of the supervisor at the moment of the scrape."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from proxy.admin.controls import Controls
from proxy.admin.health import reasons_not_ready

_Part = Callable[[], Iterable[GaugeMetricFamily]]


class StateCollector(Collector):
    """Spool, cache, workers and readiness as gauges; a part that fails is missing from that scrape."""

    def __init__(self, controls: Controls) -> None:
        self._controls = controls

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing: registering must not ask the supervisor."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All gauges."""
        parts: tuple[_Part, ...] = (self._spool, self._cache, self._process)
        for part in parts:
            try:
                yield from list(part())
            except Exception:  # noqa: S112 - metrics must never be the reason for trouble
                continue

    def _spool(self) -> Iterator[GaugeMetricFamily]:
        spool = self._controls.spool()
        for name, words, value in (
            ("waiting", "Instances received and not yet delivered", spool.waiting),
            ("bytes", "Bytes of them", spool.bytes),
            ("max_bytes", "[spool] max_bytes", spool.max_bytes),
            ("oldest_age_seconds", "Age of the oldest of them", spool.oldest_age),
            ("dead_letters", "Instances that their target refuses for good", spool.dead_count),
            ("full", "1 while C-STORE is refused for lack of room", bool(spool.full)),
        ):
            yield GaugeMetricFamily(f"orthanc_proxy_spool_{name}", words, value=float(value))

    def _cache(self) -> Iterator[GaugeMetricFamily]:
        cache = self._controls.cache()
        for name, words, value in (
            ("bytes", "Bytes in the cache", cache.bytes),
            ("max_bytes", "[cache] max_bytes", cache.max_bytes),
            ("instances", "Instances in the cache", cache.instances),
        ):
            yield GaugeMetricFamily(f"orthanc_proxy_cache_{name}", words, value=float(value))

    def _process(self) -> Iterator[GaugeMetricFamily]:
        about, probes, workers = self._controls.about(), self._controls.probes(), self._controls.workers()
        for name, words, value in (
            ("ready", "1 while /readyz answers 200", not reasons_not_ready(probes)),
            ("draining", "1 while shutting down", probes.draining),
            ("start_time_seconds", "When this process started, seconds since the epoch", about.started),
            ("associations_limit", "[limits] associations", about.max_associations),
            ("workers", "Worker processes wanted", probes.workers),
            ("workers_alive", "Worker processes alive", probes.workers_alive),
            ("worker_restarts", "Restarts of worker processes since the start", sum(w.restarts for w in workers)),
        ):
            yield GaugeMetricFamily(f"orthanc_proxy_{name}", words, value=float(value))
        up = GaugeMetricFamily("orthanc_proxy_orthanc_up", "1 while that Orthanc answers", labels=["backend"])
        for backend in probes.backends:
            up.add_metric([backend.name], float(backend.reachable))
        yield up
