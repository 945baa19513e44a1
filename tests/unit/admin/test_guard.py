import pytest
from pydantic import SecretStr

from proxy.admin.guard import MAX_BODY, check_exposure, host_allowed, is_loopback
from proxy.config.admin import AdminSettings, User
from proxy.errors import ConfigError


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("::", False),
        ("0.0.0.0", False),
        ("", False),
        ("testclient", False),
    ],
)
def test_loopback_is_told_from_the_rest(address, expected):
    assert is_loopback(address) is expected


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "::", "proxy.example"])
def test_an_address_others_can_reach_needs_a_user_or_a_token(address):
    with pytest.raises(ConfigError, match="neither a user nor a token"):
        check_exposure(AdminSettings(bind_address=address))
    with pytest.raises(ConfigError):
        check_exposure(AdminSettings(bind_address=address, tokens={"empty": SecretStr("")}))
    check_exposure(AdminSettings(bind_address=address, tokens={"robot": SecretStr("x")}))
    check_exposure(AdminSettings(bind_address=address, users={"anna": User(password_hash="x")}))
    check_exposure(AdminSettings(bind_address=address, enabled=False))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_neither(address):
    check_exposure(AdminSettings(bind_address=address))


@pytest.mark.parametrize("host", ["localhost:9090", "127.0.0.1", "[::1]:9090", "192.0.2.4:9090", "Proxy.Example:1"])
def test_addresses_localhost_and_configured_names_are_answered(host):
    assert host_allowed(host, ["proxy.example"])


@pytest.mark.parametrize(
    "host", ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "[::1", "a b"]
)
def test_other_names_are_not(host):
    assert not host_allowed(host, ["proxy.example"])


def test_a_page_under_a_foreign_name_is_refused_before_anything_is_said(site):
    answer = site.client(host="evil.example").get("/")
    assert answer.status_code == 421
    assert "radiology-east" not in answer.text


@pytest.mark.parametrize("path", ["/", "/live", "/configuration", "/api/v1/status", "/api/v1/configuration"])
def test_reading_from_elsewhere_needs_a_login(site, token, path):
    visitor = site.client("192.0.2.9")
    assert visitor.get(path).status_code == 401
    assert visitor.get(path, headers={"Accept": "text/html"}).headers["location"] == "/login"
    assert visitor.get(path, headers=token).status_code == 200
    assert site.client("127.0.0.1").get(path).status_code == 200
    site.change(read_from_anywhere=True)
    assert visitor.get(path).status_code == 200


@pytest.mark.parametrize("header", [{"X-Forwarded-For": "192.0.2.9"}, {"Forwarded": "for=192.0.2.9"}])
def test_who_comes_through_a_reverse_proxy_on_this_machine_is_not_local(site, header):
    assert site.client().get("/api/v1/status", headers=header).status_code == 401


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_probes_and_metrics_are_open_unless_closed(site, path):
    visitor = site.client("192.0.2.9")
    assert visitor.get(path).status_code == 200
    site.change(metrics_from_anywhere=False)
    assert visitor.get(path).status_code == 401
    assert site.client().get(path).status_code == 200


def test_who_scrapes_may_use_any_name_unless_that_is_closed(site):
    scraper = site.client("192.0.2.9", host="proxy:9090")
    assert scraper.get("/metrics").status_code == 200
    assert scraper.get("/login").status_code == 421
    site.change(metrics_from_anywhere=False)
    assert scraper.get("/metrics").status_code == 421


def test_the_login_page_and_its_style_are_open(site):
    visitor = site.client("192.0.2.9")
    assert visitor.get("/login").status_code == 200
    assert visitor.get("/static/page.css").status_code == 200


@pytest.mark.parametrize("path", ["/static/../server.py", "/static/%2e%2e/server.py", "/static//etc/passwd"])
def test_static_files_are_only_those_meant(site, path):
    assert site.client().get(path).status_code == 404


def test_a_wrong_token_is_nobody(site):
    for wrong in ("", "t0ken", "x" * 10000):
        answer = site.client("192.0.2.9").get("/api/v1/status", headers={"Authorization": f"Bearer {wrong}"})
        assert answer.status_code == 401


def test_bodies_are_bounded_with_and_without_a_length(site, token):
    long = b"x" * (MAX_BODY + 1)
    assert site.client().post("/api/v1/reload", content=long, headers=token).status_code == 413

    def chunks():
        for _ in range(5):
            yield b" " * (MAX_BODY // 4)

    assert site.client().post("/api/v1/reload", content=chunks(), headers=token).status_code == 400
    assert site.controls.changes == []


@pytest.mark.parametrize("path", ["/", "/login", "/metrics", "/api/v1/status", "/static/page.js", "/nothing"])
def test_every_answer_carries_the_security_headers(site, path):
    headers = site.client().get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "server" not in headers


def test_only_static_files_may_be_kept_by_a_browser(site):
    assert site.client().get("/").headers["cache-control"] == "no-store"
    assert "cache-control" not in site.client().get("/static/page.css").headers
