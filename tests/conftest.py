"""Options and rules that hold for all tests."""

import os

import pytest


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
