"""Who may do what, and which rule says so."""

from dataclasses import dataclass, field

import pytest

from proxy.access import Grant, decide, open_to_the_network, pinned_elsewhere, same_aet, unknown_called_aet
from proxy.config import AccessRule, AlwaysAllow, Pipeline, Settings
from proxy.dicom.messages import Offer, Peer, Refusal, UserIdentity
from proxy.errors import AccessDenied

SERVICES = ["echo", "find", "get", "move", "store", "commitment"]


@dataclass(frozen=True)
class Entry:
    aet: str
    host: str
    services: frozenset[str] = field(default_factory=lambda: frozenset(SERVICES))


def offer(aet="WS1", address="10.0.0.5", identity=None) -> Offer:
    return Offer(aet, "PROXY", Peer(address, 4711), (), user_identity=identity)


def listed(*rules: AccessRule, **more) -> Pipeline:
    return Pipeline(aet="PROXY", services=SERVICES, access="list", rules=list(rules), **more)


def by_orthanc(entries, who=None, **always) -> Grant | Refusal:
    pipeline = Pipeline(aet="PROXY", services=SERVICES, access="orthanc", always_allow=AlwaysAllow(**always))
    return decide("p", pipeline, who or offer(), entries)


def test_open_grants_all_services_of_the_pipeline_to_everybody():
    grant = decide("p", Pipeline(aet="PROXY", services=["echo", "find"]), offer(), ())
    assert grant.services == {"echo", "find"}
    with pytest.raises(AccessDenied, match="store is not granted by pipeline p"):
        grant.check_service("store")


@pytest.mark.parametrize(
    ("rule", "who", "fits"),
    [
        ({"calling_aet": ["WS1"]}, offer("ws1 "), True),
        ({"calling_aet": ["WS?"]}, offer("WS12"), False),
        ({"calling_aet": ["CT*", "WS*"]}, offer("ws12"), True),
        ({"calling_aet": ["[WS]1"]}, offer("W1"), False),
        ({"address": ["10.0.0.0/24"]}, offer(), True),
        ({"address": ["10.0.0.5"]}, offer(address="::ffff:10.0.0.5"), True),
        ({"address": ["10.0.1.0/24", "fe80::/10"]}, offer(address="fe80::1%eth0"), True),
        ({"address": ["10.0.1.0/24"]}, offer(), False),
        ({"address": ["10.0.0.0/24"]}, offer(address="not an address"), False),
        ({"calling_aet": ["WS1"], "address": ["10.9.0.0/16"]}, offer(), False),
        ({"username": "joe"}, offer(), False),
        ({"username": "joe"}, offer(identity=UserIdentity(1, b"joe")), True),
        ({"username": "joe", "passcode": "x"}, offer(identity=UserIdentity(1, b"joe")), False),
        ({"username": "joe", "passcode": "x"}, offer(identity=UserIdentity(2, b"joe", b"y")), False),
        ({"username": "joe", "passcode": "x"}, offer(identity=UserIdentity(2, b"joe", b"x")), True),
        ({"username": "joe"}, offer(identity=UserIdentity(3, b"joe")), False),
    ],
)
def test_a_rule_matches_when_all_that_it_names_match(rule, who, fits):
    assert isinstance(decide("p", listed(AccessRule(**rule)), who, ()), Grant if fits else Refusal)


def test_the_first_rule_that_matches_decides_and_is_named():
    rules = [AccessRule(name="viewers", calling_aet=["WS*"], services=["find"]), AccessRule()]
    grant = decide("p", listed(*rules), offer(), ())
    assert (grant.rule, grant.services) == ("rule viewers", {"find"})
    assert decide("p", listed(*rules), offer("CT1"), ()).rule == "rule 2"


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ([], 3),
        ([AccessRule(calling_aet=["CT"])], 3),
        ([AccessRule(calling_aet=["WS1"], address=["192.168.0.0/16"])], 1),
        ([AccessRule(calling_aet=["WS1"], username="joe")], 1),
        ([AccessRule(calling_aet=["WS1"], services=[])], 1),
    ],
)
def test_who_is_granted_nothing_is_refused_with_the_fitting_reason(rules, reason):
    refusal = decide("p", listed(*rules), offer(), ())
    assert (refusal.result, refusal.source, refusal.reason) == (1, 1, reason)
    assert "WS1" in refusal.why
    assert "pipeline" in refusal.why


def test_a_rule_never_grants_more_than_the_pipeline_has():
    pipeline = Pipeline(aet="PROXY", services=["echo"], access="list", rules=[AccessRule(services=["echo", "store"])])
    assert decide("p", pipeline, offer(), ()).services == {"echo"}


def test_destinations_can_be_limited():
    grant = decide("p", listed(AccessRule(name="r", destinations=["WS*"])), offer(), ())
    grant.check_destination("ws7")
    with pytest.raises(AccessDenied, match="not allowed by rule r"):
        grant.check_destination("ELSEWHERE")


