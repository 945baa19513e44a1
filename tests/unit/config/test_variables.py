"""Environment variables, secret files and --set: which setting they mean, and which mistakes are told."""

from pathlib import Path
from typing import Any

import pytest

from proxy.config.variables import (
    Given,
    Misplaced,
    from_environment,
    from_overrides,
    from_secrets,
    misspelt,
    place,
    set_value,
    suggestion,
    value,
)


def variable(name: str) -> Given:
    return next(from_environment({name: ""}))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("ORTHANC_PROXY__LISTENER__BIND_PORT", ("listener", "bind_port")),
        ("ORTHANC_PROXY__LISTENER__TLS__BIND_PORT", ("listener", "tls", "bind_port")),
        ("orthanc_proxy__listener__bind_port", ("listener", "bind_port")),
        ("ORTHANC_PROXY__BACKENDS__ORTHANC__URL", ("backends", "orthanc", "url")),
        ("ORTHANC_PROXY__DESTINATIONS__DEST_AET__PORT", ("destinations", "DEST_AET", "port")),
        ("ORTHANC_PROXY__DESTINATIONS__DR_X__PORT", ("destinations", "Dr-X", "port")),
        ("ORTHANC_PROXY__DESTINATIONS__NEW_ONE__PORT", ("destinations", "new_one", "port")),
        ("ORTHANC_PROXY__DESTINATIONS", ("destinations",)),
    ],
)
def test_a_variable_finds_its_setting_whatever_the_case_of_names(name: str, path: tuple[str, ...]) -> None:
    data = {"destinations": {"DEST_AET": {}, "Dr-X": {}}}
    assert place(variable(name), data) == path


def test_set_keeps_the_case_of_a_new_name() -> None:
    (given,) = from_overrides({"destinations.New.port": "1"})
    assert place(given, {}) == ("destinations", "New", "port")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ORTHANC_PROXY__LISTENR__BIND_PORT", "unknown variable (did you mean ORTHANC_PROXY__LISTENER__BIND_PORT?)"),
        ("ORTHANC_PROXY__CACHE__MAX_BYTE", "unknown variable (did you mean ORTHANC_PROXY__CACHE__MAX_BYTES?)"),
        (
            "ORTHANC_PROXY__BACKENDS__PACS__PASWORD",
            "unknown variable (did you mean ORTHANC_PROXY__BACKENDS__PACS__PASSWORD?)",
        ),
        (
            "ORTHANC_PROXY__CACHE__ZZZ",
            "unknown variable: nothing is called 'ZZZ' there (known here: enabled, max_bytes, min_free_bytes, verify)",
        ),
        ("ORTHANC_PROXY__CACHE__VERIFY__MORE", "unknown variable: nothing is called 'MORE' there"),
        ("ORTHANC_PROXY__BACKENDS____URL", "unknown variable: nothing is called '' there"),
    ],
)
def test_an_unknown_variable_names_the_nearest_known_one(name: str, words: str) -> None:
    with pytest.raises(Misplaced) as caught:
        place(variable(name), {})
    assert str(caught.value) == words


def test_only_our_prefix_is_read() -> None:
    assert list(from_environment({"PATH": "/", "ORTHANC__NAME": "x", "ORTHANC_PROXY_CONFIG": "x"})) == []


def test_a_whole_table_is_taken_before_its_keys() -> None:
    names = [given.name for given in from_environment({"ORTHANC_PROXY__A__B": "", "ORTHANC_PROXY__A": ""})]
    assert names == ["ORTHANC_PROXY__A", "ORTHANC_PROXY__A__B"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("ORTHANC_PROXY_LISTENER__BIND_PORT", "ORTHANC_PROXY__LISTENER__BIND_PORT"),
        ("ORTHANC_PROXY_CONFG", "ORTHANC_PROXY_CONFIG"),
    ],
)
def test_a_variable_that_nearly_has_our_prefix_is_told(name: str, near: str) -> None:
    (told,) = misspelt({name: "x"})
    assert told.startswith(f"{name}: ")
    assert near in told


@pytest.mark.parametrize(
    "name", ["ORTHANC_PROXY_PORT_11112_TCP", "ORTHANC_PROXY_SERVICE_HOST", "ORTHANC_PROXY_CONFIG", "ORTHANC_PROXY__X"]
)
def test_what_kubernetes_and_docker_set_for_a_service_of_our_name_is_not_told(name: str) -> None:
    assert list(misspelt({name: "x"})) == []


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (("listener", "bind_port"), "104", "104"),
        (("pipelines", "a", "services"), '["echo"]', ["echo"]),
        (("pipelines", "a", "rules"), '[{"name": "x"}]', [{"name": "x"}]),
        (("pipelines", "a", "rules", 0, "services"), '["echo"]', ["echo"]),
        (("destinations",), '{"A": {}}', {"A": {}}),
        (("listener",), '{"bind_port": 1}', {"bind_port": 1}),
        (("backends", "a", "verify"), "False", False),
        (("backends", "a", "verify"), "/ca.pem", "/ca.pem"),
        (("backends", "a", "password"), '["x"]', '["x"]'),
        (("proxy", "workers"), "null", None),
        (("proxy", "id"), "null", "null"),
    ],
)
def test_lists_and_tables_are_json_and_all_else_is_text(path: tuple[Any, ...], text: str, expected: object) -> None:
    assert value(path, text) == expected


@pytest.mark.parametrize("path", [("pipelines", "a", "services"), ("destinations",), ("listener",)])
def test_what_must_be_json_and_is_not_is_told(path: tuple[str, ...]) -> None:
    with pytest.raises(Misplaced, match="must be JSON"):
        value(path, "echo, find")


def test_a_table_is_merged_and_a_list_replaced() -> None:
    data: dict[str, Any] = {"a": {"x": 1, "y": {"z": 1}}, "l": [1]}
    set_value(data, ("a",), {"x": 2, "y": {"w": 2}})
    set_value(data, ("l",), [2])
    set_value(data, ("b", "c"), 3)
    assert data == {"a": {"x": 2, "y": {"z": 1, "w": 2}}, "l": [2], "b": {"c": 3}}


def test_secret_files_are_named_like_variables_and_lose_their_line_end(tmp_path: Path) -> None:
    (tmp_path / "ORTHANC_PROXY__BACKENDS__A__PASSWORD").write_text("a b\n")
    (tmp_path / "other").write_text("x")
    (given,) = from_secrets(tmp_path)
    assert (given.parts, given.text) == (("BACKENDS", "A", "PASSWORD"), "a b")
    assert list(from_secrets(tmp_path / "none")) == []


def test_suggestions_ignore_case_and_list_what_there_is_when_nothing_is_near() -> None:
    assert suggestion("Bind_Prt", ["bind_port", "max_pdu"]) == " (did you mean bind_port?)"
    assert suggestion("zzz", ["bind_port", "max_pdu"]) == " (known here: bind_port, max_pdu)"
    assert suggestion("zzz", []) == ""
