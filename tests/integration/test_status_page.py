"""The status page in a real Chromium, before a running proxy and a real Orthanc: what a person sees and clicks."""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from proxy.admin.passwords import hash_password
from proxy.demo.orthanc import Orthanc
from tests.fakes import http_faults as faults
from tests.fakes.http_faults import HttpFaults
from tests.support.browser import DESKTOP, PHONE, Visitor
from tests.support.dcmtk import Dcmtk
from tests.support.destinations import storescp
from tests.support.instances import instance, series
from tests.support.orthanc_releases import Release, make_orthanc
from tests.support.ports import free_port
from tests.support.proxy_process import Proxy, settings
from tests.support.rest import lookup, upload
from tests.support.scu import associated, keys
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

_COUNT = 40
_NOT_LOGGED_IN = "to echo, retry, reload or change the log level"
_RULES = [{"calling_aet": ["WS*", "CT*"]}]


@dataclass(frozen=True)
class Site:
    """A proxy between an Orthanc that holds a study and a destination that lives; `way` can refuse what is stored."""

    proxy: Proxy
    orthanc: Orthanc
    way: HttpFaults
    study: str
    folder: Path

    def dcmtk(self, calling_aet: str, called_aet: str = "") -> Dcmtk:
        return Dcmtk(self.proxy.dicom_port, called_aet or self.proxy.aet, self.folder, calling_aet=calling_aet)


