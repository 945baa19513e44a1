"""What the status page may ask and do, answered from a spool, a cache and settings that are there."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.cache.files import CacheFiles
from proxy.config import Settings
from proxy.journal import Journal
from proxy.orthanc.modalities import Modality
from proxy.spool.deadletters import DeadLetters
from proxy.spool.names import Name
from proxy.spool.progress import ProgressFiles
from proxy.spool.spool import Spool
from proxy.supervisor.controls import SupervisorControls
from proxy.workers.forwarder import Forwarder
from tests.fakes.received import SERIES, STUDY, FakeTarget, open_spool, service, store

SETTINGS = Settings.model_validate(
    {
        "backends": {"orthanc": {"url": "http://orthanc", "password": "geheim"}},
        "pipelines": {"main": {"aet": "MAIN", "archives": ["pacs"]}, "other": {"aet": "OTHER", "archives": ["pacs"]}},
        "destinations": {"ws": {"aet": "WS", "host": "ws", "port": 11113}},
        "admin": {"tokens": {"ci": "geheim"}},
    }
)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Three dead letters."""
    spool = open_spool(tmp_path / "storage")
    for uid in ("1.1", "1.2", "1.3"):
        store(service(spool), uid)
        name = Name(STUDY, SERIES, uid)
        DeadLetters(spool).bury(name, spool.envelope(name), "orthanc", f"refused {uid}", 1, last=True)
    return spool


@pytest.fixture
def controls(spool: Spool, tmp_path: Path) -> SupervisorControls:
    forwarder = Forwarder(spool, spool._settings, SETTINGS.pipelines, {"orthanc": FakeTarget()}, Journal())
    client = SimpleNamespace(known_modalities=lambda: {"pacs": Modality("pacs", "PACS", "pacs", 104, frozenset())})
    over: Any = SimpleNamespace(
        settings=SETTINGS,
        forwarder=forwarder,
        cache=CacheFiles(tmp_path / "cache"),
        clients={"orthanc": client},
    )
    return SupervisorControls(over)


def test_the_spool_tells_its_dead_letters_with_their_reasons(controls: SupervisorControls) -> None:
    snapshot = controls.spool()
    assert (snapshot.waiting, snapshot.dead_count, snapshot.full) == (0, 3, "")
    assert [letter.why for letter in snapshot.dead_letters] == ["refused 1.3", "refused 1.2", "refused 1.1"]
    assert [queue.target for queue in snapshot.queues] == ["orthanc"]


def test_one_dead_letter_that_cannot_be_retried_holds_up_no_other(controls: SupervisorControls, spool: Spool) -> None:
    letters = DeadLetters(spool)
    damaged = next(letter for letter in letters.list() if letter.why == "refused 1.2")
    letters.path(damaged).write_bytes(b"rubbish")
    done = controls.retry_all_dead_letters()
    assert not done.ok
    assert done.words[0] == "2 instances are back in the queue"
    assert len(done.words) == 2
    assert [name.sop_instance_uid for name in spool.names()] == ["1.1", "1.3"]
    assert [letter.id for letter in letters.list()] == [damaged.id]


def test_a_full_disk_is_told_to_whoever_wants_to_retry(
    controls: SupervisorControls, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ProgressFiles, "write", full)
    letter = DeadLetters(spool).list()[0]
    done = controls.retry_dead_letter(letter.id)
    assert (done.ok, done.words) == (False, ("No space left on device",))
    assert controls.spool().dead_count == 3
    assert controls.drop_dead_letter(letter.id).ok
    assert controls.spool().dead_count == 2


@pytest.mark.parametrize("do", ["retry_dead_letter", "drop_dead_letter", "echo"])
def test_what_is_not_there_is_a_lookup_error(controls: SupervisorControls, do: str) -> None:
    with pytest.raises(LookupError):
        getattr(controls, do)("nothing")


def test_secrets_are_stars(controls: SupervisorControls) -> None:
    assert "geheim" not in str(controls.configuration())
    assert controls.configuration()["backends"]["orthanc"]["url"] == "http://orthanc"


def test_destinations_are_ours_then_orthancs_and_archives_name_their_pipelines(controls: SupervisorControls) -> None:
    assert [(one.name, one.aet, one.source) for one in controls.destinations()] == [
        ("ws", "WS", "configuration"),
        ("orthanc/pacs", "PACS", "orthanc"),
    ]
    (archive,) = controls.archives()
    assert (archive.name, archive.pipelines) == ("pacs", ("main", "other"))


def test_the_cache_is_counted_now_and_then_and_when_it_was_cleared(
    controls: SupervisorControls, tmp_path: Path
) -> None:
    series = tmp_path / "cache" / "a"
    series.mkdir(parents=True)
    (series / "b.c").write_bytes(bytes(1000))
    assert (controls.cache().instances, controls.cache().bytes) == (1, 1000)
    (series / "d.e").write_bytes(bytes(1000))
    assert controls.cache().instances == 1
    assert controls.clear_cache().ok
    assert controls.cache().instances == 0
