"""`orthanc-proxy spool`, on spools that are there."""

import io
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pydicom
import pytest
from typer.testing import CliRunner, Result

from proxy.cli import app
from proxy.spool.deadletters import DeadLetters
from proxy.spool.names import Name
from proxy.spool.spool import Spool
from tests.fakes.received import SERIES, STUDY, data_set, open_spool, service, store

Command = Callable[..., Result]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Two instances wait, one is dead."""
    spool = open_spool(tmp_path / "storage")
    for uid in ("1.2.3", "1.2.4", "1.2.5"):
        assert store(service(spool), uid) == 0
    name = Name(STUDY, SERIES, "1.2.5")
    DeadLetters(spool).bury(name, spool.envelope(name), "orthanc", "bad file format", 1, last=True)
    return spool


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Call it with the words behind `orthanc-proxy spool`."""
    config = tmp_path / "config.toml"
    config.write_text(f'[backends.orthanc]\nurl = "http://orthanc.example"\n[storage]\npath = "{tmp_path}/storage"\n')
    return lambda *words, **options: CliRunner().invoke(app, ["spool", *words, "--config", str(config)], **options)


def dead_id(spool: Spool) -> str:
    (letter,) = DeadLetters(spool).list()
    return letter.id


def test_list_shows_the_dead_before_what_waits_and_counts_both(spool: Spool, command: Command) -> None:
    told = command("list")
    assert told.exit_code == 0, told.output
    dead, *waiting, counted = told.stdout.splitlines()
    assert dead.startswith(dead_id(spool))
    assert dead.endswith("orthanc: bad file format")
    assert [line.split()[-1] for line in waiting] == ["1.2.3", "1.2.4"]
    assert counted == "1 dead letters, 2 wait to be forwarded"
    assert len(command("list", "--most", "1").stdout.splitlines()) == 3
    assert len(command("list", "--dead").stdout.splitlines()) == 2


def test_list_for_programs_is_a_json_object_per_line(spool: Spool, command: Command) -> None:
    told = [orjson.loads(line) for line in command("list", "--json").stdout.splitlines()]
    assert [one["state"] for one in told] == ["dead", "waiting", "waiting"]
    assert {one["sop_instance_uid"] for one in told} == {"1.2.3", "1.2.4", "1.2.5"}


def test_show_tells_whence_and_why(spool: Spool, command: Command) -> None:
    told = command("show", dead_id(spool)).stdout
    assert "bad file format" in told
    assert "CT_1" in told
    assert STUDY in told
    waiting = spool.envelope(Name(STUDY, SERIES, "1.2.3"))
    told = command("show", waiting.id).stdout
    assert str(spool.path(Name(STUDY, SERIES, "1.2.3"))) in told
    assert time.strftime("%Y-%m-%dT%H:%M", time.gmtime(waiting.received_at)) in told


@pytest.mark.parametrize("which", ["--all", "id"])
def test_retry_puts_dead_letters_back_among_what_waits(spool: Spool, command: Command, which: str) -> None:
    told = command("retry", which if which == "--all" else dead_id(spool))
    assert (told.exit_code, told.stdout) == (0, "1 back in the queue\n"), told.output
    assert spool.path(Name(STUDY, SERIES, "1.2.5")).exists()
    assert DeadLetters(spool).count() == 0


def test_retry_keeps_the_order_of_two_versions(spool: Spool, command: Command) -> None:
    name = Name(STUDY, SERIES, "1.2.3")
    store(service(spool), "1.2.3", data_set("1.2.3", pixels=b"newer..."))
    arrived = [spool.envelope(one).received_at for one in spool.names_like(name)]
    for _ in arrived:
        DeadLetters(spool).bury(name, spool.envelope(name), "orthanc", "no", 1, last=True)
    assert command("retry", "--all").exit_code == 0
    assert [spool.envelope(one).received_at for one in spool.names_like(name)] == arrived


def test_drop_asks_first_and_deletes_the_dead_only(spool: Spool, command: Command) -> None:
    letter = dead_id(spool)
    assert command("drop", letter, input="n\n").exit_code == 1
    assert DeadLetters(spool).count() == 1
    waiting = spool.envelope(Name(STUDY, SERIES, "1.2.3")).id
    told = command("drop", letter, waiting, "--yes")
    assert (told.exit_code, told.stdout) == (1, "1 deleted\n")
    assert waiting in told.stderr
    assert (DeadLetters(spool).count(), len(list(spool.names()))) == (0, 2)


def test_export_writes_plain_dicom_files_and_leaves_the_spool_as_it_is(
    spool: Spool, command: Command, tmp_path: Path
) -> None:
    told = command("export", "--dead", "--waiting", "--to", str(tmp_path / "out"))
    assert told.exit_code == 0, told.output
    assert told.stdout == f"3 instances copied to {tmp_path / 'out'}\n"
    copies = list((tmp_path / "out").rglob("*.dcm"))
    read = {str(pydicom.dcmread(path).SOPInstanceUID): path.read_bytes() for path in copies}
    assert read.keys() == {"1.2.3", "1.2.4", "1.2.5"}
    assert all(content.endswith(data_set(uid)) for uid, content in read.items())
    assert "SendingApplicationEntityTitle" not in pydicom.dcmread(io.BytesIO(read["1.2.3"])).file_meta
    assert (DeadLetters(spool).count(), len(list(spool.names()))) == (1, 2)


def test_a_damaged_instance_is_exported_as_it_is_and_told(spool: Spool, command: Command, tmp_path: Path) -> None:
    path = spool.path(Name(STUDY, SERIES, "1.2.3"))
    damaged = path.read_bytes()[:-1] + b"?"
    path.write_bytes(damaged)
    told = command("export", "--waiting", "--to", str(tmp_path / "out"))
    assert told.exit_code == 1
    assert "changed since it was received" in told.stderr
    assert damaged in [copy.read_bytes() for copy in (tmp_path / "out").rglob("*.dcm")]


@pytest.mark.parametrize("words", [("show",), ("show", "nothing"), ("retry",), ("retry", "nothing"), ("drop", "-y")])
def test_what_is_not_there_or_not_said_is_told_and_fails(spool: Spool, command: Command, words: tuple[str]) -> None:
    told = command(*words)
    assert told.exit_code == 1
    assert told.stderr
    assert "Traceback" not in told.stderr


def test_no_spool_is_told_and_none_is_made(command: Command, tmp_path: Path) -> None:
    told = command("list")
    assert (told.exit_code, told.stderr) == (1, f"there is no spool at {tmp_path}/storage/dimse\n")
    assert not (tmp_path / "storage").exists()
