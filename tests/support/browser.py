"""Debian's Chromium, driven by Playwright: the status page as a person sees and uses it."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

ARTIFACTS = Path(__file__).parents[2] / "artifacts" / "status-page"
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
)  # fmt: skip
DESKTOP = {"viewport": {"width": 1440, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
expect.set_options(timeout=10_000)


def find_chromium() -> str | None:
    """The path of an installed Chromium, or None."""
    return shutil.which("chromium")


@contextlib.contextmanager
def chromium(program: str) -> Iterator[Browser]:
    """A running browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visitor:
    """One person before one page: where their browser asked for something, and what its console complained of."""

    context: BrowserContext
    url: str
    page: Page = field(init=False)
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda told: self.complaints.append(told.text) if told.type in ("error", "warning") else None,
        )

    def open(self, path: str = "/") -> "Visitor":
        """Go there."""
        self.page.goto(self.url + path)
        return self

    def log_in(self, name: str, password: str) -> "Visitor":
        """Through the page's own form."""
        self.page.get_by_role("link", name="Log in").first.click()
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()
        return self

    def section(self, name: str) -> Locator:
        """A part of the page by its id: titles, running, associations, troubles, spool, destinations, ..."""
        return self.page.locator(f"section#{name}")

    def row(self, aet: str) -> Locator:
        """The line of an AE title in the table."""
        return self.section("titles").locator("tbody tr").filter(has=self.page.get_by_role("rowheader", name=aet))

    def cell(self, aet: str, label: str) -> Locator:
        """One figure of that line."""
        return self.row(aet).locator(f'[data-label="{label}"]')

    def story(self, label: str) -> Locator:
        """The latest association whose label begins so, as `WS1->HARMONY_SCP`."""
        return self.section("associations").locator("ol.stories > li").filter(has_text=label).first

    def press(self, within: Locator, button: str) -> None:
        """Click that button."""
        within.get_by_role("button", name=button, exact=True).click()

    def notice(self) -> Locator:
        """What the page says after a button was pressed."""
        return self.page.locator("#notice .notice")

    def words(self, within: str = "main") -> str:
        """What can be read there, blanks and line ends made one."""
        return re.sub(r"\s+", " ", self.page.locator(within).inner_text())

    def screenshot(self, name: str) -> None:
        """Keep what the whole page looks like as an artifact."""
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        self.page.evaluate("scrollTo(0, 0)")
        self.page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)

    def assert_content(self) -> None:
        """Assert that nothing left this machine and that the browser had nothing to complain of."""
        assert {urlsplit(url).hostname for url in self.asked} <= {"127.0.0.1"}
        assert self.complaints == []
