"""Things that go wrong in a hospital, done on purpose: the page and the log say what it is, and what helps."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from proxy.demo.orthanc import Orthanc
from tests.integration.conftest import StartProxy
from tests.support.browser import DESKTOP, Visitor
from tests.support.dcmtk import Dcmtk
from tests.support.guarded import guarded as guarded_orthanc
from tests.support.instances import instance, part10
from tests.support.ports import free_port
from tests.support.proxy_process import Proxy

pytestmark = pytest.mark.browser

_EAGER = {"spool": {"max_bytes": "2 MiB", "retry_initial": 0.2, "retry_max": 0.5}}
Visit = Callable[[Proxy], Visitor]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Open a proxy's page."""
    visitors: list[Visitor] = []

    def enter(proxy: Proxy) -> Visitor:
        visitors.append(Visitor(browser.new_context(**DESKTOP), proxy.admin_url))  # type: ignore[arg-type]
        return visitors[-1].open()

    yield enter
    for visitor in visitors:
        visitor.assert_content()
        visitor.context.close()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of twelve images of 256 KiB."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.dcm").write_bytes(part10(instance(rows=512, columns=512)))
    return folder


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Orthanc]:
    """An Orthanc that wants a name and a password: `proxy` and `right`."""
    with guarded_orthanc(tmp_path / "guarded") as orthanc:
        yield orthanc


def test_a_wrong_password_of_orthanc(
    start_proxy: StartProxy, guarded: Orthanc, aim: Callable[..., Dcmtk], visit: Visit, images: Path
) -> None:
    proxy = start_proxy(guarded, {"backends": {"orthanc": {"username": "proxy", "password": "wrong"}}}, _EAGER)
    ws = aim(proxy, calling_aet="WS1")
    assert ws.find("0008,0052=STUDY").final.status == 0xC010
    assert ws.store(images / "1.dcm").final.status == 0x0000
    page = visit(proxy)
    state = page.page.locator("section.state")
    expect(state).to_contain_text("Not ready")
    expect(state).to_contain_text(
        f"Orthanc 'orthanc' at {guarded.url} is not available: Orthanc refuses our credentials (HTTP 401)"
    )
    expect(state).to_contain_text("Correct username and password of [backends.orthanc], or RegisteredUsers")
    query = page.story("C-FIND STUDY")
    expect(query).to_contain_text("0xC010 Refused by Orthanc · “Orthanc refuses our credentials (HTTP 401)”")
    expect(query).to_contain_text("look at Orthanc below")
    expect(page.section("spool")).to_contain_text("Orthanc refuses our credentials (HTTP 401); next try in")
    expect(page.section("troubles")).to_contain_text("Orthanc refuses our credentials (HTTP 401)")
    page.screenshot("wrong-password-of-orthanc")
    log = proxy.log
    assert f"Orthanc 'orthanc' at {guarded.url} is not available: Orthanc refuses our credentials (HTTP 401)" in log
    assert "C-FIND STUDY from WS1: 0 matches, 0xC010 Refused by Orthanc, Orthanc refuses our credentials" in log
    assert "orthanc: Orthanc refuses our credentials (HTTP 401); 1 instances wait" in log
    assert "wrong" not in log


def test_destinations_that_do_not_answer(
    start_proxy: StartProxy, one_orthanc: Orthanc, aim: Callable[..., Dcmtk], visit: Visit
) -> None:
    places = {
        "dead": {"aet": "DEAD", "host": "127.0.0.1", "port": free_port()},
        "nameless": {"aet": "NAMELESS", "host": "nowhere.invalid", "port": 104},
        "web": {"aet": "WEB", "host": "127.0.0.1", "port": one_orthanc.http_port},
    }
    proxy = start_proxy(one_orthanc, {"destinations": places})
    for aet in ("DEAD", "NAMELESS", "WEB", "UNKNOWN"):
        aim(proxy, calling_aet=f"TO_{aet}").move(aet, "0008,0052=PATIENT", "0010,0020=CT-1", model="-P")
    page = visit(proxy)
    for aet, why, remedy in (
        ("DEAD", "“DEAD: connection refused”", "try its echo button below, check its address and port"),
        ("NAMELESS", "“NAMELESS: Name or service not known”", "check its address and port"),
        ("WEB", "“WEB: unknown PDU type 72 (is it DICOM?)”", "check its address and port"),
        ("UNKNOWN", "“Move Destination 'UNKNOWN' is unknown”", "Add the destination's AE title under [destinations]"),
    ):
        story = page.story(f"TO_{aet}->HARMONY_SCP")
        expect(story).to_contain_text(f"C-MOVE PATIENT to {aet}")
        expect(story).to_contain_text(why)
        expect(story).to_contain_text(remedy)
        expect(page.section("troubles")).to_contain_text(why.strip("“”"))
        assert f"C-MOVE PATIENT from TO_{aet} to {aet}: 0 of " in proxy.log
        assert why.strip("“”") in proxy.log
    expect(page.story("TO_DEAD->HARMONY_SCP")).to_contain_text("0xA702 Out of resources")
    expect(page.story("TO_UNKNOWN->HARMONY_SCP")).to_contain_text("0xA801 Move Destination unknown")
    page.screenshot("dead-destinations")


