"""Ports that are ours, free, or somebody else's."""

import socket

import pytest

from proxy.doctor import ports
from proxy.doctor.finding import Finding, State
from proxy.doctor.ports import Served, cannot_open, port_findings
from tests.support.ports import free_port
from tests.unit.doctor.making import settings


def found(served: Served = Served(), **tables: object) -> dict[str, Finding]:
    return {finding.what: finding for finding in port_findings(settings(**tables), served)}


def test_a_port_that_somebody_listens_on_cannot_be_opened_and_a_free_one_can() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert "in use by another program" in cannot_open("127.0.0.1", port)
    assert cannot_open("127.0.0.1", port) == ""


def test_to_look_at_a_port_leaves_it_as_it_was() -> None:
    port = free_port()
    for _ in range(2):
        assert cannot_open("127.0.0.1", port) == ""
    with socket.socket() as visitor:
        assert visitor.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_of_somebody_else_fails_with_a_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listener = {"bind_address": "127.0.0.1", "bind_port": other.getsockname()[1]}
        finding = found(listener=listener)["listener.bind_port"]
    assert finding.state is State.FAILED
    assert "ss -ltnp" in finding.says
    assert "set another listener.bind_port" in finding.remedy


def test_a_port_without_the_right_to_it_fails_with_another_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    why = "no permission to open port 104; ports below 1024 need root or CAP_NET_BIND_SERVICE"
    monkeypatch.setattr(ports, "cannot_open", lambda address, port: why)
    finding = found(listener={"bind_port": 104})["listener.bind_port"]
    assert (finding.state, finding.says) == (State.FAILED, why)
    assert "AmbientCapabilities" in finding.remedy


def test_what_we_serve_is_well_whatever_binding_it_again_would_say() -> None:
    with socket.create_server(("127.0.0.1", 0)) as ours:
        port = ours.getsockname()[1]
        served = Served(frozenset({port}), "1.2.3")
        finding = found(served, listener={"bind_port": port})["listener.bind_port"]
    assert (finding.state, finding.says) == (State.OK, "served by orthanc-proxy 1.2.3")


def test_a_free_port_is_well_unless_we_should_be_there() -> None:
    listener = {"bind_address": "127.0.0.1", "bind_port": free_port()}
    assert found(listener=listener)["listener.bind_port"].state is State.OK
    elsewhere = found(Served(frozenset({1}), "1.2.3"), listener=listener)["listener.bind_port"]
    assert elsewhere.state is State.FAILED
    assert "Restart" in elsewhere.remedy


def test_every_port_that_is_configured_is_looked_at() -> None:
    tls = {"certificate": "server.pem", "bind_port": free_port()}
    told = found(listener={"bind_address": "127.0.0.1", "bind_port": 0, "tls": tls}, admin={"bind_port": 0})
    assert list(told) == ["listener.bind_port", "listener.tls.bind_port", "admin.bind_port"]
    assert told["admin.bind_port"].state is State.SKIPPED, "the kernel chooses it"
    assert list(found()) == ["listener.bind_port"], "no TLS, no admin server"
