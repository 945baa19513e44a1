import json
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from pydantic import SecretStr

import proxy.admin.server
from proxy.admin.board import Board
from proxy.admin.server import AdminServer
from proxy.config.admin import AdminSettings
from proxy.errors import ConfigError
from proxy.metrics import MetricsSubscriber
from tests.fakes.controls import FakeControls


@pytest.fixture
def serve():
    servers = []

    def start(controls=None, **settings):
        controls = controls or FakeControls()
        server = AdminServer(AdminSettings(bind_port=0, **settings), Board(0.0), MetricsSubscriber(), controls)
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


def get(server, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.address[1]}{path}", timeout=5) as answer:
        return answer.read().decode()


def test_it_answers_as_soon_as_it_has_started_and_no_more_once_stopped(serve):
    server = serve()
    assert get(server, "/livez") == "alive\n"
    assert json.loads(get(server, "/readyz")) == {"ready": True, "reasons": []}
    assert "orthanc_proxy_build_info" in get(server, "/metrics")
    server.stop()
    with pytest.raises(urllib.error.URLError):
        get(server, "/livez")


def test_readiness_is_503_with_reasons(serve):
    server = serve(FakeControls(draining=True))
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(server, "/readyz")
    assert caught.value.code == 503
    assert json.loads(caught.value.read())["reasons"][0]["code"] == "draining"
    assert get(server, "/livez") == "alive\n"


def test_it_refuses_to_start_where_others_could_come_in_without_a_password():
    server = AdminServer(
        AdminSettings(bind_address="0.0.0.0", bind_port=0), Board(0.0), MetricsSubscriber(), FakeControls()
    )
    with pytest.raises(ConfigError, match="neither a user nor a token"):
        server.start()


def test_a_port_that_is_taken_is_an_error_at_the_start(serve):
    taken = serve().address[1]
    settings = AdminSettings(bind_port=taken)
    with pytest.raises(ConfigError, match=f"admin.bind_port: port {taken} on 127.0.0.1 is in use"):
        AdminServer(settings, Board(0.0), MetricsSubscriber(), FakeControls()).start()


def test_new_settings_count_at_once_and_an_open_door_is_refused(serve):
    server = serve(bind_address="0.0.0.0", tokens={"robot": SecretStr("one")})
    server.use(AdminSettings(tokens={"robot": SecretStr("two")}))

    def status(token):
        request = urllib.request.Request(f"http://127.0.0.1:{server.address[1]}/api/v1/reload", method="POST")
        request.add_header("Authorization", f"Bearer {token}")
        try:
            return urllib.request.urlopen(request, timeout=5).status
        except urllib.error.HTTPError as error:
            return error.code

    assert (status("one"), status("two")) == (401, 200)
    with pytest.raises(ConfigError):
        server.use(AdminSettings())
    assert status("two") == 200


def test_a_connection_that_says_nothing_is_closed(monkeypatch, serve):
    monkeypatch.setattr(proxy.admin.server, "REQUEST_SECONDS", 0.2)
    server = serve()
    for beginning in (b"", b"GET / HTT"):
        with socket.create_connection(server.address, timeout=5) as silent:
            silent.sendall(beginning)
            assert silent.recv(100) == b""
    assert get(server, "/livez") == "alive\n"


def test_stopping_does_not_wait_for_somebody_who_keeps_the_connection_open(serve):
    server = serve()
    with socket.create_connection(server.address, timeout=5) as idle:
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 200")
        server.stop(4.0)
        assert not any(thread.is_alive() for thread in server._threads)


def test_vendored_files_are_the_versions_that_their_table_names():
    vendor = Path(proxy.admin.server.__file__).parent / "static" / "vendor"
    table = (vendor / "README.md").read_text()
    assert "4.0.1" in table
    assert "this.version='4.0.1'" in (vendor / "htmx/htmx.min.js").read_text().replace('"', "'")
    assert "1.6.32" in table
    assert "(v1.6.32)" in (vendor / "uplot/uPlot.iife.min.js").read_text()
    assert "Permission to use" in (vendor / "htmx/LICENSE").read_text()
    assert "MIT" in (vendor / "uplot/LICENSE").read_text()
