"""Reading the configuration: what wins, and what is said when something is wrong."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from proxy.config.file import find, load, read
from proxy.errors import ConfigError

BACKEND = '[backends.orthanc]\nurl = "http://127.0.0.1:8042"\n'
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Call it with the texts of config.toml and of pipelines: `write("...", a="...")`."""

    def write_files(main: str, **pipelines: str) -> Path:
        (tmp_path / "pipelines").mkdir(exist_ok=True)
        (tmp_path / "config.toml").write_text(main, encoding="utf-8")
        for name, text in pipelines.items():
            (tmp_path / "pipelines" / f"{name}.toml").write_text(text, encoding="utf-8")
        return tmp_path / "config.toml"

    return write_files


def complaints(path: Path | None, environ: Mapping[str, str] | None = None, **options: object) -> list[str]:
    """What is wrong, with the folder taken out."""
    with pytest.raises(ConfigError) as caught:
        read(path, environ or {}, **options)  # type: ignore[arg-type]
    folder = f"{path.parent}/" if path else "\0"
    return [line.replace(folder, "") for line in caught.value.complaints]


# ---- merging and order


def test_every_toml_in_the_pipelines_folder_is_merged(write: Write) -> None:
    settings = load(write(BACKEND, a='[pipelines.a]\naet = "A"\n', b='[pipelines.b]\naet = "B"\n'), {})
    assert {name: pipeline.aet for name, pipeline in settings.pipelines.items()} == {"a": "A", "b": "B"}


def test_pipelines_path_is_relative_to_the_file(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    path = write(f'[proxy]\npipelines_path = "elsewhere"\n{BACKEND}')
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.toml").write_text('[pipelines.a]\naet = "A"\n')
    assert list(load(path, {}).pipelines) == ["a"]


def test_only_the_address_of_the_backend_is_needed(write: Write) -> None:
    settings = load(write(BACKEND), {})
    assert [pipeline.aet for pipeline in settings.pipelines.values()] == ["HARMONY_SCP"]
    assert settings.listener.bind_port == 11112


def test_without_a_file_the_environment_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("proxy.config.file.SEARCHED", ())
    settings = load(None, {"ORTHANC_PROXY__BACKENDS__ORTHANC__URL": "http://orthanc:8042"})
    assert settings.backends["orthanc"].url == "http://orthanc:8042"


def test_the_later_source_wins(write: Write, tmp_path: Path) -> None:
    path = write(f"[listener]\nbind_port = 1\nmax_pdu = 1\n[admin]\nbind_port = 1\n[cache]\nverify = true\n{BACKEND}")
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "orthanc_proxy__admin__bind_port").write_text("3\n")
    (secrets / "ORTHANC_PROXY__LISTENER__MAX_PDU").write_text("3")
    (secrets / "something_else").write_text("3")
    environ = {
        f"ORTHANC_PROXY__{name}": "2" for name in ("LISTENER__BIND_PORT", "LISTENER__MAX_PDU", "ADMIN__BIND_PORT")
    }
    configuration = read(path, environ, {"listener.max_pdu": "4"}, secrets)
    settings = configuration.settings
    assert (settings.listener.bind_port, settings.admin.bind_port, settings.listener.max_pdu) == (2, 3, 4)
    assert configuration.origins["listener", "bind_port"] == "ORTHANC_PROXY__LISTENER__BIND_PORT"
    assert configuration.origins["admin", "bind_port"] == str(secrets / "orthanc_proxy__admin__bind_port")
    assert configuration.origins["listener", "max_pdu"] == "--set listener.max_pdu"
    assert configuration.origins["cache", "verify"] == f"{path}:7"


