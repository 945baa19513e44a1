"""What commands are called with: a sound configuration, and somebody to call."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

BACKEND = '[backends.orthanc]\nurl = "http://127.0.0.1:1"\nretries = 1\n'


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound configuration file, before an Orthanc that is away; the working directory is its folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ORTHANC_PROXY_CONFIG", raising=False)
    path = tmp_path / "config.toml"
    path.write_text(BACKEND, encoding="utf-8")
    return path


@pytest.fixture
def peer() -> Iterator[str]:
    """The address of a node that answers C-ECHO and knows nobody but FRIEND."""
    entity = AE("PEER")
    entity.require_calling_aet = ["FRIEND"]
    entity.add_supported_context(Verification)
    server = entity.start_server(("127.0.0.1", 0), block=False)
    yield f"PEER@127.0.0.1:{server.server_address[1]}"
    server.shutdown()
