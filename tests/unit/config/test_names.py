"""Tables that speak of each other."""

import pytest
from pydantic import ValidationError

from proxy.config import Backend, Destination, Pipeline, RouteRule, Settings
from proxy.config.names import dotted, unresolved

BACKEND = Backend(url="http://x")


def test_what_resolves_is_not_told() -> None:
    route = RouteRule(forward_to=["dest"])
    pipelines = {
        "a": Pipeline(aet="A", forward_to=["b1", "dest"], routes=[route], backend="b1"),
        "b": Pipeline(aet="B", backend="b1"),
    }
    assert list(unresolved(pipelines, ["b1"], ["dest"])) == []


def test_all_that_does_not_resolve_is_told_with_its_place() -> None:
    pipelines = {"a": Pipeline(aet="A", routes=[RouteRule(forward_to=["x"])]), "b": Pipeline(aet="A", forward_to=["y"])}
    assert [dotted(path) for path, _ in unresolved(pipelines, [], [])] == [
        "pipelines.a.backend",
        "pipelines.a.routes[0].forward_to",
        "pipelines.b.backend",
        "pipelines.b.forward_to",
        "pipelines.b.aet",
    ]


def test_a_name_that_could_mean_a_backend_or_a_destination_is_told() -> None:
    ((path, words),) = unresolved({"a": Pipeline(aet="A", backend="pacs")}, ["pacs"], ["dest", "pacs"])
    assert dotted(path) == "destinations.pacs"
    assert "backend" in words


def test_settings_refuse_names_that_do_not_resolve() -> None:
    destination = Destination(aet="X", host="x")
    with pytest.raises(ValidationError, match=r"pipelines\.a\.backend: no \[backends\.pacs\]; there is: orthanc"):
        Settings(
            pipelines={"a": Pipeline(aet="A", backend="pacs")},
            backends={"orthanc": BACKEND},
            destinations={"x": destination},
        )
