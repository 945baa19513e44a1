"""The statement's presentation contexts are what negotiation really answers."""

import pytest

from proxy.config import Pipeline
from proxy.conformance.contexts import Contexts, accepted, beyond_the_standard, named, proposed
from proxy.dicom.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE, STORAGE_CLASSES, UNCOMPRESSED
from proxy.dicom.negotiation import STORAGE_COMMITMENT_PUSH, VERIFICATION, Supported

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
RLE = "1.2.840.10008.1.2.5"
ALL = ("echo", "find", "get", "move", "store", "commitment")


def supported(*services: str, unknown: bool = False) -> Supported:
    return Supported(services, (CT, MR), (RLE, IMPLICIT_LITTLE, EXPLICIT_LITTLE), unknown)


def group(groups: tuple[Contexts, ...], service: str) -> Contexts:
    (only,) = (one for one in groups if one.service == service)
    return only


def test_storage_classes_that_are_negotiated_alike_are_one_group() -> None:
    storage = group(accepted(supported(*ALL)), "storage")
    assert [one.uid for one in storage.sop_classes] == [CT, MR]
    assert [one.uid for one in storage.transfer_syntaxes] == [EXPLICIT_LITTLE, IMPLICIT_LITTLE, RLE]


@pytest.mark.parametrize(
    ("services", "roles"), [(("get",), (True, False)), (("store",), (False, True)), (("get", "store"), (True, True))]
)
def test_we_are_scu_of_storage_for_c_get_and_scp_for_c_store(
    services: tuple[str, ...], roles: tuple[bool, bool]
) -> None:
    storage = group(accepted(supported(*services)), "storage")
    assert (storage.scu, storage.scp) == roles


def test_a_service_that_is_off_is_not_stated() -> None:
    assert {one.service for one in accepted(supported("echo", "find"))} == {"echo", "find"}
    assert {one.service for one in accepted(supported(*ALL))} == {*ALL, "storage"} - {"store"}


def test_queries_are_taken_in_every_uncompressed_syntax_whatever_orthanc_accepts() -> None:
    find = group(accepted(supported("find")), "find")
    assert {one.uid for one in find.transfer_syntaxes} == set(UNCOMPRESSED)
    assert (find.scu, find.scp) == (False, True)
    assert find.extended == "01 00 00 00 00", "relational queries only"


def test_classes_that_no_standard_names_are_sent_always_and_received_where_that_is_set() -> None:
    assert beyond_the_standard(supported("get", "store")) == (True, False)
    assert beyond_the_standard(supported("get", "store", unknown=True)) == (True, True)
    assert beyond_the_standard(supported("find")) == (False, False)


def pipeline(*services: str, **more: object) -> Pipeline:
    return Pipeline.model_validate({"services": services, **more})


def test_storage_is_proposed_by_who_sends_on_associations_of_its_own() -> None:
    def services(one: Pipeline, forwards: bool = False) -> set[str]:
        return {found.service for found in proposed(one, supported(*ALL), forwards_by_dimse=forwards)}

    assert services(pipeline("move")) == {"echo", "storage"}
    assert services(pipeline("move", move_strategy="orthanc-store")) == {"echo"}
    assert services(pipeline("store"), forwards=True) == {"echo", "storage"}
    assert services(pipeline("get", "store")) == {"echo"}


def test_commitment_is_reported_as_scp() -> None:
    report = group(proposed(pipeline("commitment"), supported(*ALL), forwards_by_dimse=False), "commitment")
    assert [one.uid for one in report.sop_classes] == [STORAGE_COMMITMENT_PUSH]
    assert (report.scu, report.scp) == (False, True)


def test_every_class_has_a_name_and_the_retired_ones_are_marked() -> None:
    assert named(VERIFICATION).name == "Verification SOP Class"
    assert named("1.2.840.10008.5.1.4.1.1.5").name == "Nuclear Medicine Image Storage (retired)"
    nameless = [
        uid
        for uid in STORAGE_CLASSES
        if not named(uid).name.lower().replace(" ", "").isascii() or "." in named(uid).name
    ]
    assert nameless == []
