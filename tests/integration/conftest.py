"""Fixtures of the integration tests: real Orthancs, real DCMTK, a running proxy.

`orthanc` is there once per release and session, filled with `population`, and must not be changed by tests.
`fresh_orthanc` is empty and the test's own. `one_orthanc` and `one_fresh_orthanc` are the same, of the installed
release alone: for tests that would say nothing new on another.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from proxy.demo.orthanc import Orthanc
from proxy.demo.programs import find_program
from tests.conftest import integration_is_required
from tests.support import orthanc_releases
from tests.support.browser import chromium, find_chromium
from tests.support.dcmtk import Dcmtk
from tests.support.destinations import Recorder, StoreScp, recorder, storescp
from tests.support.orthanc_releases import NotToBeHad, Release, make_orthanc
from tests.support.population import Population, populate
from tests.support.proxy_process import Proxy, ProxyPool, settings

_RELEASES: dict[str, Callable[[], Release]] = {
    "installed": orthanc_releases.installed,
    "newer": orthanc_releases.newer,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.integration)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what needs `orthanc` or `fresh_orthanc` on each release."""
    if "release" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--orthanc")
        names = list(_RELEASES) if chosen == "all" else [chosen]
        metafunc.parametrize("release", names, indirect=True, scope="session")


def _skip(reason: str) -> None:
    if integration_is_required():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _release(name: str) -> Release:
    try:
        return _RELEASES[name]()
    except NotToBeHad as reason:
        _skip(str(reason))
        raise


@pytest.fixture(scope="session", autouse=True)
def _dcmtk_is_installed() -> None:
    if find_program("echoscu") is None:
        _skip("DCMTK is not installed (apt-get install dcmtk)")


# ---- Orthanc


@pytest.fixture(scope="session")
def release(request: pytest.FixtureRequest) -> Release:
    """The Orthanc release under test."""
    return _release(request.param)


@pytest.fixture(scope="session")
def one_release() -> Release:
    """The installed Orthanc."""
    return _release("installed")


StartOrthanc = Callable[..., Orthanc]


@contextlib.contextmanager
def _running(release: Release, folder: Path, **options: object) -> Iterator[Orthanc]:
    orthanc = make_orthanc(release, folder, **options)
    try:
        orthanc.start()
        yield orthanc
    finally:
        orthanc.kill()  # a polite end takes it seconds


@pytest.fixture(scope="session")
def _filled(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Orthanc, Population]]:
    with _running(release, tmp_path_factory.mktemp("orthanc")) as orthanc:
        yield orthanc, populate(orthanc)


@pytest.fixture(scope="session")
def orthanc(_filled: tuple[Orthanc, Population]) -> Orthanc:
    """An Orthanc with the shared population, one per release; do not change what it holds."""
    return _filled[0]


@pytest.fixture(scope="session")
def population(_filled: tuple[Orthanc, Population]) -> Population:
    """What `orthanc` holds."""
    return _filled[1]


