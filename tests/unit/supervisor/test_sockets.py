"""The listening sockets: which are opened, and what is said where one cannot be."""

import socket
from pathlib import Path

import pytest

from proxy.config import Listener
from proxy.errors import ConfigError
from proxy.supervisor.sockets import open_listening


def listener(**settings: object) -> Listener:
    return Listener.model_validate({"bind_address": "127.0.0.1", "bind_port": 0, **settings})


CERTIFICATE = {"certificate": Path("/x.pem")}


@pytest.mark.parametrize(
    ("tls", "plain_port", "tls_port"),
    [({}, True, False), (CERTIFICATE, False, True), ({**CERTIFICATE, "bind_port": 0}, True, True)],
)
def test_the_plain_port_the_tls_port_or_both_are_opened(
    tls: dict[str, object], plain_port: bool, tls_port: bool
) -> None:
    listening = open_listening(listener(tls=tls))
    try:
        assert (listening.dicom_port is not None, listening.tls_port is not None) == (plain_port, tls_port)
        for port in filter(None, (listening.dicom_port, listening.tls_port)):
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
    finally:
        listening.close()


def test_an_ipv6_address_is_one() -> None:
    try:
        listening = open_listening(listener(bind_address="::1"))
    except ConfigError:
        pytest.skip("this machine has no IPv6")
    with socket.create_connection(("::1", listening.dicom_port), timeout=5):  # type: ignore[arg-type]
        listening.close()


def test_a_port_can_be_opened_again_right_after_its_connections_have_ended() -> None:
    listening = open_listening(listener())
    port = listening.dicom_port
    assert listening.plain is not None
    listening.plain.setblocking(True)
    near = socket.create_connection(("127.0.0.1", port), timeout=5)  # type: ignore[arg-type]
    far, _ = listening.plain.accept()
    far.close()  # ours ends first: it stays in TIME_WAIT
    near.close()
    listening.close()
    open_listening(listener(bind_port=port)).close()


@pytest.mark.parametrize("key", ["bind_port", "tls.bind_port"])
def test_a_port_in_use_names_its_key_and_leaves_no_socket_open(key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = {"bind_port": port} if key == "bind_port" else {"tls": {**CERTIFICATE, "bind_port": port}}
        with pytest.raises(ConfigError) as caught:
            open_listening(listener(**settings))
    assert caught.value.complaints[0].startswith(f"listener.{key}: port {port} on 127.0.0.1 is in use")
