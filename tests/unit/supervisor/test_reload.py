"""Reading the configuration again: what is taken over, what is said to need a restart, and what is refused."""

from typing import Any

import pytest

from proxy.config import Settings
from proxy.errors import ConfigError
from proxy.supervisor.reload import merged

RUNNING: dict[str, Any] = {
    "backends": {"orthanc": {"url": "http://orthanc"}},
    "pipelines": {"main": {"aet": "MAIN"}},
    "destinations": {"ws": {"aet": "WS", "host": "ws"}},
}


def settings(**changes: Any) -> Settings:
    return Settings.model_validate({**RUNNING, **changes})


def test_the_same_again_changes_nothing_and_needs_no_words() -> None:
    assert merged(settings(), settings()) == (settings(), ())


@pytest.mark.parametrize(
    "change",
    [
        {"pipelines": {"main": {"aet": "MAIN", "access": "list"}, "other": {"aet": "OTHER"}}},
        {"destinations": {}},
        {"limits": {"associations": 3}},
        {"proxy": {"log_level": "debug"}},
        {"admin": {"tokens": {"ci": "secret"}, "hosts": ["proxy.example"], "read_from_anywhere": True}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_can_change_while_associations_are_open_is_taken_over(change: dict[str, Any]) -> None:
    assert merged(settings(), settings(**change)) == (settings(**change), ())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"listener": {"bind_port": 104}}, ["listener.bind_port"]),
        ({"proxy": {"workers": 7, "log_level": "debug"}}, ["proxy.workers"]),
        ({"storage": {"path": "/elsewhere"}, "cache": {"verify": False}}, ["storage.path", "cache.verify"]),
        ({"backends": {"orthanc": {"url": "http://other"}}}, ["backends.orthanc"]),
        ({"backends": {**RUNNING["backends"], "new": {"url": "http://new"}}}, ["backends.new"]),
        ({"admin": {"bind_port": 1, "tokens": {"ci": "secret"}}}, ["admin.bind_port"]),
    ],
)
def test_what_needs_a_restart_stays_as_it_is_and_is_told(change: dict[str, Any], words: list[str]) -> None:
    taken, told = merged(settings(), settings(**change))
    assert told == tuple(f"{key} has changed but needs a restart" for key in words)
    assert (taken.listener, taken.backends, taken.storage) == (
        settings().listener, settings().backends, settings().storage,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("pipeline", "key"),
    [
        ({"backend": "new"}, "backend"),
        ({"forward_to": ["orthanc", "new"]}, "forward_to"),
        ({"routes": [{"forward_to": ["new"]}]}, "routes[0].forward_to"),
    ],
)
def test_a_pipeline_that_needs_a_new_backend_is_refused_instead_of_served_without(
    pipeline: dict[str, Any], key: str
) -> None:
    wanted = settings(
        backends={**RUNNING["backends"], "new": {"url": "http://new"}},
        pipelines={"main": {"aet": "MAIN", **pipeline}},
    )
    with pytest.raises(ConfigError) as caught:
        merged(settings(), wanted)
    (complaint,) = caught.value.complaints
    assert complaint.startswith(f"pipelines.main.{key}: ")
    assert "needs a restart" in complaint
