"""`orthanc-proxy init`: files from what an Orthanc tells, and never over somebody else's."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import Result

from proxy.drop_in import MAIN, PIPELINE
from tests.fakes.answers import Answers, answering
from tests.unit.cli.calling import run

SYSTEM = {"Version": "1.12.7", "Name": "Pacs", "DicomAet": "PACS", "DicomPort": 4242}
WS = {"AET": "WS1", "Host": "10.0.0.5", "Port": 104}


@pytest.fixture
def orthanc() -> Iterator[Answers]:
    with answering({"/system": SYSTEM, "/modalities": {"ws": WS}}) as server:
        yield server


def init(orthanc: Answers, folder: Path, *options: str) -> Result:
    return run("init", "--from-orthanc", orthanc.url, "--directory", str(folder), *options)


def test_what_it_writes_passes_check_and_it_says_what_to_do_next(orthanc: Answers, tmp_path: Path) -> None:
    told = init(orthanc, tmp_path / "new")
    assert told.exit_code == 0, told.output
    assert f"written for Orthanc 1.12.7 at {orthanc.url}\n(AE title PACS, 1 modalities). Next:\n  1. " in told.stdout
    assert f"orthanc-proxy serve --config {tmp_path}/new/config.toml" in told.stdout
    checked = run("check", "--config", str(tmp_path / "new" / MAIN))
    assert checked.exit_code == 0, checked.stderr
    assert "PACS: echo, find, get, move, store, commitment" in checked.stdout
    assert "WS1" in (tmp_path / "new" / PIPELINE).read_text()
    assert sorted(path.name for path in (tmp_path / "new").rglob("*.part")) == []


def test_the_folder_is_that_which_serve_looks_into(
    orthanc: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ORTHANC_PROXY_CONFIG", raising=False)
    assert run("init", "--from-orthanc", orthanc.url).exit_code == 0
    assert run("check").stdout.startswith("configuration is valid: config/config.toml, config/pipelines/dicom-scp.toml")


@pytest.mark.parametrize("there", [[MAIN], [PIPELINE], [MAIN, PIPELINE]])
def test_files_that_are_there_are_not_overwritten_without_force(
    there: list[Path], orthanc: Answers, tmp_path: Path
) -> None:
    (tmp_path / "pipelines").mkdir()
    for place in there:
        (tmp_path / place).write_text("# mine")
    told = init(orthanc, tmp_path)
    assert told.exit_code == 1
    assert "--force" in told.stderr
    assert all(str(tmp_path / place) in told.stderr for place in there)
    assert [(tmp_path / place).read_text() for place in there] == ["# mine"] * len(there)
    assert not orthanc.asked, "who is refused need not wait for Orthanc"
    assert init(orthanc, tmp_path, "--force").exit_code == 0
    assert "# mine" not in (tmp_path / MAIN).read_text()


def test_credentials_go_to_orthanc_and_into_the_files_by_name(
    orthanc: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret").write_text("geheim\n")
    told = init(orthanc, tmp_path / "new", "--user", "anna", "--password-file", "secret")
    assert told.exit_code == 0, told.output
    assert orthanc.headers("/system")["Authorization"] == "Basic YW5uYTpnZWhlaW0="
    written = (tmp_path / "new" / PIPELINE).read_text()
    assert f'password_file = "{tmp_path}/secret"' in written
    assert "geheim" not in written


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((401, {}), "Orthanc refuses our credentials (HTTP 401). Correct username and password"),
        ((200, b"<html>"), "no Orthanc (no JSON). Another program answers there"),
        ((404, {}), "Orthanc answers HTTP 404"),
    ],
)
def test_an_orthanc_that_does_not_tell_is_told_and_nothing_is_written(
    answer: object, words: str, orthanc: Answers, tmp_path: Path
) -> None:
    orthanc.given["/system"] = answer
    told = init(orthanc, tmp_path / "new")
    assert told.exit_code == 1
    assert words in told.stderr
    assert not (tmp_path / "new").exists()


def test_nobody_there_and_no_address_are_told(tmp_path: Path) -> None:
    told = run("init", "--from-orthanc", "http://127.0.0.1:1", "--directory", str(tmp_path))
    assert (told.exit_code, "Start Orthanc" in told.stderr) == (1, True)
    told = run("init", "--from-orthanc", "127.0.0.1:8042", "--directory", str(tmp_path))
    assert (told.exit_code, told.stderr) == (
        1,
        "127.0.0.1:8042 is no address of an Orthanc, as http://127.0.0.1:8042\n",
    )
    told = run("init", "--from-orthanc", "http://anna:geheim@127.0.0.1:1", "--directory", str(tmp_path))
    assert told.exit_code == 1
    assert "--password-file" in told.stderr
    assert "geheim" not in told.stderr


def test_what_would_be_no_sound_configuration_is_not_left_behind(orthanc: Answers, tmp_path: Path) -> None:
    orthanc.given["/system"] = {**SYSTEM, "DicomAet": "A TITLE THAT IS FAR TOO LONG"}
    told = init(orthanc, tmp_path / "new")
    assert told.exit_code == 2
    assert f"{tmp_path}/new/pipelines/dicom-scp.toml:4: pipelines.dicom_scp.aet: must be an AE title" in told.stderr
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_told(orthanc: Answers, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told = init(orthanc, tmp_path / "file" / "below")
    assert told.exit_code == 1
    assert "cannot be written" in told.stderr


def test_to_take_over_is_to_listen_where_orthanc_does(orthanc: Answers, tmp_path: Path) -> None:
    told = init(orthanc, tmp_path, "--take-over")
    assert 'Set "DicomPort": 4243' in told.stdout
    assert "bind_port = 4242" in (tmp_path / MAIN).read_text()