def test_a_password_is_read_from_its_file(write: Write, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("geheim\n")
    settings = load(write(f'{BACKEND}password_file = "{tmp_path}/secret"\n'), {})
    assert settings.backends["orthanc"].secret() == "geheim"


# ---- which file


def test_the_file_is_given_or_named_by_the_environment_or_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("proxy.config.file.SEARCHED", (Path("config/config.toml"), tmp_path / "etc.toml"))
    assert find(None, {}) is None
    (tmp_path / "etc.toml").touch()
    assert find(None, {}) == tmp_path / "etc.toml"
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").touch()
    assert find(None, {}) == Path("config/config.toml")
    assert find(None, {"ORTHANC_PROXY_CONFIG": "/a"}) == Path("/a")
    assert find(Path("/b"), {"ORTHANC_PROXY_CONFIG": "/a"}) == Path("/b")


def test_nothing_configured_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("proxy.config.file.SEARCHED", (Path("config/config.toml"),))
    assert complaints(None) == [
        "no configuration: give --config FILE or $ORTHANC_PROXY_CONFIG; looked for config/config.toml"
    ]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert complaints(tmp_path / "none.toml") == ["none.toml: cannot be read: No such file or directory"]


# ---- complaints


def test_all_complaints_come_at_once_in_the_order_of_the_files(write: Write) -> None:
    path = write(
        '[listener]\nbind_prt = 1\nbind_port = "x"\n[cahce]\n[logging]\nformat = "jason"\n',
        a='[pipelines.a]\nbackend = "orthnc"\naet = "SEVENTEEN LETTERS"\n[backends.orthanc]\nusername = "anna"\n',
    )
    environ = {"ORTHANC_PROXY__LISTENER__BIND_PRT": "1"}
    assert complaints(path, environ) == [
        "config.toml:2: listener.bind_prt: unknown key (did you mean bind_port?)",
        "config.toml:3: listener.bind_port: must be a whole number, not 'x'",
        "config.toml:4: cahce: unknown table (did you mean cache?)",
        "config.toml:6: logging.format: should be 'text' or 'json', not 'jason' (did you mean json?)",
        "pipelines/a.toml:3: pipelines.a.aet: must be an AE title: 1 to 16 printable ASCII characters, no backslash",
        "pipelines/a.toml:4: backends.orthanc.url: is missing (Its REST address, as http://127.0.0.1:8042)",
        "ORTHANC_PROXY__LISTENER__BIND_PRT: unknown variable (did you mean ORTHANC_PROXY__LISTENER__BIND_PORT?)",
    ]


def test_names_that_do_not_resolve_are_told_beside_other_mistakes(write: Write) -> None:
    path = write(
        f"[listener]\nbind_port = -1\n{BACKEND}",
        a='[pipelines.a]\naet = "A"\nbackend = "orthnc"\nforward_to = ["nobody"]\n'
        '[[pipelines.a.routes]]\nforward_to = ["orthanc", "x"]\n[pipelines.b]\naet = "A"\n',
    )
    assert complaints(path) == [
        "config.toml:2: listener.bind_port: should be greater than or equal to 0, not -1",
        "pipelines/a.toml:3: pipelines.a.backend: no [backends.orthnc]; there is: orthanc",
        "pipelines/a.toml:4: pipelines.a.forward_to: no backend or destination 'nobody'",
        "pipelines/a.toml:6: pipelines.a.routes[0].forward_to: no backend or destination 'x'",
        "pipelines/a.toml:8: pipelines.b.aet: 'A' is taken by pipelines.a",
    ]


def test_no_backend_at_all_says_how_to_write_one(write: Write) -> None:
    assert complaints(write("[proxy]\n")) == [
        'config.toml: backends: is missing: there must be one table as [backends.orthanc] with url = "http://127.0.0.1:8042"'
    ]


def test_bad_toml_is_told_with_its_line_and_hides_no_mistake_in_other_files(write: Write) -> None:
    told = complaints(write(BACKEND, a="[pipelines.a]\naet = A\n", b='[pipelines.b]\naet = "B"\nbakend = "x"\n'))
    assert told[0].startswith("pipelines/a.toml:2: is not TOML: ")
    assert told[1:] == ["pipelines/b.toml:3: pipelines.b.bakend: unknown key (did you mean backend?)"]


def test_what_may_stand_in_a_broken_file_is_not_called_missing(write: Write) -> None:
    told = complaints(write("[proxy]\n", a="[backends.orthanc\n"))
    assert len(told) == 1
    assert "is not TOML" in told[0]


def test_text_that_is_not_utf_8_is_told(write: Write, tmp_path: Path) -> None:
    path = write(BACKEND)
    (tmp_path / "pipelines" / "a.toml").write_bytes(b'[pipelines.a]\naet = "\xe4"\n')
    assert complaints(path) == ["pipelines/a.toml: is not UTF-8 text (byte 21)"]


def test_a_table_with_a_name_of_yours_stands_in_one_file_only(write: Write, tmp_path: Path) -> None:
    told = complaints(write(BACKEND, a='[pipelines.a]\naet = "A"\n', b="[pipelines.a]\n[proxy]\n"))
    assert told == [
        f"pipelines/b.toml:1: pipelines.a: is already set in {tmp_path}/pipelines/a.toml:1".replace(f"{tmp_path}/", "")
    ]


def test_other_tables_may_be_shared_by_files_but_not_their_keys(write: Write) -> None:
    path = write(f"[listener]\nbind_port = 1\n{BACKEND}", a="[listener]\nmax_pdu = 0\n")
    assert (load(path, {}).listener.bind_port, load(path, {}).listener.max_pdu) == (1, 0)
    path = write(f"[listener]\nbind_port = 1\n{BACKEND}", a="[listener]\nbind_port = 1\n")
    assert complaints(path) == ["pipelines/a.toml:2: listener.bind_port: is already set in config.toml:2"]


def test_a_pipelines_folder_that_was_named_must_exist(write: Write) -> None:
    told = complaints(write(f'[proxy]\npipelines_path = "nowhere"\n{BACKEND}'))
    assert told == ["config.toml:2: proxy.pipelines_path: there is no folder nowhere"]


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ('password_file = "/nowhere/secret"', "backends.orthanc.password_file"),
        ('verify = "/nowhere/ca.pem"', "backends.orthanc.verify"),
        ('client_certificate = "/nowhere/client.pem"', "backends.orthanc.client_certificate"),
    ],
)
def test_files_that_the_settings_name_must_be_readable(write: Write, key: str, place: str) -> None:
    file = key.split('"')[1]
    assert complaints(write(f"{BACKEND}{key}\n")) == [
        f"config.toml:3: {place}: {file} cannot be read: No such file or directory"
    ]


