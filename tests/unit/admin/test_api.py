import json

import pytest

from proxy.admin.api import ENDPOINTS, openapi
from proxy.admin.controls import Done
from tests.fakes.busy_day import tell
from tests.fakes.controls import spool_in_trouble

GETS = [endpoint.path for endpoint in ENDPOINTS if endpoint.method == "GET" and not endpoint.role]
CHANGES = [
    ("POST", "/log-level", {"level": "debug"}, ("log level", "debug")),
    ("POST", "/reload", None, ("reload",)),
    ("POST", "/destinations/ws1/echo", None, ("echo", "ws1")),
    ("POST", "/spool/dead-letters/retry", None, ("retry all",)),
    ("POST", "/spool/dead-letters/d-1/retry", None, ("retry", "d-1")),
    ("DELETE", "/spool/dead-letters/d-2", None, ("drop", "d-2")),
    ("POST", "/cache/clear", None, ("clear cache",)),
]


@pytest.fixture(autouse=True)
def _trouble(site):
    site.controls.spooled = spool_in_trouble()
    tell(site.board, site.board.started)


@pytest.mark.parametrize("path", GETS)
def test_everything_can_be_read(site, path):
    answer = site.client().get("/api/v1" + path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() not in (None, "")


def test_the_status_holds_what_the_page_shows(site):
    status = site.client().get("/api/v1/status").json()
    assert status["pipelines"][0]["pipeline"]["aet"] == "HARMONY_SCP"
    assert status["spool"]["dead_letters"][0]["why"] == "Orthanc answers 400: Bad file format"
    refusal = next(one for one in status["associations"] if one["story"]["calling_aet"] == "WS7")
    assert refusal["story"]["why"] == "calling AE WS7 not allowed by pipeline dicom_scp"
    assert refusal["rejection"] == "calling AE title not recognized"
    assert refusal["advice"]
    assert any(one["bad"] and one["advice"] for story in status["associations"] for one in story["deeds"])


@pytest.mark.parametrize(("method", "path", "body", "change"), CHANGES)
def test_a_token_changes(site, token, method, path, body, change):
    answer = site.client().request(method, "/api/v1" + path, json=body, headers=token)
    assert answer.status_code == 200, answer.text
    assert site.controls.changes == [change]


@pytest.mark.parametrize(("method", "path", "body", "change"), CHANGES)
def test_nobody_else_changes_even_on_this_machine(site, method, path, body, change):
    visitor, viewer, operator = site.client(), site.logged_in("viktor"), site.logged_in("anna")
    right = {"X-CSRF-Token": site.csrf(operator)}
    assert visitor.request(method, "/api/v1" + path, json=body).status_code == 401
    assert viewer.request(method, "/api/v1" + path, json=body).status_code == 403
    assert operator.request(method, "/api/v1" + path, json=body).status_code == 403
    assert operator.request(method, "/api/v1" + path, json=body, headers={"X-CSRF-Token": b"\xe9"}).status_code == 403
    foreign = right | {"Origin": "http://evil.example"}
    assert operator.request(method, "/api/v1" + path, json=body, headers=foreign).status_code == 403
    cross = right | {"Sec-Fetch-Site": "cross-site"}
    assert operator.request(method, "/api/v1" + path, json=body, headers=cross).status_code == 403
    assert site.controls.changes == []
    assert operator.request(method, "/api/v1" + path, json=body, headers=right).status_code == 200
    assert site.controls.changes == [change]


@pytest.mark.parametrize(("method", "path", "body", "change"), CHANGES)
def test_get_changes_nothing(site, token, method, path, body, change):
    site.client().get("/api/v1" + path, headers=token)
    assert site.controls.changes == []


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/log-level", {"level": "loud"}, 400),
        ("POST", "/log-level", {"level": ["debug"]}, 400),
        ("POST", "/log-level", [1], 400),
        ("POST", "/destinations/nobody/echo", None, 404),
        ("DELETE", "/spool/dead-letters/x", None, 404),
        ("GET", "/history?span=week", None, 400),
        ("GET", "/associations?limit=x", None, 400),
        ("GET", "/associations?limit=0", None, 400),
        ("PUT", "/reload", None, 405),
    ],
)
def test_what_cannot_be_done_is_said(site, token, method, path, body, code):
    answer = site.client().request(method, "/api/v1" + path, json=body, headers=token)
    assert answer.status_code == code
    assert site.controls.changes == []


def test_a_body_that_is_no_json_is_refused(site, token):
    answer = site.client().post("/api/v1/reload", content=b"{", headers=token)
    assert answer.status_code == 400
    assert site.controls.changes == []


def test_a_reload_that_fails_says_why(site, token):
    site.controls.reload_answer = Done(False, ("config.toml:3: listener.port: unknown key",))
    answer = site.client().post("/api/v1/reload", headers=token).json()
    assert answer == {"ok": False, "words": ["config.toml:3: listener.port: unknown key"]}


def test_the_document_describes_every_endpoint_and_every_reference_in_it_leads_somewhere(site):
    document = site.client().get("/api/v1/openapi.json").json()
    assert document == json.loads(json.dumps(openapi()))
    for endpoint in ENDPOINTS:
        assert endpoint.method.lower() in document["paths"]["/api/v1" + endpoint.path]
    text = json.dumps(document)
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.split('"')[0] in document["components"]["schemas"]


def test_what_is_answered_has_the_properties_that_the_document_names(site):
    document = site.client().get("/api/v1/openapi.json").json()
    status = site.client().get("/api/v1/status").json()
    schemas = document["components"]["schemas"]
    assert set(status) == set(schemas["Status"]["properties"])
    assert set(status["totals"]) == set(schemas["Totals"]["properties"])
    assert set(status["associations"][0]["story"]) == set(schemas["Story"]["properties"])


PATIENT = "/api/v1/spool/dead-letters/d-1/patient"


def test_whose_a_dead_letter_is_an_admin_alone_may_know_and_that_is_logged(site, token, caplog):
    caplog.set_level("INFO", "proxy.admin")
    for client, headers, status in (
        (site.client(), {}, 401),
        (site.client(), token, 403),
        (site.logged_in("viktor"), {}, 403),
        (site.logged_in("anna"), {}, 403),
    ):
        answer = client.get(PATIENT, headers=headers)
        assert answer.status_code == status
        assert "Doe" not in answer.text
    assert caplog.records == []
    told = site.logged_in("ada").get(PATIENT)
    assert (told.json()["patient_name"], told.headers["cache-control"]) == ("Doe^Jane", "no-store")
    [line] = [record.getMessage() for record in caplog.records]
    assert line == "ada was shown whose dead letter d-1 is"


def test_whose_a_letter_is_that_is_gone(site):
    assert site.logged_in("ada").get(PATIENT.replace("d-1", "gone")).status_code == 404
