"""Options and rules that hold for all tests."""

import os
import sys
import threading
import time

import hypothesis
import pytest

# The same inputs each time, however slow the machine: `make fuzz` is what tries others.
hypothesis.settings.register_profile("tests", derandomize=True, deadline=None)
hypothesis.settings.load_profile("tests")

_LINGERING = 10.0  # seconds for threads to end after the last test


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--orthanc",
        choices=("all", "installed", "newer"),
        default=os.environ.get("PROXY_TEST_ORTHANC", "all"),
        help="which Orthanc releases the integration tests run against (default: all that can be had)",
    )


def integration_is_required() -> bool:
    """PROXY_INTEGRATION=required: what cannot be tested is a failure, not a skip."""
    return os.environ.get("PROXY_INTEGRATION") == "required"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """Keep each phase's report on the item, so that fixtures know whether their test failed."""
    outcome = yield
    report = outcome.get_result()
    setattr(item, f"report_{report.when}", report)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End although a thread does not: pynetdicom's are no daemons, and one whose peer froze would hold us for ever."""
    until = time.monotonic() + _LINGERING
    others = [thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()]
    for thread in others:
        thread.join(max(0.0, until - time.monotonic()))
    left = [thread.name for thread in others if thread.is_alive()]
    if left and not hasattr(config, "workerinput"):  # those of pytest-xdist are ended by their controller
        print(f"threads that did not end: {', '.join(left)}")
        sys.stdout.flush()
        os._exit(config.stash.get(_STATUS, 1))


_STATUS = pytest.StashKey[int]()