def test_files_that_cannot_be_read_are_told_beside_other_mistakes(write: Write) -> None:
    path = write(f'[cache]\nsise = 1\n{BACKEND}password_file = "/nowhere/secret"\n', a='[pipelines.a]\naet = "A/B"\n')
    variable = "ORTHANC_PROXY__DESTINATIONS__X__CA"
    assert complaints(path, {variable: "/nowhere/ca.pem"}) == [
        "config.toml:2: cache.sise: unknown key (known here: enabled, max_bytes, min_free_bytes, verify)",
        "config.toml:5: backends.orthanc.password_file: /nowhere/secret cannot be read: No such file or directory",
        f"{variable}: destinations.x.aet: is missing (Its AE title)",
        f"{variable}: destinations.x.host: is missing (Name or address)",
        f"{variable}: destinations.x.ca: /nowhere/ca.pem cannot be read: No such file or directory",
    ]


def test_a_table_without_a_header_is_where_it_begins(write: Write) -> None:
    assert complaints(write(f"[proxi.a.b]\nx = 1\n{BACKEND}")) == [
        "config.toml:1: proxi: unknown table (did you mean proxy?)"
    ]


def test_an_empty_variable_is_no_path_and_takes_none_where_there_may_be_none(write: Write) -> None:
    path = write(f'{BACKEND}password_file = "/nowhere/secret"\n')
    assert load(path, {"ORTHANC_PROXY__BACKENDS__ORTHANC__PASSWORD_FILE": ""}).backends["orthanc"].secret() == ""
    assert complaints(write(BACKEND), {"ORTHANC_PROXY__STORAGE__PATH": ""}) == [
        "ORTHANC_PROXY__STORAGE__PATH: storage.path: must be a path, not ''"
    ]


def test_a_secret_is_not_quoted_in_a_complaint(write: Write) -> None:
    path = write(
        f'{BACKEND}password = ["geheim"]\n[admin]\ntokens = {{ ci = ["geheim"] }}\n',
        a='[[pipelines.a.rules]]\npasscode = ["geheim"]\npascode = "geheim"\n',
    )
    environ = {
        "ORTHANC_PROXY__BACKENDS__ORTHANC__PASSWORT": "geheim",
        "ORTHANC_PROXY__ADMIN__TOKENS": '{"ci": "geheim"',
        "ORTHANC_PROXY__BACKENDS__ORTHANC__URL": "ftp://anna:geheim@orthanc",
    }
    told = complaints(path, environ)
    assert len(told) == 7
    assert "geheim" not in "".join(told)


def test_a_scalar_where_a_table_belongs_is_told(write: Write) -> None:
    assert complaints(write(f"listener = 3\ncache = [1]\n{BACKEND}")) == [
        "config.toml:1: listener: must be a table, not 3",
        "config.toml:2: cache: must be a table",
    ]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ('max_bytes = "10 Gigs"', "cache.max_bytes: must be a size, as 1048576 or \"10 GiB\", not '10 Gigs'"),
        ('enabled = "perhaps"', "cache.enabled: must be true or false, not 'perhaps'"),
    ],
)
def test_types_are_told_in_words(write: Write, key: str, words: str) -> None:
    assert complaints(write(f"[cache]\n{key}\n{BACKEND}")) == [f"config.toml:2: {words}"]
