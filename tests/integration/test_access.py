"""Who is let in, to what, and what the others are told: against a real Orthanc, on both wires."""

import time
from collections.abc import Callable

import pytest
from pynetdicom import AE
from pynetdicom.pdu_primitives import UserIdentityNegotiation
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from proxy.demo.orthanc import Orthanc
from tests.support import raw
from tests.support.destinations import Recorder
from tests.support.instances import instance
from tests.support.population import CT
from tests.support.proxy_process import Proxy
from tests.support.scu import associated, keys
from tests.support.waiting import wait_until

WIRES = ["fast", "stock"]
_STUDY = keys("STUDY", StudyInstanceUID=CT.study_instance_uid)


def _access(mode: str, wire: str, *rules: dict[str, object], **more: object) -> dict[str, object]:
    pipeline = {"access": mode, "rules": list(rules), **more}
    return {"pipelines": {"under_test": pipeline}, "listener": {"wire": wire}}


def _refusal(proxy: Proxy, calling: str) -> str:
    """How an association is refused: "rejected RESULT/SOURCE/REASON"; "" when it is not."""
    try:
        raw.echo(proxy.dicom_port, proxy.aet, calling=calling)
    except raw.Ended as ended:
        return str(ended)
    return ""


@pytest.mark.parametrize("wire", WIRES)
def test_a_list_admits_by_title_address_and_service_and_says_which_rule_refused(
    wire: str, one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], start_recorder: Callable[..., Recorder]
) -> None:
    known, stranger = start_recorder("KNOWN"), start_recorder("STRANGER")
    destinations = {
        name: {"aet": receiver.aet, "host": "127.0.0.1", "port": receiver.port}
        for name, receiver in (("K", known), ("S", stranger))
    }
    rules: list[dict[str, object]] = [
        {"name": "far", "calling_aet": ["FAR"], "address": ["192.0.2.0/24"]},
        {"name": "readers", "calling_aet": ["WS*"], "address": ["127.0.0.0/8"], "services": ["echo", "find"]},
        {"name": "movers", "calling_aet": ["MOVER"], "services": ["move"], "destinations": ["KNOWN"]},
        {"name": "nothing", "calling_aet": ["BARRED"], "services": []},
    ]
    proxy = start_proxy(one_orthanc, _access("list", wire, *rules), {"destinations": destinations})

    with associated(proxy.dicom_port, proxy.aet, calling_aet="WS1") as scu:
        assert scu.echo() == 0x0000
        assert [answer.status for answer in scu.find(_STUDY)] == [0xFF00, 0x0000]
        refused = scu.get(_STUDY)[-1]
        assert (refused.status, refused.comment) == (0x0124, "get is not granted by rule readers")
        assert scu.store(instance()) == 0x0124
        assert scu.echo() == 0x0000, "a refused service ends the association"
    with associated(proxy.dicom_port, proxy.aet, calling_aet="MOVER") as scu:
        assert scu.move(_STUDY, "KNOWN")[-1].status == 0x0000
        refused = scu.move(_STUDY, "STRANGER")[-1]
        assert (refused.status, "movers" in refused.comment) == (0x0124, True)
    assert len(known.arrivals) == CT.slices
    assert not stranger.arrivals

    assert _refusal(proxy, "NOBODY") == "rejected 1/1/3", "calling AE title not recognized"
    assert _refusal(proxy, "FAR") == "rejected 1/1/1"
    assert _refusal(proxy, "BARRED") == "rejected 1/1/1"
    wait_until(lambda: "rule nothing of pipeline under_test grants no service to 'BARRED'" in proxy.log)