def test_a_full_spool(
    start_proxy: StartProxy, one_fresh_orthanc: Orthanc, aim: Callable[..., Dcmtk], visit: Visit, images: Path
) -> None:
    one_fresh_orthanc.kill()
    proxy = start_proxy(one_fresh_orthanc, _EAGER)
    sent = aim(proxy, calling_aet="CT1").store(images, options=("-nh",))
    statuses = [response.status for response in sent.responses]
    assert set(statuses) == {0x0000, 0xA700}
    page = visit(proxy)
    state = page.page.locator("section.state")
    expect(state).to_contain_text("Not ready")
    expect(state).to_contain_text("C-STORE is refused: the spool is full")
    expect(state).to_contain_text("Mend the target that it waits for, or raise [spool] max_bytes.")
    expect(state).to_contain_text("Orthanc refuses connections")
    expect(state).to_contain_text(
        "Start Orthanc, or correct url of [backends.orthanc]: its port is Orthanc's HttpPort."
    )
    story = page.story("CT1->HARMONY_SCP")
    expect(story).to_contain_text(f"C-STORE × {statuses.count(0)}")
    expect(story).to_contain_text("0xA700 Out of resources · “the spool is full”")
    expect(story).to_contain_text("look at Spool and Orthanc below")
    expect(page.section("spool")).to_contain_text(f"{statuses.count(0)} instances")
    expect(page.section("spool")).to_contain_text("Orthanc refuses connections; next try in")
    page.screenshot("full-spool")
    assert "C-STORE from CT1: 0xA700 Out of resources, the spool is full" in proxy.log
    assert f"orthanc: Orthanc refuses connections; {statuses.count(0)} instances wait" in proxy.log


def test_ae_titles_that_do_not_fit(
    start_proxy: StartProxy, one_orthanc: Orthanc, aim: Callable[..., Dcmtk], visit: Visit, tmp_path: Path
) -> None:
    rules = [{"calling_aet": ["WS*"], "services": ["echo"]}]
    proxy = start_proxy(one_orthanc, {"pipelines": {"under_test": {"access": "list", "rules": rules}}})
    assert aim(proxy, calling_aet="STRANGER").echo().returncode != 0
    assert Dcmtk(proxy.dicom_port, "ORTHANC", tmp_path, calling_aet="WS9").echo().returncode != 0
    assert aim(proxy, calling_aet="WS1").find("0008,0052=STUDY").final.status == 0x0124
    page = visit(proxy)
    for label, words, rejection in (
        (
            "STRANGER->HARMONY_SCP",
            "no rule of pipeline under_test grants anything to 'STRANGER' from 127.0.0.1; "
            "add a [[pipelines.under_test.rules]] entry",
            "1,1,3: calling AE title not recognized",
        ),
        (
            "WS9->ORTHANC",
            'no pipeline has aet = "ORTHANC"; add one, or set [listener] check_called_aet = false',
            "1,1,7: called AE title not recognized",
        ),
    ):
        expect(page.story(label)).to_contain_text("rejected")
        expect(page.story(label)).to_contain_text(words)
        expect(page.story(label)).to_contain_text(rejection)
        assert f"association refused: {words}" in proxy.log
        assert rejection.replace(": ", " ") in proxy.log
    expect(page.cell("HARMONY_SCP", "refused")).to_have_text("1")
    expect(page.story("WS1->HARMONY_SCP")).to_contain_text("0x0124 Not authorized · “find is not granted by rule 1”")
    expect(page.story("WS1->HARMONY_SCP")).to_contain_text("Grant the service to this calling AE title")
    assert "C-FIND from WS1: 0 matches, 0x0124 Not authorized, find is not granted by rule 1" in proxy.log
    page.screenshot("wrong-titles")
