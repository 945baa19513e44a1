"""How the running program is asked from outside."""

import socket
import threading

import pytest

from proxy.config import AdminSettings
from proxy.doctor.running import NotRunning, ask, can_be_asked, dicom_address, local
from proxy.echo import Address
from tests.fakes.answers import answering
from tests.support.ports import free_port
from tests.unit.doctor.making import settings


@pytest.mark.parametrize(
    ("bound", "reached"),
    [("0.0.0.0", "127.0.0.1"), ("", "127.0.0.1"), ("::", "::1"), ("10.0.0.5", "10.0.0.5"), ("localhost", "localhost")],
)
def test_who_listens_everywhere_is_reached_on_loopback(bound: str, reached: str) -> None:
    assert local(bound) == reached


def test_an_admin_server_that_is_off_or_on_an_unknown_port_cannot_be_asked() -> None:
    assert can_be_asked(AdminSettings(bind_port=9090))
    for admin in (AdminSettings(enabled=False), AdminSettings(bind_port=0)):
        assert not can_be_asked(admin)
        with pytest.raises(NotRunning, match="no admin server on a known port"):
            ask(admin, "/readyz")


def test_an_answer_comes_with_its_status_and_a_token_goes_along() -> None:
    with answering({"/readyz": (503, {"ready": False}), "/metrics": b"not json"}) as server:
        plain = AdminSettings(bind_port=server.port)
        answer = ask(plain, "/readyz")
        assert (answer.status, answer.json(), answer.text) == (503, {"ready": False}, '{"ready": false}')
        assert ask(plain, "/metrics").json() is None
        assert "Authorization" not in server.headers("/metrics")
        ask(AdminSettings.model_validate({"bind_port": server.port, "tokens": {"ci": "t0ken"}}), "/metrics")
        assert server.headers("/metrics")["Authorization"] == "Bearer t0ken"


def test_nobody_there_is_told() -> None:
    with pytest.raises(NotRunning, match="the admin server does not answer: Connection refused"):
        ask(AdminSettings(bind_port=free_port()), "/readyz")


def test_what_speaks_no_http_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"\x02\x00\x00\x00\x00\x00\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(NotRunning, match="is no admin server"):
            ask(AdminSettings(bind_port=server.getsockname()[1]), "/readyz")
        thread.join()


def test_the_plain_dicom_port_is_known_unless_the_kernel_chose_it_or_tls_has_it() -> None:
    tls = {"certificate": "server.pem"}
    assert dicom_address(settings()) == Address("ONE", "127.0.0.1", 11112)
    assert dicom_address(settings(), "TWO") == Address("TWO", "127.0.0.1", 11112)
    assert dicom_address(settings(listener={"bind_port": 0})) is None
    assert dicom_address(settings(listener={"tls": tls})) is None
    beside = settings(listener={"bind_address": "10.0.0.5", "bind_port": 104, "tls": {**tls, "bind_port": 2762}})
    assert dicom_address(beside) == Address("ONE", "10.0.0.5", 104)
