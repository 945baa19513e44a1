"""Downloading a study into the cache."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.warming import Warming
from proxy.config import Backend, Settings
from proxy.dicom.messages import Located
from proxy.errors import OrthancUnavailable
from tests.fakes.archive import Archive


@dataclass
class FakeClient:
    """An Orthanc's client, as far as it is needed here."""

    archive: Archive = field(default_factory=Archive)
    backend: Backend = field(default_factory=lambda: Backend(url="http://orthanc.example"))

    def download(self, *arguments: Any) -> None:
        self.archive.download(*arguments)


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


def warm(client: FakeClient, folder: Path, located: list[Located], **cache: object) -> str:
    keys = {"min_free_bytes": 0, **cache}
    settings = Settings.model_validate({"cache": keys, "backends": {"orthanc": {"url": "http://orthanc.example"}}})
    return Warming(settings, folder, client).run(located)  # type: ignore[arg-type]


def test_each_instance_is_downloaded_once_however_often_it_is_warmed(client: FakeClient, tmp_path: Path) -> None:
    located = [client.archive.add(f"1.2.{number}") for number in range(5)]
    assert warm(client, tmp_path, located) == "5 instances: 0 were cached, 5 are now"
    located.append(client.archive.add("1.2.9"))
    assert warm(client, tmp_path, located) == "6 instances: 5 were cached, 1 are now"
    assert len(client.archive.downloads) == 6


def test_what_does_not_fit_is_told(client: FakeClient, tmp_path: Path) -> None:
    located = [client.archive.add("1.2.3", bytes(1 << 16))]
    told = warm(client, tmp_path, located, max_bytes=100)
    assert told.startswith("1 instances: 0 were cached, 0 are now, 1 could not be (")
    assert "cache.max_bytes" in told


def test_an_orthanc_that_goes_away_ends_it(client: FakeClient, tmp_path: Path) -> None:
    def away(_: Located) -> None:
        raise OrthancUnavailable("Orthanc refuses connections")

    client.archive.behave = away
    with pytest.raises(OrthancUnavailable):
        warm(client, tmp_path, [client.archive.add("1.2.3")])