def test_a_checked_identity_is_known_as_checked():
    grant = decide("p", listed(AccessRule(username="joe")), offer(identity=UserIdentity(1, b"joe")), ())
    assert grant.identity_checked
    assert not decide("p", listed(AccessRule()), offer(identity=UserIdentity(1, b"joe")), ()).identity_checked


def test_as_in_orthanc_an_unlisted_title_may_echo_and_store_and_no_more():
    assert by_orthanc([]).services == {"echo", "store"}


def test_as_in_orthanc_a_listed_title_may_what_its_entry_allows():
    assert by_orthanc([Entry("ws1", "elsewhere", frozenset({"find"}))]).services == {"echo", "store", "find"}


@pytest.mark.parametrize(("host", "found"), [("10.0.0.5", True), ("ws1.hospital", False)])
def test_as_in_orthanc_the_host_counts_where_it_is_checked(host, found):
    grant = by_orthanc([Entry("WS1", host, frozenset({"find"}))], check_modality_host=True)
    assert ("find" in grant.services) is found


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ([Entry("WS1", "10.0.0.5", frozenset({"find"})), Entry("WS1", "10.0.0.6", frozenset())], True),
        ([Entry("WS1", "10.0.0.7", frozenset({"find"})), Entry("WS1", "10.0.0.6", frozenset())], False),
        ([Entry("WS1", "10.0.0.7", frozenset({"find"})), Entry("WS1", "10.0.0.6", frozenset({"find"}))], True),
    ],
)
def test_as_in_orthanc_one_of_several_entries_counts_if_it_is_of_that_host_else_all_must_allow(entries, found):
    assert ("find" in by_orthanc(entries).services) is found


def test_as_in_orthanc_who_may_nothing_at_all_is_not_recognized():
    refusal = by_orthanc([], echo=False, store=False)
    assert (refusal.result, refusal.source, refusal.reason) == (1, 1, 3)
    assert "always_allow" in refusal.why


def test_an_unknown_called_title_is_refused_with_the_way_to_allow_it():
    refusal = unknown_called_aet("PACS")
    assert (refusal.result, refusal.source, refusal.reason) == (1, 1, 7)
    assert 'aet = "PACS"' in refusal.why
    assert "check_called_aet" in refusal.why


@pytest.mark.parametrize(
    ("peer", "kept_out"),
    [
        (Peer("1.2.3.4", 1), True),
        (Peer("1.2.3.4", 1, True, "ws1.hospital"), False),
        (Peer("1.2.3.4", 1, True, "other", "ab" * 32), False),
        (Peer("1.2.3.4", 1, True, "other", "cd" * 32), True),
    ],
)
def test_a_pinned_title_needs_its_certificate(peer, kept_out):
    pins = {"ws1": ["ws1.hospital", ":".join(["AB"] * 32)]}
    refusal = pinned_elsewhere(pins, "WS1", peer)
    assert (refusal is not None) is kept_out
    assert pinned_elsewhere(pins, "CT1", peer) is None


def test_a_title_pinned_to_no_certificate_is_nobodys():
    assert pinned_elsewhere({"WS1": []}, "WS1", Peer("10.0.0.5", 4711)) is not None
    assert pinned_elsewhere({"WS1": []}, "CT1", Peer("10.0.0.5", 4711)) is None


def test_titles_are_the_same_whatever_case_and_padding():
    assert same_aet(" Ws1", "WS1 ")
    assert not same_aet("WS1", "WS2")


@pytest.mark.parametrize(
    ("listener", "access", "warned"),
    [
        ({"bind_address": "0.0.0.0"}, "open", True),
        ({"bind_address": "::"}, "open", True),
        ({"bind_address": "127.0.0.1"}, "open", False),
        ({"bind_address": "::1"}, "open", False),
        ({"bind_address": "localhost"}, "open", False),
        ({"bind_address": "pacs.example"}, "open", True),
        ({"bind_address": "0.0.0.0"}, "orthanc", False),
        ({"bind_address": "0.0.0.0", "tls": {"certificate": "c.pem", "ca": "ca.pem"}}, "open", False),
        ({"bind_address": "0.0.0.0", "tls": {"certificate": "c.pem", "client_certificate": "none"}}, "open", True),
        ({"bind_address": "0.0.0.0", "tls": {"certificate": "c.pem", "ca": "c.pem", "bind_port": 2762}}, "open", True),
    ],
)
def test_who_lets_everybody_on_the_network_in_is_warned(listener, access, warned):
    settings = Settings.model_validate(
        {
            "listener": listener,
            "pipelines": {"p": {"access": access}},
            "backends": {"orthanc": {"url": "http://127.0.0.1:8042"}},
        }
    )
    warnings = open_to_the_network(settings)
    assert bool(warnings) is warned
    assert all("pipeline p" in warning for warning in warnings)
