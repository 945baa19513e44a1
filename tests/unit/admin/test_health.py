import pytest

from proxy.admin.controls import BackendState, Probes
from proxy.admin.health import reasons_not_ready

UP = BackendState("orthanc", "http://o:8042", True)
DOWN = BackendState("orthanc", "http://o:8042", False, "connection refused")


@pytest.mark.parametrize(
    ("probes", "codes"),
    [
        (Probes(backends=(UP,)), []),
        (Probes(draining=True, backends=(UP,)), ["draining"]),
        (Probes(backends=(UP, DOWN)), ["orthanc-unreachable"]),
        (Probes(spool_full="no room"), ["spool-full"]),
        (Probes(workers_alive=0), ["no-worker"]),
        (Probes(True, (DOWN,), "no room", 0, 2), ["draining", "no-worker", "orthanc-unreachable", "spool-full"]),
    ],
)
def test_reasons_not_to_be_ready(probes, codes):
    assert [reason.code for reason in reasons_not_ready(probes)] == codes


def test_the_reason_says_which_orthanc_and_why():
    [reason] = reasons_not_ready(Probes(backends=(DOWN,)))
    assert reason.words == "Orthanc 'orthanc' at http://o:8042 is not available: connection refused"
