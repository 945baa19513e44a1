"""What is told before anything is opened: all at once."""

from pathlib import Path

import pytest

from proxy.doctor.preflight import bad_certificates, preflight
from proxy.errors import ConfigError
from tests.unit.doctor.making import settings


def test_what_is_sound_passes_and_nothing_is_made(tmp_path: Path) -> None:
    preflight(settings(storage={"path": str(tmp_path / "storage")}))
    assert list(tmp_path.iterdir()) == []


def test_folders_and_certificates_are_complained_of_together(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    made = settings(
        storage={"path": str(rubbish / "below")},
        listener={"tls": {"certificate": str(rubbish), "client_certificate": "none"}},
        destinations={"a": {"aet": "A", "host": "a", "tls": True, "ca": str(rubbish)}},
    )
    with pytest.raises(ConfigError) as refused:
        preflight(made)
    places = [complaint.partition(":")[0] for complaint in refused.value.complaints]
    assert places == ["storage.path", "listener.tls.certificate", "destinations.a.ca"]
    assert len(list(bad_certificates(made))) == 2
