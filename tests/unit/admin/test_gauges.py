from prometheus_client import CollectorRegistry

from proxy.admin.gauges import StateCollector
from tests.fakes.controls import FakeControls, spool_in_trouble


def test_the_present_state_is_exposed():
    registry, controls = CollectorRegistry(), FakeControls(spooled=spool_in_trouble())
    registry.register(StateCollector(controls))

    def value(name, **labels):
        return registry.get_sample_value(f"orthanc_proxy_{name}", labels)

    assert value("spool_waiting") == 312
    assert value("spool_oldest_age_seconds") == 754
    assert value("spool_dead_letters") == 2
    assert value("spool_full") == 0
    assert value("cache_bytes") == 3 << 30
    assert value("ready") == 1
    assert value("workers_alive") == 2
    assert value("worker_restarts") == 1
    assert value("orthanc_up", backend="orthanc") == 1
    controls.draining = True
    assert value("ready") == 0


def test_a_part_that_fails_is_missing_and_the_rest_is_there():
    class Broken(FakeControls):
        def spool(self):
            raise OSError("disk gone")

    registry = CollectorRegistry()
    registry.register(StateCollector(Broken()))
    assert registry.get_sample_value("orthanc_proxy_spool_waiting") is None
    assert registry.get_sample_value("orthanc_proxy_ready") == 1