@pytest.mark.parametrize("wire", WIRES)
def test_orthanc_mode_follows_orthancs_own_modalities_and_notices_changes(
    wire: str, start_orthanc: Callable[..., Orthanc], start_proxy: Callable[..., Proxy]
) -> None:
    orthanc = start_orthanc()
    entry = {"AET": "FINDER", "Host": "127.0.0.1", "Port": 104, "AllowFind": True, "AllowGet": False}
    orthanc.put("/modalities/finder", entry)
    orthanc.put("/modalities/elsewhere", {"AET": "ELSEWHERE", "Host": "192.0.2.1", "Port": 104})
    checked = {"always_allow": {"check_modality_host": True}}
    proxy = start_proxy(orthanc, _access("orthanc", wire, **checked))
    study = keys("STUDY", PatientID="*")

    def ask(title: str) -> tuple[int, int, int]:
        with associated(proxy.dicom_port, proxy.aet, calling_aet=title) as scu:
            return scu.echo(), scu.find(study)[-1].status, scu.get(keys("STUDY", StudyInstanceUID="1.2"))[-1].status

    deadline = time.monotonic() + 15
    while ask("FINDER")[1] == 0x0124:
        assert time.monotonic() < deadline, "Orthanc's table is not read"
        time.sleep(0.2)
    assert ask("FINDER") == (0x0000, 0x0000, 0x0124)
    assert ask("UNLISTED") == (0x0000, 0x0124, 0x0124), "as Orthanc: may echo and store, no more"
    assert ask("ELSEWHERE") == (0x0000, 0x0124, 0x0124), "listed, but with another host"
    with associated(proxy.dicom_port, proxy.aet, calling_aet="UNLISTED") as scu:
        assert scu.store(instance()) == 0x0000

    orthanc.put("/modalities/finder", {**entry, "AllowFind": False, "AllowGet": True})
    deadline = time.monotonic() + 20
    while ask("FINDER")[1:] != (0x0124, 0x0000):
        assert time.monotonic() < deadline, "a change in Orthanc is not noticed"
        time.sleep(0.5)


@pytest.mark.parametrize("wire", WIRES)
def test_orthanc_mode_with_nothing_always_allowed_refuses_the_unlisted_at_the_door(
    wire: str, one_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    proxy = start_proxy(one_orthanc, _access("orthanc", wire, always_allow={"echo": False, "store": False}))
    assert _refusal(proxy, "UNLISTED") == "rejected 1/1/3"


@pytest.mark.parametrize("wire", WIRES)
def test_user_identity_with_name_and_passcode_is_asked_for_and_confirmed(
    wire: str, one_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    rule = {"name": "nurse", "username": "nurse", "passcode": "open sesame"}
    proxy = start_proxy(one_orthanc, _access("list", wire, rule))
    assert _associate_as(proxy, "nurse", "open sesame") == (True, True)
    assert _associate_as(proxy, "nurse", "wrong")[0] is False
    assert _associate_as(proxy, "doctor", "open sesame")[0] is False
    assert _refusal(proxy, "ANONYMOUS").startswith("rejected 1/1/")
    assert "open sesame" not in proxy.log


def _associate_as(proxy: Proxy, name: str, passcode: str) -> tuple[bool, bool]:
    """Whether it is let in, and whether the identity is confirmed."""
    identity = UserIdentityNegotiation()
    identity.user_identity_type = 2
    identity.primary_field = name.encode()
    identity.secondary_field = passcode.encode()
    identity.positive_response_requested = True
    ae = AE("WS1")
    ae.add_requested_context(Verification)
    association = ae.associate("127.0.0.1", proxy.dicom_port, ae_title=proxy.aet, ext_neg=[identity])
    try:
        confirmed = association.is_established and association.acceptor.user_identity is not None
        return association.is_established, confirmed
    finally:
        if association.is_established:
            association.release()


def test_open_to_the_network_is_warned_of_and_open_to_loopback_is_not(
    one_orthanc: Orthanc, start_proxy: Callable[..., Proxy]
) -> None:
    warning = 'access = "open"'
    assert warning not in start_proxy(one_orthanc, {"listener": {"bind_address": "127.0.0.1"}}).log
    proxy = start_proxy(one_orthanc, {"listener": {"bind_address": "0.0.0.0"}})
    wait_until(lambda: warning in proxy.log)
    assert "under_test" in next(line for line in proxy.log.splitlines() if warning in line)
    assert raw.echo(proxy.dicom_port, proxy.aet) < 2
