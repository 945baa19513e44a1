"""`orthanc-proxy config`."""

from pathlib import Path

from proxy.config.reference import markdown
from tests.unit.cli.calling import run


def test_docs_prints_or_writes_the_reference(tmp_path: Path) -> None:
    assert run("config", "docs").stdout == markdown()
    assert run("config", "docs", "--write", str(tmp_path / "x.md")).exit_code == 0
    assert (tmp_path / "x.md").read_text(encoding="utf-8") == markdown()


def test_show_masks_secrets_and_names_origins(config: Path) -> None:
    told = run("config", "show", "--config", str(config), "--set", "backends.orthanc.password=geheim")
    assert "geheim" not in told.stdout
    assert 'password = "********"  # --set backends.orthanc.password' in told.stdout
    assert f'url = "http://127.0.0.1:1"  # {config}:2' in told.stdout
