"""`orthanc-proxy conformance`."""

from pathlib import Path

import orjson

from tests.unit.cli.calling import run


def test_it_prints_markdown_or_json_of_the_configuration_it_was_given(config: Path) -> None:
    arguments = ("conformance", "--config", str(config), "--set", "pipelines.dicom_scp.aet=SOMEBODY")
    told = run(*arguments)
    assert told.exit_code == 0
    assert told.stdout.startswith("# DICOM Conformance Statement: orthanc-proxy ")
    assert "#### 7.2.1 SOMEBODY Application Entity" in told.stdout
    as_json = orjson.loads(run(*arguments, "--format", "json").stdout)
    assert as_json["entities"][0]["aet"] == "SOMEBODY"


def test_it_says_what_it_was_made_from_and_no_secret(config: Path) -> None:
    told = run("conformance", "--config", str(config), "--format", "json", "--set", "backends.orthanc.password=geheim")
    assert orjson.loads(told.stdout)["origins"] == [str(config), "--set backends.orthanc.password"]
    assert "geheim" not in told.stdout


def test_it_writes_a_file(config: Path) -> None:
    file = config.parent / "x.md"
    told = run("conformance", "--config", str(config), "--write", str(file))
    assert (told.exit_code, told.stdout) == (0, "")
    assert file.read_text(encoding="utf-8") == run("conformance", "--config", str(config)).stdout


def test_a_file_that_cannot_be_written_is_told(config: Path) -> None:
    told = run("conformance", "--config", str(config), "--write", str(config / "x.md"))
    assert (told.exit_code, told.stderr) == (1, f"{config}/x.md cannot be written: Not a directory\n")


def test_live_fails_while_orthanc_is_away(config: Path) -> None:
    told = run("conformance", "--config", str(config), "--live")
    assert (told.exit_code, told.stderr) == (1, "orthanc: Orthanc refuses connections\n")


def test_an_unknown_form_is_refused(config: Path) -> None:
    assert run("conformance", "--config", str(config), "--format", "html").exit_code == 2
