"""Who is let in, who serves them, and what is told about it."""

from dataclasses import replace

import pytest

from proxy.config import AccessRule, LimitsSettings, Listener, Pipeline, TlsSettings
from proxy.dicom.contexts import EXPLICIT_LITTLE, STORAGE_CLASSES, TRANSFER_SYNTAXES
from proxy.dicom.messages import Admission, Offer, OfferedContext, Peer, Refusal, UserIdentity
from proxy.dicom.negotiation import VERIFICATION, Supported
from proxy.events import AssociationEnded, AssociationOpened, AssociationRefused
from proxy.journal import Journal
from proxy.scp.application import DicomApplication, ServedPipeline
from proxy.scp.association import Services
from proxy.scp.occupancy import Occupancy

CT = "1.2.840.10008.5.1.4.1.1.2"


def offer(called="PROXY", calling="WS1", **more) -> Offer:
    contexts = (OfferedContext(1, VERIFICATION, (EXPLICIT_LITTLE,)), OfferedContext(3, CT, (EXPLICIT_LITTLE,)))
    return Offer(calling, called, Peer("10.0.0.1", 4711), more.pop("contexts", contexts), **more)


def served(name="main", aet="PROXY", **settings) -> ServedPipeline:
    pipeline = Pipeline(aet=aet, **settings)
    supported = Supported(pipeline.services, STORAGE_CLASSES, TRANSFER_SYNTAXES)
    return ServedPipeline(name, pipeline, Services({}), lambda: supported, tuple)


@pytest.fixture
def events() -> list:
    return []


@pytest.fixture
def build(tmp_path, events):
    occupancies = []

    def build(*pipelines, listener=None, **limits) -> DicomApplication:
        occupancies.append(Occupancy(tmp_path / f"slots{len(occupancies)}"))
        return DicomApplication(
            pipelines or (served(),),
            listener or Listener(),
            LimitsSettings(**limits),
            occupancies[-1],
            Journal(events.append),
        )

    yield build
    for occupancy in occupancies:
        occupancy.close()


def test_an_offer_that_fits_is_admitted_and_told(build, events):
    admission = build(listener=Listener(max_pdu=65536)).admit(offer(implementation_version="OFFIS"))
    assert isinstance(admission, Admission)
    assert [answer.result for answer in admission.contexts] == [0, 3]
    assert admission.max_pdu == 65536
    assert admission.user_identity_response is None
    requestor = admission.association.requestor
    assert (requestor.calling_aet, requestor.label) == ("WS1", "WS1->PROXY(1)")
    (opened,) = events
    assert isinstance(opened, AssociationOpened)
    assert (opened.pipeline, opened.address, opened.implementation_version) == ("main", "10.0.0.1", "OFFIS")
    assert opened.association_id == requestor.association_id


def test_every_association_has_an_id_and_a_label_of_its_own(build):
    application = build()
    requestors = [application.admit(offer()).association.requestor for _ in range(3)]
    assert len({requestor.association_id for requestor in requestors}) == 3
    assert len({requestor.label for requestor in requestors}) == 3


def test_a_wrong_called_title_is_rejected_with_the_way_to_allow_it(build, events):
    refusal = build().admit(offer(called="PACS"))
    assert (refusal.result, refusal.source, refusal.reason) == (1, 1, 7)
    (refused,) = events
    assert isinstance(refused, AssociationRefused)
    assert "check_called_aet = false" in refused.why


@pytest.mark.parametrize(
    ("called", "pipeline"), [("one", "first"), ("One", "second"), ("ONE ", "first"), ("X", "first")]
)
def test_the_pipeline_is_the_one_with_that_title_or_else_the_first(build, events, called, pipeline):
    pipelines = served("first", "one"), served("second", "One")
    build(*pipelines, listener=Listener(check_called_aet=False)).admit(offer(called=called))
    assert events[-1].pipeline == pipeline


def test_while_draining_nobody_is_let_in(build):
    application = build()
    application.drain()
    refusal = application.admit(offer())
    assert (refusal.result, refusal.source, refusal.reason) == (2, 3, 1)


def test_a_bound_that_is_hit_is_named_and_freed_by_the_end_of_an_association(build, events):
    application = build(associations=1)
    admission = application.admit(offer())
    refusal = application.admit(offer())
    assert (refusal.result, refusal.source, refusal.reason) == (2, 3, 2)
    assert "[limits] associations = 1" in refusal.why
    admission.association.ended("released", "")
    admission.association.ended("aborted", "told twice")
    assert isinstance(application.admit(offer()), Admission)
    assert [type(event) for event in events].count(AssociationEnded) == 1


@pytest.mark.parametrize(
    ("limits", "of_offer", "reason"),
    [
        ({"smallest_peer_pdu": 1018}, {"max_pdu": 1017}, (1, 1, 1)),
        ({"contexts": 1}, {}, (2, 3, 2)),
    ],
)
def test_an_offer_out_of_bounds_is_rejected(build, limits, of_offer, reason):
    refusal = build(**limits).admit(offer(**of_offer))
    assert (refusal.result, refusal.source, refusal.reason) == reason


def test_an_unlimited_peer_is_let_in(build):
    assert isinstance(build().admit(offer(max_pdu=0)), Admission)


def test_who_is_granted_nothing_is_rejected_and_takes_no_slot(build):
    application = build(served(access="list", rules=[AccessRule(calling_aet=["CT1"])]), associations=1)
    assert application.admit(offer()).reason == 3
    assert isinstance(application.admit(offer(calling="CT1")), Admission)


def test_a_pinned_title_without_its_certificate_is_rejected(build):
    application = build(listener=Listener(tls=TlsSettings(pins={"WS1": ["ws1.hospital"]})))
    assert application.admit(offer()).reason == 1
    with_certificate = replace(offer(), peer=Peer("10.0.0.1", 1, True, "ws1.hospital"))
    assert isinstance(application.admit(with_certificate), Admission)


def test_a_checked_identity_is_confirmed_where_that_is_asked_for(build):
    application = build(served(access="list", rules=[AccessRule(username="joe")]))
    asked = application.admit(offer(user_identity=UserIdentity(1, b"joe", response_requested=True)))
    assert asked.user_identity_response == b""
    assert application.admit(offer(user_identity=UserIdentity(1, b"joe"))).user_identity_response is None


def test_a_failure_while_deciding_turns_the_requestor_away_for_now_and_gives_the_slot_back(build, events, caplog):
    def fail():
        raise RuntimeError("boom")

    application = build(replace(served(), supported=fail), associations=1)
    for _ in range(2):
        refusal = application.admit(offer())
        assert (refusal.result, refusal.source, refusal.reason) == (2, 3, 1)
    assert "boom" in caplog.text


def test_a_reload_is_for_new_associations_only(build, events):
    application = build()
    before = application.admit(offer())
    application.replace((served("new", "OTHER"),), Listener(), LimitsSettings())
    assert isinstance(application.admit(offer()), Refusal)
    assert isinstance(application.admit(offer(called="OTHER")), Admission)
    before.association.ended("released", "")
    assert (events[-1].pipeline, events[-1].how) == ("main", "released")


def test_a_connection_turned_away_is_told(build, events):
    build().turned_away(Peer("10.9.9.9", 1), "silent for 10 s")
    assert (events[0].result, events[0].address, events[0].why) == (0, "10.9.9.9", "silent for 10 s")