@pytest.fixture(scope="module")
def site(one_release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("status-page")
    images = list(series(_COUNT, rows=256, columns=256))
    with contextlib.ExitStack() as stack:
        orthanc = make_orthanc(one_release, folder / "orthanc")
        stack.callback(orthanc.kill)
        orthanc.start()
        upload(orthanc, *images)
        way = stack.enter_context(HttpFaults(orthanc.url))
        alive = stack.enter_context(storescp(folder, "ALIVE"))
        configuration = settings(
            way.url,
            folder / "storage",
            {
                "admin": {
                    "users": {
                        "anna": {"password_hash": hash_password("correct horse")},
                        "ada": {"password_hash": hash_password("staple"), "role": "admin"},
                        "viktor": {"password_hash": hash_password("battery"), "role": "viewer"},
                    }
                },
                "pipelines": {"under_test": {"access": "list", "rules": _RULES}},
                "spool": {"retry_initial": 0.1, "retry_max": 0.5},
                "destinations": {
                    "alive": {"aet": "ALIVE", "host": "127.0.0.1", "port": alive.port},
                    "dead": {"aet": "DEAD", "host": "127.0.0.1", "port": free_port()},
                },
            },
        )
        proxy = Proxy(configuration, folder / "proxy")
        stack.callback(proxy.kill)
        proxy.start()
        yield Site(proxy, orthanc, way, str(images[0].StudyInstanceUID), folder)
        proxy.stop()


Visit = Callable[..., Visitor]


@pytest.fixture
def visit(site: Site, browser: Browser) -> Iterator[Visit]:
    """Call it for a visitor who has opened the page; at the end all of them must be content."""
    visitors: list[Visitor] = []

    def enter(user: str = "", password: str = "correct horse", **options: object) -> Visitor:
        context = browser.new_context(**{**DESKTOP, **options})  # type: ignore[arg-type]
        visitor = Visitor(context, site.proxy.admin_url).open()
        visitors.append(visitor)
        return visitor.log_in(user, password) if user else visitor

    yield enter
    for visitor in visitors:
        visitor.assert_content()
        visitor.context.close()


def test_who_has_not_logged_in_reads_and_who_has_may_act(visit: Visit) -> None:
    visitor = visit()
    expect(visitor.section("process")).to_contain_text(_NOT_LOGGED_IN)
    expect(visitor.page.get_by_role("button", name="Echo")).to_have_count(0)
    visitor.log_in("anna", "correct horse")
    expect(visitor.page.locator("header")).to_contain_text("anna")
    expect(visitor.page.get_by_role("button", name="Echo")).to_have_count(2)
    visitor.press(visitor.page.locator("header"), "Log out")
    expect(visitor.section("process")).to_contain_text(_NOT_LOGGED_IN)


def test_a_viewer_who_logs_in_sees_no_buttons(visit: Visit) -> None:
    visitor = visit("viktor", "battery")
    expect(visitor.page.locator("header")).to_contain_text("viktor")
    expect(visitor.page.locator('form[action^="/actions"]')).to_have_count(0)


def test_a_wrong_password_is_said(visit: Visit) -> None:
    visitor = visit("anna", "wrong")
    expect(visitor.page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    visitor.screenshot("wrong-password")
    assert [words for words in visitor.complaints if "401" not in words] == []
    visitor.complaints.clear()  # the browser itself told the 401


def test_what_is_done_appears_without_loading_the_page_anew(site: Site, visit: Visit) -> None:
    visitor = visit()
    visitor.page.evaluate("window.untouched = true")
    station = site.dcmtk("WS1")
    assert station.find("0008,0052=STUDY", f"0020,000d={site.study}").returncode == 0
    assert station.get("0008,0052=STUDY", f"0020,000d={site.study}").final.completed == _COUNT
    expect(visitor.cell("WS1", "C-FIND")).to_have_text("1")
    expect(visitor.cell("WS1", "sent")).to_have_text(str(_COUNT))
    expect(visitor.cell(site.proxy.aet, "sent")).to_have_text(str(_COUNT))
    expect(visitor.row("WS1")).to_contain_text("C-GET STUDY: 0x0000 Success")
    told = visitor.story("WS1->HARMONY_SCP")
    expect(told).to_contain_text(f"C-GET STUDY · {_COUNT} of {_COUNT} sent")
    expect(told).to_contain_text("released after")
    expect(visitor.page.locator("#plots canvas")).to_have_count(4)
    visitor.press(visitor.section("plots"), "last day")
    expect(visitor.page.locator("#plots canvas")).to_have_count(4)
    assert visitor.page.evaluate("window.untouched"), "the page was loaded anew"


def test_a_running_retrieve_shows_its_progress_and_is_gone_when_it_is_over(site: Site, visit: Visit) -> None:
    visitor = visit()
    may_take, taken = threading.Semaphore(10), threading.Semaphore(0)

    def take(_event: object) -> int:
        may_take.acquire(timeout=30)
        taken.release()
        return 0x0000

    def retrieve() -> None:
        with associated(site.proxy.dicom_port, site.proxy.aet, calling_aet="WS2", on_store=take) as scu:
            scu.get(keys("STUDY", StudyInstanceUID=site.study))

    running = threading.Thread(target=retrieve)
    running.start()
    try:
        line = visitor.section("running").locator("tbody tr").filter(has_text="WS2->HARMONY_SCP")
        expect(line).to_contain_text(f"of {_COUNT}")
        expect(line).to_contain_text("C-GET STUDY")
        may_take.release(10)
        expect(line).to_contain_text(re.compile(rf"(1[0-9]|20) of {_COUNT}"))
        assert 10 <= float(line.locator("progress").get_attribute("value") or 0) <= 20
        expect(visitor.cell("WS2", "now")).to_have_text("1")
        expect(visitor.story("WS2->HARMONY_SCP")).to_contain_text("open for")
        visitor.screenshot("running")
    finally:
        may_take.release(1000)
        running.join(30)
    expect(line).to_have_count(0)
    expect(visitor.cell("WS2", "sent")).to_have_text(str(_COUNT))


def test_a_refused_association_is_explained_in_words(site: Site, visit: Visit) -> None:
    visitor = visit()
    for _ in range(3):
        assert site.dcmtk("STRANGER").echo().returncode != 0
    told = visitor.story("STRANGER->HARMONY_SCP")
    expect(told).to_contain_text("no rule of pipeline under_test grants anything to 'STRANGER'")
    expect(told).to_contain_text("calling AE title not recognized")
    expect(told).to_contain_text("3 times since")
    expect(visitor.cell("STRANGER", "refused")).to_have_text("3")


def test_the_echo_button_tells_whether_a_destination_lives(visit: Visit) -> None:
    visitor = visit("anna")
    places = visitor.section("destinations").locator("li")
    visitor.press(places.filter(has_text="ALIVE"), "Echo")
    expect(visitor.notice()).to_contain_text("alive answers")
    expect(places.filter(has_text="ALIVE").locator(".good")).to_contain_text("✓ it answers")
    visitor.press(places.filter(has_text="DEAD"), "Echo")
    expect(visitor.notice()).to_contain_text("dead does not answer")
    expect(places.filter(has_text="DEAD").locator(".red")).to_contain_text("refuse")
    visitor.screenshot("echo")


def test_a_dead_letter_can_be_tried_again_or_dropped(site: Site, visit: Visit) -> None:
    visitor = visit("anna")
    images = [instance(PatientID=f"LETTER-{number}", PatientName="Zoë^Jérôme") for number in (1, 2)]
    site.way.on("POST", "^/instances", faults.status(400, b'{"OrthancStatus": 8}'))
    with associated(site.proxy.dicom_port, site.proxy.aet, calling_aet="CT1") as scu:
        assert [scu.store(image) for image in images] == [0x0000, 0x0000]
    letters = visitor.section("spool").locator(".letters li")
    expect(letters).to_have_count(2)
    expect(letters.first).to_contain_text("400")
    expect(letters.first).to_contain_text("from CT1")
    visitor.screenshot("dead-letters")
    expect(letters.first.get_by_role("button")).to_have_text(["Retry", "Drop"])
    assert "LETTER" not in visitor.page.content()
    admin = visit("ada", "staple")
    admin.press(admin.section("spool").locator(".letters li").first, "Whose?")
    expect(admin.notice()).to_contain_text(re.compile(r"Zoë\^Jérôme, LETTER-[12] · accession A1 · OT 20260105"))
    assert "ada was shown whose dead letter" in site.proxy.log
    assert "LETTER" not in site.proxy.log
    site.way.clear()
    visitor.press(letters.first, "Retry")
    expect(visitor.notice()).to_have_text("the instance is back in the queue")
    expect(letters).to_have_count(1)
    wait_until(lambda: len(delivered(site)) == 1)
    asked: list[str] = []
    visitor.page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    visitor.press(letters.first, "Drop")
    wait_until(lambda: asked == ["Delete this instance for good?"])
    expect(letters).to_have_count(1)
    visitor.page.once("dialog", lambda dialog: dialog.accept())
    visitor.press(letters.first, "Drop")
    expect(visitor.notice()).to_have_text("the instance is deleted")
    expect(letters).to_have_count(0)
    expect(visitor.section("spool")).to_contain_text("Everything received has been delivered.")
    assert len(delivered(site)) == 1


def delivered(site: Site) -> list[str]:
    return lookup(site.orthanc, "Instance", PatientID="LETTER-*")


def test_the_log_level_is_switched_by_a_click(site: Site, visit: Visit) -> None:
    visitor = visit("anna")
    visitor.press(visitor.section("process"), "debug")
    expect(visitor.notice()).to_have_text("log level is debug")
    expect(visitor.section("process").locator("button.chosen")).to_have_text("debug")
    site.dcmtk("WS3").find("0008,0052=STUDY")
    wait_until(lambda: " debug   POST /tools/find" in site.proxy.log)
    visitor.press(visitor.section("process"), "info")
    expect(visitor.section("process").locator("button.chosen")).to_have_text("info")


def test_a_reload_tells_what_it_took_or_every_mistake_in_the_file(site: Site, visit: Visit) -> None:
    visitor = visit("anna")
    file = site.proxy.config_file
    text = file.read_text()
    try:
        file.write_text(text.replace("calling_aet", "caling_aet"))
        visitor.press(visitor.section("process"), "Reload")
        expect(visitor.notice()).to_contain_text("config.toml:")
        expect(visitor.notice()).to_contain_text("caling_aet: unknown key (did you mean calling_aet?)")
        expect(visitor.section("troubles")).to_contain_text("caling_aet")
        visitor.screenshot("reload-refused")
        assert site.dcmtk("WS4").echo().returncode == 0
        file.write_text(text.replace("WS*", "NEW*"))
        visitor.press(visitor.section("process"), "Reload")
        expect(visitor.notice()).to_have_text("the configuration was read again and is in force")
        assert site.dcmtk("NEW1").echo().returncode == 0
        assert site.dcmtk("WS4").echo().returncode != 0
    finally:
        file.write_text(text)
        visitor.press(visitor.section("process"), "Reload")
        expect(visitor.notice()).to_have_text("the configuration was read again and is in force")


_LOOKS = {
    "light": DESKTOP,
    "dark": {**DESKTOP, "color_scheme": "dark"},
    "phone": PHONE,
    "phone-dark": {**PHONE, "color_scheme": "dark"},
}
_CONTRAST = """() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const linear = (part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  const luminance = ([red, green, blue]) =>
    0.2126 * linear(red / 255) + 0.7152 * linear(green / 255) + 0.0722 * linear(blue / 255);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = numbers(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const poor = {};
  for (const element of document.querySelectorAll("body *")) {
    const says = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!says || !element.checkVisibility() || element.closest("svg")) continue;
    const text = luminance(numbers(getComputedStyle(element).color)), behind = luminance(ground(element));
    const ratio = (Math.max(text, behind) + 0.05) / (Math.min(text, behind) + 0.05);
    if (ratio < 4.5) poor[`${element.tagName}.${element.className} ${element.textContent.trim()}`] = ratio;
  }
  return poor;
}"""


@pytest.mark.parametrize("look", _LOOKS)
def test_it_can_be_read_by_day_and_night_at_a_desk_and_on_a_phone(site: Site, visit: Visit, look: str) -> None:
    site.dcmtk("STRANGER").echo()
    site.dcmtk("WS1").move("DEAD", "0008,0052=STUDY", f"0020,000d={site.study}")
    visitor = visit("anna", **_LOOKS[look])
    expect(visitor.page.locator("#plots canvas")).to_have_count(4)
    visitor.screenshot(look)
    page = visitor.page
    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]  # type: ignore[index]
    assert page.evaluate(_CONTRAST) == {}, "below what WCAG 2.1 (1.4.3) asks of text"
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground))) < 200) is ("dark" in look)
    for box in page.locator("button:visible").all():
        place = box.bounding_box()
        assert place is not None
        assert place["x"] + place["width"] <= page.viewport_size["width"]  # type: ignore[index]


def test_without_any_script_the_page_reads_and_its_buttons_work(visit: Visit) -> None:
    visitor = visit("anna", java_script_enabled=False)
    visitor.press(visitor.section("destinations").locator("li").filter(has_text="ALIVE"), "Echo")
    expect(visitor.notice()).to_contain_text("alive answers")
    expect(visitor.section("titles")).to_contain_text("HARMONY_SCP")


def test_a_proxy_that_no_longer_answers_is_told_from_a_quiet_one(visit: Visit) -> None:
    visitor = visit()
    page = visitor.page
    page.clock.install()
    page.reload()
    stale = page.locator("#stale")
    page.clock.run_for(15_000)
    expect(stale).to_be_hidden()
    page.route("**/live", lambda route: route.abort())
    page.clock.run_for(15_000)
    expect(stale).to_be_visible()
    expect(stale).to_contain_text("No answer from the proxy since")
    visitor.screenshot("no-answer")
    page.unroute("**/live")
    page.clock.run_for(3_000)
    expect(stale).to_be_hidden()
    assert [words for words in visitor.complaints if "ERR_FAILED" not in words and "to fetch" not in words] == []
    visitor.complaints.clear()
