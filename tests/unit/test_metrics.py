import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy import events
from proxy.metrics import OTHER, MetricsSubscriber

NAMES = {"association_id": "a1", "label": "WS1->X(1)", "calling_aet": "WS1", "pipeline": "p"}


def ended(**changes):
    fields = NAMES | {"command": "C-GET", "message_id": 1, "status": 0, "level": "STUDY", "duration": 0.5}
    return events.OperationEnded(**(fields | changes))


def progress(**changes):
    return events.OperationProgress(**(NAMES | {"command": "C-GET", "message_id": 1} | changes))


@pytest.fixture
def metrics():
    return MetricsSubscriber()


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(f"orthanc_proxy_{name}", labels)


def test_requests_are_counted_by_service_level_requestor_and_status(metrics):
    metrics(ended(status=0xA701))
    labels = {"pipeline": "p", "service": "C-GET", "level": "STUDY", "calling_aet": "WS1", "status": "0xA701"}
    assert value(metrics, "requests_total", **labels) == 1
    assert value(metrics, "request_duration_seconds_sum", service="C-GET", level="STUDY") == 0.5


def test_associations_attempted_are_those_accepted_and_those_rejected(metrics):
    opened = events.AssociationOpened(**NAMES, called_aet="X", address="192.0.2.1")
    metrics(opened)
    metrics(opened)
    metrics(
        events.AssociationRefused(
            calling_aet="", called_aet="", address="", result=1, source=1, reason=7, why="called AE title"
        )
    )
    metrics(events.AssociationEnded(**NAMES, called_aet="X", how="released", why="", duration=2.0, operations=1))
    assert value(metrics, "associations_attempted_total") == 3
    assert value(metrics, "associations_accepted_total", pipeline="p", calling_aet="WS1") == 2
    assert value(metrics, "associations_open", pipeline="p") == 1
    assert value(metrics, "associations_rejected_total", result="1", source="1", reason="7") == 1
    assert value(metrics, "associations_ended_total", pipeline="p", how="released") == 1


def test_bytes_of_a_long_retrieve_are_counted_while_it_runs_and_none_twice(metrics):
    metrics(progress(bytes=100))
    metrics(progress(bytes=250))
    assert value(metrics, "sent_bytes_total", pipeline="p") == 250
    metrics(ended(bytes=300))
    assert value(metrics, "sent_bytes_total", pipeline="p") == 300
    metrics(ended(bytes=50, message_id=2))
    assert value(metrics, "sent_bytes_total", pipeline="p") == 350


def test_received_bytes_are_those_of_c_store(metrics):
    metrics(ended(command="C-STORE", level="", bytes=525))
    assert value(metrics, "received_bytes_total", pipeline="p") == 525
    assert value(metrics, "sent_bytes_total", pipeline="p") is None


def test_sub_operations_matches_cache_orthanc_and_spool_are_counted(metrics):
    metrics(ended(completed=8, failed=2))
    metrics(ended(command="C-FIND", matches=12))
    metrics(events.CacheChanged(hits=3, misses=1, evicted=2, evicted_bytes=77))
    metrics(events.OrthancCalled(backend="o", method="GET", endpoint="/system", status=0, duration=0.2))
    metrics(events.Forwarded(pipeline="p", target="o", outcome="delivered", bytes=9))
    metrics(events.Trouble(where="cache", what="some words"))
    assert value(metrics, "suboperations_total", service="C-GET", outcome="completed") == 8
    assert value(metrics, "suboperations_total", service="C-GET", outcome="failed") == 2
    assert value(metrics, "matches_total", level="STUDY") == 12
    assert value(metrics, "cache_hits_total") == 3
    assert value(metrics, "cache_evictions_total") == 2
    assert value(metrics, "cache_evicted_bytes_total") == 77
    assert value(metrics, "orthanc_calls_total", backend="o", method="GET", endpoint="/system", status="0") == 1
    assert value(metrics, "forwarded_total", pipeline="p", target="o", outcome="delivered") == 1
    assert value(metrics, "forwarded_bytes_total", target="o") == 9
    assert value(metrics, "troubles_total", where="cache", severity="warning") == 1


def test_calling_aets_past_the_bound_share_one_label():
    metrics = MetricsSubscriber(calling_aets=2)
    for aet in ("A", "B", "C", "D", "A"):
        metrics(ended(calling_aet=aet))
    labels = {"pipeline": "p", "service": "C-GET", "level": "STUDY", "status": "0x0000"}
    assert value(metrics, "requests_total", calling_aet="A", **labels) == 2
    assert value(metrics, "requests_total", calling_aet=OTHER, **labels) == 2
    assert value(metrics, "requests_total", calling_aet="C", **labels) is None


def test_words_of_a_requestor_never_become_labels(metrics):
    metrics(ended(command="C-EVIL", level="DOE^JANE", comment="DOE^JANE", destination="DOE^JANE"))
    metrics(
        events.AssociationRefused(
            calling_aet="DOE^JANE", called_aet="DOE^JANE", address="x", result=1, source=1, reason=7, why="DOE^JANE"
        )
    )
    assert b"DOE" not in metrics.exposition()[0]


def test_running_operations_that_never_end_are_forgotten(metrics):
    for number in range(5000):
        metrics(progress(message_id=number, bytes=1))
    assert len(metrics._running) <= 4096


@pytest.mark.parametrize("accept", ["", "text/plain", "application/openmetrics-text;version=1.0.0"])
def test_the_exposition_can_be_read_back(metrics, accept):
    metrics(ended())
    text, content_type = metrics.exposition(accept)
    families = {family.name for family in text_string_to_metric_families(text.decode().replace("# EOF\n", ""))}
    assert {"orthanc_proxy_requests", "orthanc_proxy_build"} & families or "orthanc_proxy_build_info" in families
    assert content_type.startswith("application/openmetrics-text" if "openmetrics" in accept else "text/plain")
