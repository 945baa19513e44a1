"""Which presentation contexts are accepted, in which transfer syntax and roles."""

import pytest

from proxy.dicom.contexts import (
    DEFLATED_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    STORAGE_CLASSES,
    TRANSFER_SYNTAXES,
)
from proxy.dicom.messages import Offer, OfferedContext, Peer
from proxy.dicom.negotiation import (
    SERVICE_OF,
    STORAGE_COMMITMENT_PUSH,
    VERIFICATION,
    Supported,
    extended,
    negotiate,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
WORKLIST = "1.2.840.10008.5.1.4.31"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
ALL = ("echo", "find", "get", "move", "store", "commitment")


def supported(services=ALL, classes=STORAGE_CLASSES, syntaxes=TRANSFER_SYNTAXES, **more) -> Supported:
    return Supported(services, classes, syntaxes, **more)


def answer(abstract, syntaxes=(EXPLICIT_LITTLE,), roles=None, what=None):
    offer = Offer(
        "WS1",
        "PROXY",
        Peer("10.0.0.1", 1),
        (OfferedContext(7, abstract, tuple(syntaxes)),),
        roles={} if roles is None else {abstract: roles},
    )
    (only,) = negotiate(offer, what or supported())
    assert (only.context_id, only.abstract_syntax) == (7, abstract)
    return only


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((EXPLICIT_LITTLE, IMPLICIT_LITTLE), EXPLICIT_LITTLE),
        ((IMPLICIT_LITTLE, EXPLICIT_LITTLE), EXPLICIT_LITTLE),
        ((IMPLICIT_LITTLE, EXPLICIT_BIG), IMPLICIT_LITTLE),
        ((EXPLICIT_BIG, IMPLICIT_LITTLE, EXPLICIT_LITTLE), EXPLICIT_BIG),
        ((DEFLATED_LITTLE, IMPLICIT_LITTLE), IMPLICIT_LITTLE),
        ((JPEG_LOSSLESS, EXPLICIT_LITTLE), EXPLICIT_LITTLE),
    ],
)
def test_a_query_is_taken_in_the_first_uncompressed_syntax_and_explicit_before_implicit(offered, chosen):
    only = answer(STUDY_FIND, offered)
    assert (only.result, only.transfer_syntax) == (0, chosen)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((JPEG_LOSSLESS, EXPLICIT_LITTLE), JPEG_LOSSLESS),
        ((EXPLICIT_LITTLE, JPEG_LOSSLESS), EXPLICIT_LITTLE),
        ((DEFLATED_LITTLE,), DEFLATED_LITTLE),
    ],
)
def test_an_instance_is_taken_in_the_requestors_first_syntax_that_orthanc_takes(offered, chosen):
    assert answer(CT, offered).transfer_syntax == chosen


def test_a_syntax_orthanc_does_not_take_is_passed_over():
    what = supported(syntaxes={EXPLICIT_LITTLE})
    assert answer(CT, (JPEG_LOSSLESS, EXPLICIT_LITTLE), what=what).transfer_syntax == EXPLICIT_LITTLE
    refused = answer(CT, (JPEG_LOSSLESS,), what=what)
    assert (refused.result, refused.as_scp, refused.as_scu) == (4, False, False)


@pytest.mark.parametrize("abstract", [WORKLIST, "1.2.3.4", "1.2.840.10008.5.1.4.1.2.3.1"])
def test_an_unsupported_abstract_syntax_is_result_3(abstract):
    assert answer(abstract).result == 3


@pytest.mark.parametrize("abstract", list(SERVICE_OF))
def test_a_service_the_pipeline_does_not_have_is_result_3(abstract):
    service = SERVICE_OF[abstract]
    assert answer(abstract, what=supported(services=set(ALL) - {service})).result == 3
    only = answer(abstract, what=supported(services={service}))
    assert (only.result, only.as_scp, only.as_scu) == (0, True, False)


@pytest.mark.parametrize(
    ("roles", "services", "scu_scp"),
    [
        (None, {"get"}, None),
        (None, {"store"}, (False, True)),
        (None, {"get", "store"}, (False, True)),
        ((False, True), {"get"}, (True, False)),
        ((False, True), {"store"}, None),
        ((True, True), {"get"}, (True, False)),
        ((True, True), {"get", "store"}, (True, True)),
        ((True, False), {"get", "store"}, (False, True)),
        ((False, False), {"get", "store"}, None),
    ],
)
def test_storage_roles_mirror_the_proposed_ones_as_far_as_services_allow(roles, services, scu_scp):
    only = answer(CT, roles=roles, what=supported(services=services))
    assert only.result == (3 if scu_scp is None else 0)
    assert (only.as_scu, only.as_scp) == (scu_scp or (False, False))


def test_commitment_is_served_as_scp_only():
    assert answer(STORAGE_COMMITMENT_PUSH, roles=(False, True)).result == 3
    only = answer(STORAGE_COMMITMENT_PUSH, roles=(True, True))
    assert (only.as_scp, only.as_scu) == (True, False)


def test_unknown_classes_are_stored_only_where_that_is_set_and_known_services_never():
    what = supported(unknown_sop_classes=True)
    assert answer("1.3.12.2.1107.5.9.1", what=what).result == 0
    assert answer(WORKLIST, what=what).result == 3
    assert answer("1.3.12.2.1107.5.9.1", what=supported(classes={"1.3.12.2.1107.5.9.1"})).result == 0


def test_an_instance_of_an_unknown_class_can_always_be_fetched_by_who_proposes_to_receive_it():
    only = answer("1.3.12.2.1107.5.9.1", roles=(True, True), what=supported(services={"get", "store"}))
    assert (only.result, only.as_scu, only.as_scp) == (0, True, False)
    assert answer(WORKLIST, roles=(False, True)).result == 3


def test_a_refused_context_still_names_a_transfer_syntax():
    assert answer("1.2.3", ()).transfer_syntax == IMPLICIT_LITTLE
    assert answer("1.2.3", (JPEG_LOSSLESS,)).transfer_syntax == JPEG_LOSSLESS


def test_retired_storage_classes_are_known():
    assert {"1.2.840.10008.5.1.4.1.1.5", "1.2.840.10008.5.1.4.1.1.6", CT} <= STORAGE_CLASSES
    assert not STORAGE_CLASSES & {VERIFICATION, STORAGE_COMMITMENT_PUSH, "1.2.840.10008.1.3.10"}


@pytest.mark.parametrize(
    ("sop_class", "asked", "answered"),
    [
        (STUDY_FIND, b"\x01", b"\x01"),
        (STUDY_FIND, b"\x00", b"\x00"),
        (STUDY_FIND, b"\x01\x01\x01\x01\x01", b"\x01\x00\x00\x00\x00"),
        (STUDY_FIND, b"\x01\x01\x01\x01\x01\x01\x01", b"\x01\x00\x00\x00\x00"),
        ("1.2.840.10008.5.1.4.1.2.1.2", b"\x01\x01", b"\x01\x00"),
        (STUDY_FIND, b"", None),
        (CT, b"\x02\x00\x03", None),
        (WORKLIST, b"\x01", None),
    ],
)
def test_of_extended_negotiation_relational_queries_are_supported_and_nothing_else(sop_class, asked, answered):
    offer = Offer(
        "WS1",
        "PROXY",
        Peer("10.0.0.1", 1),
        (OfferedContext(1, sop_class, (EXPLICIT_LITTLE,)),),
        extended={sop_class: asked},
    )
    assert extended(offer, negotiate(offer, supported())).get(sop_class) == answered
