"""`orthanc-proxy support-bundle`: one file, and a list of what is in it."""

import tarfile
from pathlib import Path

from tests.support.ports import free_port
from tests.unit.cli.calling import run


def test_it_writes_one_file_and_tells_what_it_put_in(config: Path) -> None:
    target = config.parent / "x.tar.gz"
    told = run(
        "support-bundle", "--config", str(config), "--set", f"admin.bind_port={free_port()}", "--output", str(target)
    )
    assert told.exit_code == 0, told.output
    with tarfile.open(target) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names == {"contents.txt", "versions.json", "configuration.toml", "spool.json", "cache.json"}
    for name in names - {"contents.txt"}:
        assert name in told.stdout
    assert "Orthanc refuses connections" in told.stdout, "and what could not be had"
    assert f"{target}: " in told.stdout


def test_it_makes_a_new_name_where_none_is_given(config: Path) -> None:
    assert run("support-bundle", "--config", str(config), "--set", f"admin.bind_port={free_port()}").exit_code == 0
    assert len(list(config.parent.glob("orthanc-proxy-support-*.tar.gz"))) == 1


def test_it_helps_also_where_the_configuration_is_of_no_use(config: Path) -> None:
    config.write_text('[backends.orthanc]\npasswrd = "geheim"\n')
    target = config.parent / "x.tar.gz"
    told = run("support-bundle", "--config", str(config), "-o", str(target))
    assert told.exit_code == 0
    with tarfile.open(target) as archive:
        (member,) = (one for one in archive.getmembers() if one.name.endswith("configuration.txt"))
        text = archive.extractfile(member).read()  # type: ignore[union-attr]
    assert b"did you mean password?" in text
    assert b"geheim" not in text


def test_a_file_that_cannot_be_written_is_told(config: Path) -> None:
    told = run("support-bundle", "--config", str(config), "-o", str(config / "x"))
    assert told.exit_code == 1
    assert f"{config}/x cannot be written" in told.stderr


def test_it_says_where_the_log_is_when_there_is_no_file(config: Path) -> None:
    told = run("support-bundle", "--config", str(config), "-o", str(config.parent / "x"))
    assert "journalctl" in told.stdout
