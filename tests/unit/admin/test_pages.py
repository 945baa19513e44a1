import re
from html.parser import HTMLParser

import pytest

from proxy.admin.controls import BackendState, Done, Echo, SpoolSnapshot
from proxy.admin.sessions import COOKIE
from tests.fakes.busy_day import tell
from tests.fakes.controls import spool_in_trouble

HX = {"HX-Request": "true"}


@pytest.fixture
def busy(site):
    site.controls.spooled = spool_in_trouble()
    tell(site.board, site.board.started)
    return site


class Balanced(HTMLParser):
    VOID = {"meta", "link", "img", "input", "br", "line", "rect"}

    def __init__(self):
        super().__init__()
        self.open, self.inline = [], []

    def handle_starttag(self, tag, attributes):
        self.inline += [name for name, _ in attributes if name == "style" or name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def checked(text):
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert parser.inline == []  # the content security policy forbids them
    return text


def test_an_empty_proxy_has_a_page(site):
    page = checked(site.client().get("/").text)
    assert "Nobody has called yet." in page
    assert "Ready" in page


@pytest.mark.parametrize("path", ["/", "/live"])
def test_a_busy_one_shows_rows_progress_refusals_and_dead_letters(busy, path):
    page = checked(busy.client().get(path).text)
    for words in (
        "HARMONY_SCP",
        "calling AE WS7 not allowed by pipeline dicom_scp",
        "3 times since",
        "called AE ORTHANC is none of ours",
        "no A-ASSOCIATE-RQ within 10 s",
        "0xA801 Move Destination unknown",
        "Add the destination&#39;s AE title under [destinations]",
        "of 1\u2009800",
        "Orthanc answers 400: Bad file format",
        "connection refused; next try in",
    ):
        assert words in page, words


def test_ae_titles_are_escaped(busy):
    page = busy.client().get("/").text
    assert "MR&lt;2&gt;" in page
    assert "MR<2>" not in page


def test_not_ready_is_explained(site):
    site.controls.backend = BackendState("orthanc", "http://o:8042", False, "connection refused")
    site.controls.spooled = SpoolSnapshot(full="50 GB of 50 GB are in use")
    page = checked(site.client().get("/").text)
    assert "Not ready" in page
    assert "is not available: connection refused" in page
    assert "C-STORE is refused: 50 GB of 50 GB are in use" in page


def test_who_may_not_change_sees_no_buttons(busy):
    for client in (busy.client(), busy.logged_in("viktor")):
        page = client.get("/").text
        assert "/actions/" not in page
    assert "/actions/echo" in busy.logged_in().get("/").text


@pytest.mark.parametrize(
    ("verb", "name", "change", "words"),
    [
        ("echo", "ws1", ("echo", "ws1"), "ws1 answers: Success, 12 ms"),
        ("retry", "d-1", ("retry", "d-1"), "Put back into the queue."),
        ("drop", "d-2", ("drop", "d-2"), "Deleted."),
        ("retry-all", "", ("retry all",), "2 put back"),
        ("clear-cache", "", ("clear cache",), "6120 instances dropped"),
        ("reload", "", ("reload",), "pipelines.dicom_scp: rules changed"),
        ("log-level", "debug", ("log level", "debug"), "Logging at debug from now on."),
    ],
)
@pytest.mark.parametrize("headers", [HX, {}])
def test_buttons_do_what_they_say_with_and_without_script(busy, verb, name, change, words, headers):
    client = busy.logged_in()
    form = {"csrf": busy.csrf(client), "name": name}
    answer = client.post(f"/actions/{verb}", data=form, headers=headers)
    assert answer.status_code == 200
    assert words in checked(answer.text)
    assert ("<html" in answer.text) is not bool(headers)
    assert busy.controls.changes == [change]


def test_an_echo_that_fails_stays_on_the_page_with_its_reason(busy):
    busy.controls.echo_answer = Echo(False, "192.0.2.10:104 refuses the connection", 0.002)
    client = busy.logged_in()
    answer = client.post("/actions/echo", data={"csrf": busy.csrf(client), "name": "ws1"}, headers=HX)
    assert "ws1 does not answer: 192.0.2.10:104 refuses the connection" in answer.text
    assert "✗ 192.0.2.10:104 refuses the connection" in busy.client().get("/live").text


def test_a_reload_that_fails_shows_every_complaint(busy):
    busy.controls.reload_answer = Done(False, ("config.toml:3: unknown key", "config.toml:9: not a port"))
    client = busy.logged_in()
    answer = client.post("/actions/reload", data={"csrf": busy.csrf(client)}, headers=HX).text
    assert "notice bad" in answer
    assert "config.toml:3" in answer
    assert "config.toml:9" in answer


@pytest.mark.parametrize("verb", ["echo", "retry", "drop", "retry-all", "clear-cache", "reload", "log-level"])
def test_no_button_works_without_login_role_and_token(busy, verb):
    form = {"name": "ws1"}
    assert busy.client().post(f"/actions/{verb}", data=form).status_code == 401
    viewer = busy.logged_in("viktor")
    assert viewer.post(f"/actions/{verb}", data=form | {"csrf": busy.csrf(viewer)}).status_code == 403
    operator = busy.logged_in()
    assert operator.post(f"/actions/{verb}", data=form).status_code == 403
    assert operator.post(f"/actions/{verb}", data=form | {"csrf": "wrong"}).status_code == 403
    foreign = {"Origin": "http://evil.example"}
    right = form | {"csrf": busy.csrf(operator)}
    assert operator.post(f"/actions/{verb}", data=right, headers=foreign).status_code == 403
    assert operator.get(f"/actions/{verb}").status_code == 405
    assert busy.controls.changes == []


def test_what_is_gone_or_unknown_is_said(busy):
    client = busy.logged_in()
    for verb, name in (("retry", "gone"), ("echo", "nobody"), ("explode", "")):
        answer = client.post(f"/actions/{verb}", data={"csrf": busy.csrf(client), "name": name}, headers=HX)
        assert "That is no longer there." in answer.text
    assert busy.controls.changes == []


def test_a_wrong_password_is_said_and_too_many_are_braked(site):
    client = site.client()
    for _ in range(5):
        answer = client.post("/login", data={"name": "anna", "password": "wrong"})
        assert answer.status_code == 401
        assert "The name or the password is wrong." in answer.text
    answer = client.post("/login", data={"name": "anna", "password": "secret"})
    assert answer.status_code == 429
    assert "wait 30 seconds" in answer.text
    site.now += 31
    assert client.post("/login", data={"name": "anna", "password": "secret"}).status_code == 303


def test_the_cookie_is_kept_from_scripts_and_other_sites(site):
    answer = site.client().post("/login", data={"name": "anna", "password": "secret"})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_a_login_from_another_site_is_refused(site):
    data = {"name": "anna", "password": "secret"}
    answer = site.client().post("/login", data=data, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 400
    assert "set-cookie" not in answer.headers


def test_logging_out_ends_the_session_everywhere(site):
    client = site.logged_in()
    stolen = client.cookies[COOKIE]
    assert client.post("/logout", data={"csrf": site.csrf(client)}).status_code == 303
    thief = site.client("192.0.2.66", cookies={COOKIE: stolen})
    assert thief.get("/").status_code == 401


def test_logging_out_by_a_foreign_page_does_not_work(site):
    client = site.logged_in()
    cookie = client.cookies[COOKIE]
    client.post("/logout", data={"csrf": "x"})
    assert site.client("192.0.2.66", cookies={COOKIE: cookie}).get("/").status_code == 200


def test_an_upload_is_no_form(site):
    client = site.logged_in()
    answer = client.post("/actions/reload", files={"csrf": ("x", b"data")})
    assert answer.status_code == 403
    assert site.controls.changes == []


def test_the_configuration_is_shown_by_table(site):
    site.controls.settings = {
        "proxy": {"id": "x"},
        "backends": {"orthanc": {"url": "http://o:8042", "password": "***"}},
        "listener": {"tls": {"pins": {}}, "bind_port": 11112},
    }
    page = checked(site.client().get("/configuration").text)
    for heading in ("[proxy]", "[backends.orthanc]", "[listener]"):
        assert heading in page
    assert "***" in page


def test_the_page_needs_nothing_from_elsewhere(busy):
    page = busy.logged_in().get("/").text
    paths = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert paths
    assert all(path.startswith("/") and not path.startswith("//") for path in paths)
    for path in {path for path in paths if path.startswith("/static/")}:
        assert busy.client().get(path).status_code == 200, path


def test_whose_a_dead_letter_is_an_admin_alone_is_shown(busy):
    for name in ("viktor", "anna"):
        client = busy.logged_in(name)
        assert "Whose?" not in client.get("/").text
        answer = client.post("/actions/patient", data={"csrf": busy.csrf(client), "name": "d-1"}, headers=HX)
        assert answer.status_code == 403
        assert "Doe" not in answer.text
    client = busy.logged_in("ada")
    assert "Whose?" in client.get("/").text
    assert "Doe" not in client.get("/").text
    answer = client.post("/actions/patient", data={"csrf": busy.csrf(client), "name": "d-1"}, headers=HX)
    assert "Doe^Jane, DEMO1 · accession A1 · MR 20260105 Knee" in answer.text
