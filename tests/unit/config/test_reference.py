"""The shipped files and the generated reference say exactly what the settings models say."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ByteSize, TypeAdapter

from proxy.config.file import read
from proxy.config.reference import effective, markdown, toml
from proxy.config.schema import REQUIRED, Entry, describe, is_secret

ROOT = Path(__file__).parents[3]
SHIPPED = [ROOT / "config" / "config.toml", *sorted((ROOT / "config" / "pipelines").glob("*.toml"))]
_KEY = re.compile(r"^(?P<off># )?(?P<key>[a-z_]+) = (?P<value>.+?)(?:\s+# .*)?$")
_TABLE = re.compile(r"^(?:# )?\[+(?P<table>[\w.]+)\]+$")


def shipped_keys() -> dict[tuple[str, str], list[tuple[bool, Any]]]:
    """(table with NAME, key) -> [(is it commented out, its value)] of all shipped files."""
    found: dict[tuple[str, str], list[tuple[bool, Any]]] = {}
    for path in SHIPPED:
        table = ""
        for line in path.read_text(encoding="utf-8").splitlines():
            if match := _TABLE.match(line):
                table = re.sub(r"^(pipelines|backends|destinations|admin\.users)\.\w+", r"\1.NAME", match["table"])
            elif match := _KEY.match(line):
                value = tomllib.loads(f"x = {match['value']}")["x"]
                found.setdefault((table, match["key"]), []).append((bool(match["off"]), value))
    return found


ENTRIES = {(entry.table, entry.key): entry for entry in describe()}


def test_every_setting_stands_in_the_shipped_files() -> None:
    assert ENTRIES.keys() - shipped_keys().keys() == set()


def test_the_shipped_files_name_no_setting_that_does_not_exist() -> None:
    assert shipped_keys().keys() - ENTRIES.keys() == set()


@pytest.mark.parametrize("place", sorted(ENTRIES), ids=".".join)
def test_a_commented_key_shows_its_default(place: tuple[str, str]) -> None:
    entry = ENTRIES[place]
    if entry.default is None or entry.default is REQUIRED:
        return  # an example stands there; `test_all_commented_keys_load` takes it
    for off, value in shipped_keys()[place]:
        if off:
            assert _plain(value, entry) == _plain(entry.default, entry)


def _plain(value: Any, entry: Entry) -> Any:
    if entry.type.startswith("size"):
        return int(TypeAdapter(ByteSize).validate_python(value))
    return Path(value) if entry.type == "path" else value


def test_the_shipped_files_load_as_they_are() -> None:
    settings = read(SHIPPED[0], {}).settings
    assert settings.proxy.id == "harmony-dicom-scp"
    assert settings.listener.bind_port == 11112
    assert settings.pipelines["dicom_scp"].aet == "HARMONY_SCP"
    assert settings.pipelines["dicom_scp"].services == ["echo", "find", "get", "move"]
    assert settings.backends["orthanc"].url == "http://127.0.0.1:8042"
    assert (settings.destinations["DEST_AET"].host, settings.destinations["DEST_AET"].port) == ("127.0.0.1", 11113)
    assert settings.cache.max_bytes == 10 << 30


def test_all_commented_keys_load_when_they_are_switched_on(tmp_path: Path) -> None:
    """But for those that name files, which are not there."""
    (tmp_path / "pipelines").mkdir()
    files = {entry.key for entry in ENTRIES.values() if entry.type == "path" and entry.default is None}
    for path in SHIPPED:
        lines = []
        for line in path.read_text(encoding="utf-8").splitlines():
            key = _KEY.match(line)
            on = line.removeprefix("# ") if key or _TABLE.match(line) else line
            lines.append(line if key and key["key"] in files else on)
        (tmp_path / path.relative_to(SHIPPED[0].parent)).write_text("\n".join(lines), encoding="utf-8")
    settings = read(tmp_path / "config.toml", {}).settings
    assert settings.proxy.workers == 2
    assert settings.pipelines["dicom_scp"].rules[0].services == ["echo", "find"]
    assert settings.listener.tls.bind_port == 2762


def test_the_reference_in_docs_is_current() -> None:
    written = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == markdown(), "run `make docs`"


def test_every_setting_has_a_meaning_and_a_type() -> None:
    for entry in ENTRIES.values():
        assert entry.description, entry
        assert entry.type, entry
        assert entry.about, entry


def test_what_is_in_force_is_toml_that_reads_back_to_the_same_settings(tmp_path: Path) -> None:
    configuration = read(SHIPPED[0], {})
    again = tmp_path / "again.toml"
    (tmp_path / "pipelines").mkdir()
    again.write_text("\n".join(effective(configuration.settings, configuration.origins)), encoding="utf-8")
    assert read(again, {}).settings == configuration.settings


def test_no_secret_is_ever_shown() -> None:
    environ = {
        "ORTHANC_PROXY__BACKENDS__ORTHANC__URL": "http://anna:geheim@orthanc:8042",
        "ORTHANC_PROXY__BACKENDS__ORTHANC__PASSWORD": "geheim",
        "ORTHANC_PROXY__ADMIN__TOKENS": '{"ci": "geheim"}',
        "ORTHANC_PROXY__ADMIN__USERS": '{"anna": {"password_hash": "geheim"}}',
        "ORTHANC_PROXY__PIPELINES__DICOM_SCP__RULES": '[{"passcode": "geheim"}]',
    }
    configuration = read(SHIPPED[0], environ)
    shown = "\n".join(effective(configuration.settings, configuration.origins))
    assert "geheim" not in shown
    assert shown.count("********") == 4


def test_a_value_says_where_it_comes_from() -> None:
    configuration = read(SHIPPED[0], {"ORTHANC_PROXY__CACHE__VERIFY": "false"})
    lines = list(effective(configuration.settings, configuration.origins))
    assert "verify = false  # ORTHANC_PROXY__CACHE__VERIFY" in lines
    assert any(re.fullmatch(r"bind_port = 11112  # .*config\.toml:\d+", line) for line in lines)
    assert 'wire = "fast"' in lines


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "true"),
        (3, "3"),
        (0.1, "0.1"),
        (86400.0, "86400"),
        (ByteSize(10 << 30), '"10 GiB"'),
        (ByteSize(1000), "1000"),
        (Path("tmp/x"), '"./tmp/x"'),
        (["a", 'b"c'], '["a", "b\\"c"]'),
        ({"A B": [1]}, '{ "A B" = [1] }'),
        ({}, "{}"),
    ],
)
def test_values_are_written_as_toml(value: object, written: str) -> None:
    assert toml(value) == written
    tomllib.loads(f"x = {written}")


@pytest.mark.parametrize(
    ("path", "secret"),
    [
        (("backends", "a", "password"), True),
        (("backends", "a", "passwrd"), True),
        (("admin", "tokens", "ci"), True),
        (("admin", "users", "anna", "password_hash"), True),
        (("pipelines", "a", "rules", 0, "passcode"), True),
        (("backends", "a", "password_file"), False),
        (("listener", "bind_port"), False),
    ],
)
def test_what_is_secret(path: tuple[str | int, ...], secret: bool) -> None:
    assert is_secret(path) is secret
