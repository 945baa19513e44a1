"""Many at once: nobody waits long, nothing stays behind, all answers are right. `make soak` does it for longer."""

from collections.abc import Iterator

import pytest

from proxy.demo.orthanc import Orthanc
from tests.soak.clients import Site
from tests.soak.parts import churn, mixed, site
from tests.support.proxy_process import Proxy


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Proxy, Orthanc]]:
    with site(tmp_path_factory.mktemp("load"), slices=10) as everything:
        yield everything


def test_two_hundred_idle_and_twenty_busy_associations(soaked: tuple[Site, Proxy, Orthanc]) -> None:
    outcome = mixed(*soaked, seconds=8, tell=lambda _: None, busy=20, idle=200)
    assert outcome.complaints == [], outcome.facts


def test_a_thousand_associations_that_end_in_every_way_leave_nothing_behind(
    soaked: tuple[Site, Proxy, Orthanc],
) -> None:
    where, proxy, _ = soaked
    outcome = churn(where, proxy, 1000, lambda _: None)
    assert outcome.complaints == [], outcome.facts
