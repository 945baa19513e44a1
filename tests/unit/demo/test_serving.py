"""The demo's ports and configuration."""

import socket
from pathlib import Path

import pytest

from proxy.config.file import load
from proxy.demo import serving
from proxy.demo.orthanc import Orthanc
from proxy.demo.serving import Ports, choose_ports, write_configuration


def test_a_port_in_use_is_told_and_the_next_free_one_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(serving, "_USUAL", {"proxy": port, "destination": port, "admin": port})
        ports, sentences = choose_ports()
    assert len({port, ports.proxy, ports.destination, ports.admin}) == 4
    assert ports.proxy > port
    assert sentences[0] == f"Port {port} is in use by another program: the proxy takes {ports.proxy}."


def test_a_program_on_another_address_counts_as_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        monkeypatch.setattr(serving, "_USUAL", {"proxy": taken.getsockname()[1], "destination": 20000, "admin": 20001})
        assert choose_ports()[0].proxy != taken.getsockname()[1]


def test_the_configuration_loads(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    orthanc = Orthanc(tmp_path)
    orthanc.http_port = 4
    settings = load(write_configuration(folder, orthanc, Ports(1, 2, 3)), {})
    assert (settings.listener.bind_port, settings.destinations["DEST_AET"].port, settings.admin.bind_port) == (1, 2, 3)
    assert settings.storage.path == folder / "proxy"
    assert settings.backends["orthanc"].url == "http://127.0.0.1:4"
    assert settings.pipelines["dicom_scp"].aet == "HARMONY_SCP"
