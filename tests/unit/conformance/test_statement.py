"""All facts together: they follow the settings."""

from typing import Any

import orjson

from proxy.config import Settings
from proxy.conformance.statement import APPLICATION_CONTEXT, Statement, as_json, statement_of
from proxy.dicom.contexts import EXPLICIT_LITTLE, TRANSFER_SYNTAXES
from proxy.wire import items


def statement(pipeline: dict[str, Any] | None = None, **tables: Any) -> Statement:
    backends = {"orthanc": {"url": "http://orthanc.example"}}
    pipelines = {"one": {"aet": "ONE", **(pipeline or {})}}
    return statement_of(Settings.model_validate({"backends": backends, "pipelines": pipelines, **tables}))


def test_the_application_context_is_that_of_the_wire() -> None:
    assert APPLICATION_CONTEXT == items.APPLICATION_CONTEXT


def test_each_pipeline_is_an_application_entity() -> None:
    two = statement(pipelines={"a": {"aet": "A", "services": ["echo"]}, "b": {"aet": "B", "services": ["find"]}})
    assert [(entity.name, entity.aet) for entity in two.entities] == [("a", "A"), ("b", "B")]
    assert [entity.offers("find") for entity in two.entities] == [False, True]
    assert [entity.sends for entity in two.entities] == [False, False]


def test_an_entity_sends_that_gives_moves_or_forwards() -> None:
    destinations = {"WS": {"aet": "WS", "host": "ws"}}
    assert statement({"services": ["get"]}).entities[0].sends
    assert statement({"services": ["move"]}).entities[0].sends
    assert not statement({"services": ["store"]}).entities[0].sends
    assert statement({"services": ["store"], "forward": "dimse"}).entities[0].sends
    assert statement({"services": ["store"], "forward_to": ["WS"]}, destinations=destinations).entities[0].sends
    routes = [{"modality": ["MG"], "forward_to": ["WS"]}]
    assert statement({"services": ["store"], "routes": routes}, destinations=destinations).entities[0].sends


def test_user_identity_is_checked_where_a_rule_asks_for_it() -> None:
    rules = [{"calling_aet": ["WS*"], "username": "anna"}]
    assert statement({"access": "list", "rules": rules}).entities[0].checks_user_identity
    assert not statement({"rules": rules}).entities[0].checks_user_identity, "rules count with access = list only"


def test_transfer_syntaxes_are_orthancs_where_it_was_asked() -> None:
    settings = Settings.model_validate({"backends": {"orthanc": {"url": "http://orthanc.example"}}})

    def storage(made: Statement) -> set[str]:
        (group,) = (one for one in made.entities[0].accepts if one.service == "storage")
        return {one.uid for one in group.transfer_syntaxes}

    assert storage(statement_of(settings)) == TRANSFER_SYNTAXES
    asked = statement_of(settings, syntaxes={"orthanc": (EXPLICIT_LITTLE,)})
    assert storage(asked) == {EXPLICIT_LITTLE}
    assert asked.syntaxes_asked


def test_limits_and_ports_are_those_in_force() -> None:
    made = statement(listener={"bind_port": 104, "max_pdu": 0}, limits={"associations": 7})
    assert (made.association.bind_port, made.association.max_pdu) == (104, 0)
    assert made.association.limits["associations"] == 7
    assert made.association.limits["idle_timeout"] == 60


def test_tls_has_a_port_of_its_own_or_takes_the_one_there_is() -> None:
    tls = {"certificate": "server.pem", "pins": {"WS": ["ws.example"]}}
    assert statement().security.tls_port is None
    assert statement(listener={"bind_port": 104, "tls": tls}).security.tls_port == 104
    beside = statement(listener={"bind_port": 104, "tls": {**tls, "bind_port": 2762}}).security
    assert (beside.tls_port, beside.pinned) == (2762, 1)


def test_json_holds_all_of_it_and_no_secret() -> None:
    backends = {"orthanc": {"url": "http://orthanc.example", "username": "u", "password": "geheim"}}
    rules = [{"username": "anna", "passcode": "geheim"}]
    made = statement({"access": "list", "rules": rules}, backends=backends, admin={"tokens": {"t": "geheim"}})
    text = as_json(made)
    assert b"geheim" not in text
    (entity,) = orjson.loads(text)["entities"]
    assert entity["aet"] == "ONE"
    assert [operation["command"] for operation in entity["operations"]][:2] == ["C-ECHO", "C-FIND"]
    assert {"status": 0, "meaning": "Success", "cause": "all matches have been told"} in entity["operations"][1][
        "answers"
    ]