@pytest.fixture(scope="session")
def one_orthanc(one_release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """The installed Orthanc with the shared population; do not change what it holds."""
    with _running(one_release, tmp_path_factory.mktemp("orthanc")) as orthanc:
        populate(orthanc)
        yield orthanc


@pytest.fixture
def start_orthanc(tmp_path: Path, one_release: Release) -> Iterator[StartOrthanc]:
    """Call it for further Orthancs of the installed release: `start_orthanc(OverwriteInstances=True)`."""
    numbers = itertools.count(1)
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(
            _running(one_release, tmp_path / f"orthanc-{next(numbers)}", **options)
        )


@pytest.fixture
def fresh_orthanc(release: Release, tmp_path: Path) -> Iterator[Orthanc]:
    """An empty Orthanc of the test's own, of each release; OverwriteInstances is on."""
    with _running(release, tmp_path / "fresh-orthanc", OverwriteInstances=True) as orthanc:
        yield orthanc


@pytest.fixture
def one_fresh_orthanc(start_orthanc: StartOrthanc) -> Orthanc:
    """An empty installed Orthanc of the test's own; OverwriteInstances is on."""
    return start_orthanc(OverwriteInstances=True)


# ---- the proxy


StartProxy = Callable[..., Proxy]


@pytest.fixture
def start_proxy(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StartProxy]:
    """Call it for a proxy of the test's own: `start_proxy(orthanc, {"listener": {"wire": "stock"}}, ...)`.

    The first argument is an Orthanc or a URL; the others are merged into the configuration table by table. At the
    end each is stopped with SIGTERM and must exit 0, unless the test has ended it itself.
    """
    started: list[Proxy] = []

    def start(orthanc: Orthanc | str, *overrides: Mapping[str, object], **options: object) -> Proxy:
        folder = tmp_path / f"proxy-{len(started) + 1}"
        url = orthanc if isinstance(orthanc, str) else orthanc.url
        proxy = Proxy(settings(url, folder / "storage", *overrides), folder, **options)  # type: ignore[arg-type]
        started.append(proxy)
        return proxy.start()

    yield start
    try:
        for proxy in started:
            proxy.stop()
    finally:
        _show_logs(request, started)
        for proxy in started:
            proxy.kill()


@pytest.fixture(scope="session")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxyPool]:
    """Shared proxies."""
    pool = ProxyPool(lambda name: tmp_path_factory.mktemp(name))
    yield pool
    pool.close()


@pytest.fixture
def proxy(orthanc: Orthanc, proxies: ProxyPool, request: pytest.FixtureRequest) -> Iterator[Proxy]:
    """The shared proxy before `orthanc`: fast wire, one worker, everybody let in, all services."""
    shared = proxies.get(orthanc)
    yield shared
    _show_logs(request, [shared])


@pytest.fixture
def one_proxy(one_orthanc: Orthanc, proxies: ProxyPool, request: pytest.FixtureRequest) -> Iterator[Proxy]:
    """The same before `one_orthanc`."""
    shared = proxies.get(one_orthanc)
    yield shared
    _show_logs(request, [shared])


def _show_logs(request: pytest.FixtureRequest, proxies: list[Proxy]) -> None:
    report = getattr(request.node, "report_call", None)
    if report is not None and report.failed:
        for number, proxy in enumerate(proxies, 1):
            print(f"---- proxy {number} ({proxy.folder}) ----\n{proxy.log[-6000:]}")


# ---- clients and receivers


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. Not for the whole session: its driver keeps an event loop running in this thread."""
    program = find_chromium()
    if program is None:
        _skip("Chromium is not installed (apt-get install chromium)")
    with chromium(str(program)) as running:
        yield running


@pytest.fixture
def dcmtk(proxy: Proxy, tmp_path: Path) -> Dcmtk:
    """DCMTK's tools aimed at `proxy`."""
    return Dcmtk(proxy.dicom_port, proxy.aet, tmp_path)


@pytest.fixture
def aim(tmp_path: Path) -> Callable[..., Dcmtk]:
    """DCMTK's tools aimed at a proxy or an Orthanc: `aim(proxy, calling_aet="X", nodelay=False)`."""

    def aim_at(target: Proxy | Orthanc, **options: object) -> Dcmtk:
        return Dcmtk(target.dicom_port, target.aet, tmp_path, **options)  # type: ignore[arg-type]

    return aim_at


@pytest.fixture
def start_storescp(tmp_path: Path) -> Iterator[Callable[..., StoreScp]]:
    """Call it for storescps: `start_storescp("DEST_AET", "--ignore")`."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(storescp(tmp_path, *arguments, **options))


@pytest.fixture
def start_recorder() -> Iterator[Callable[..., Recorder]]:
    """Call it for receivers that note what they are told: `start_recorder("AET", answer=lambda arrival: 0xA700)`."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(recorder(*arguments, **options))
