"""What the conformance statement says is what a live association gets: contexts, roles, statuses, rejections."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)
from typer.testing import CliRunner

from proxy.cli import app
from proxy.demo.orthanc import Orthanc
from proxy.dicom.contexts import SOP_CLASSES, TRANSFER_SYNTAXES
from tests.integration.conftest import StartProxy
from tests.support import raw
from tests.support.destinations import Recorder
from tests.support.instances import instance
from tests.support.population import CT
from tests.support.proxy_process import AET, Proxy, ProxyPool
from tests.support.scu import associated, keys
from tests.support.waiting import wait_until

_BARRED = {
    "aet": "BARRED",
    "services": ["echo", "find"],
    "access": "list",
    "rules": [{"calling_aet": ["FRIEND"], "services": ["echo"]}],
}
_LIMITS = {"associations_per_aet": 5}


@dataclass(frozen=True)
class Told:
    """A running proxy, and what `orthanc-proxy conformance` says of it."""

    proxy: Proxy
    statement: dict[str, Any]

    def entity(self, aet: str = AET) -> dict[str, Any]:
        (found,) = (entity for entity in self.statement["entities"] if entity["aet"] == aet)
        return found

    def contexts(self, direction: str) -> Iterator[tuple[str, list[str], bool, bool]]:
        """SOP class, transfer syntaxes, and our roles, of each that is accepted or proposed."""
        for group in self.entity()[direction]:
            syntaxes = [one["uid"] for one in group["transfer_syntaxes"]]
            yield from ((one["uid"], syntaxes, group["scu"], group["scp"]) for one in group["sop_classes"])

    def statuses(self, command: str, aet: str = AET) -> set[int]:
        (found,) = (one for one in self.entity(aet)["operations"] if one["command"] == command)
        return {answer["status"] for answer in found["answers"]}

    def rejections(self) -> set[str]:
        """As `raw.Peer` tells them."""
        return {f"rejected {one['result']}/{one['source']}/{one['reason']}" for one in self.statement["rejections"]}


def stated(proxy: Proxy, *options: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["conformance", "--config", str(proxy.config_file), "--format", "json", *options])
    assert done.exit_code == 0, done.output
    return orjson.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.fixture(params=["fast", "stock"])
def told(request: pytest.FixtureRequest, orthanc: Orthanc, proxies: ProxyPool) -> Told:
    proxy = proxies.get(
        orthanc, {"listener": {"wire": request.param}, "pipelines": {"barred": _BARRED}, "limits": _LIMITS}
    )
    told = Told(proxy, stated(proxy, "--live"))
    _wait_for_orthanc(told)
    return told


def _wait_for_orthanc(told: Told) -> None:
    """The proxy asks in the background which transfer syntaxes Orthanc accepts, from the first association on."""
    (known,) = {frozenset(syntaxes) for uid, syntaxes, _, _ in told.contexts("accepts") if uid == raw.CT}
    wait_until(lambda: {pair[1] for pair in offered(told.proxy, [(raw.CT, ts) for ts in TRANSFER_SYNTAXES])} == known)


def offered(
    proxy: Proxy, pairs: list[tuple[str, str]], roles: dict[str, tuple[int, int]] | None = None
) -> set[tuple[str, str]]:
    """Those of the (abstract syntax, transfer syntax) that were accepted, each in a context of its own.

    Both roles are proposed of each class; those granted are noted in `roles`.
    """
    accepted = set()
    for at in range(0, len(pairs), 128):
        batch = pairs[at : at + 128]
        contexts = [(2 * number + 1, sop_class, [syntax]) for number, (sop_class, syntax) in enumerate(batch)]
        peer = raw.Peer.connect(proxy.dicom_port)
        peer.associate(proxy.aet, contexts, roles=sorted({sop_class for sop_class, _ in batch}))
        assert peer.accepted.items() <= {(number, syntaxes[0]) for number, _, syntaxes in contexts}
        accepted |= {(sop_class, syntaxes[0]) for number, sop_class, syntaxes in contexts if number in peer.accepted}
        if roles is not None:
            roles.update(peer.roles)
        assert peer.release() == "released"
    return accepted


# ---- associations


def test_every_context_is_accepted_that_is_stated_and_no_other(told: Told) -> None:
    """All SOP classes of PS3.6, each in four syntaxes; those of storage and query in every one there is."""
    expected = {(uid, syntax) for uid, syntaxes, _, _ in told.contexts("accepts") for syntax in syntaxes}
    some = [raw.IMPLICIT, raw.BIG_ENDIAN, raw.DEFLATED, "1.2.840.10008.1.2.4.70"]
    classes = sorted(SOP_CLASSES | {uid for uid, *_ in told.contexts("accepts")})
    pairs = {(uid, syntax) for uid in classes for syntax in some}
    pairs |= {
        (uid, syntax)
        for uid in (raw.VERIFICATION, raw.STUDY_FIND, raw.STUDY_GET, raw.CT)
        for syntax in TRANSFER_SYNTAXES
    }
    assert offered(told.proxy, sorted(pairs)) == expected & pairs


def test_the_roles_that_are_granted_are_those_stated(told: Told) -> None:
    roles: dict[str, tuple[int, int]] = {}
    stated = list(told.contexts("accepts"))
    offered(told.proxy, [(uid, syntaxes[0]) for uid, syntaxes, _, _ in stated], roles)
    assert roles == {uid: (int(scp), int(scu)) for uid, _, scu, scp in stated}, "theirs mirror ours"


def test_classes_that_the_standard_does_not_name_are_accepted_as_stated(told: Told) -> None:
    roles: dict[str, tuple[int, int]] = {}
    private = "1.2.3.4.5.6"
    assert offered(told.proxy, [(private, raw.EXPLICIT)], roles) == {(private, raw.EXPLICIT)}
    entity = told.entity()
    assert roles[private] == (int(entity["beyond_received"]), int(entity["beyond_sent"])) == (0, 1)


def test_who_we_are_and_what_we_take_is_as_stated(told: Told) -> None:
    peer = raw.Peer.connect(told.proxy.dicom_port)
    peer.associate(told.proxy.aet)
    association = told.statement["association"]
    assert peer.max_pdu == association["max_pdu"]
    assert peer.items[0x52].decode() == association["implementation_class_uid"]
    assert peer.items[0x55].decode() == association["implementation_version_name"]
    assert 0x53 not in peer.items, "no Asynchronous Operations Window"
    assert peer.release() == "released"


def test_extended_negotiation_is_answered_as_stated(told: Told) -> None:
    (find,) = (group for group in told.entity()["accepts"] if group["service"] == "find")
    asked = bytes((1, 1, 1, 1, 1))
    name = raw.STUDY_FIND.encode()
    extension = raw.item(0x56, len(name).to_bytes(2, "big") + name + asked)
    peer = raw.Peer.connect(told.proxy.dicom_port)
    peer.send(raw.request(AET, [(1, raw.STUDY_FIND, [raw.IMPLICIT])], user=raw.user_item(extra=extension)))
    kind, body = peer.read()
    assert kind == raw.AC
    peer._take_acceptance(body)
    assert peer.items[0x56][2 + len(name) :].hex(" ") == find["extended"]
    assert peer.release() == "released"


def test_what_is_proposed_to_a_move_destination_is_stated(
    told: Told, orthanc: Orthanc, start_recorder: Callable[..., Recorder], start_proxy: StartProxy
) -> None:
    destination = start_recorder("DEST_AET")
    place = {"aet": destination.aet, "host": "127.0.0.1", "port": destination.port}
    wire = told.proxy.configuration["listener"]["wire"]  # type: ignore[index]
    proxy = start_proxy(orthanc, {"listener": {"wire": wire}, "destinations": {"there": place}})
    with associated(proxy.dicom_port, proxy.aet) as scu:
        assert scu.move(keys("STUDY", StudyInstanceUID=CT.study_instance_uid), "DEST_AET")[-1].status == 0x0000
    may = {(uid, syntax) for uid, syntaxes, scu_role, _ in told.contexts("proposes") if scu_role for syntax in syntaxes}
    (contexts,) = destination.associations
    proposed = {(str(one.abstract_syntax), str(syntax)) for one in contexts for syntax in one.transfer_syntax}
    assert proposed
    assert proposed <= may


# ---- rejections


def _ending(proxy: Proxy, **request: Any) -> str:
    peer = raw.Peer.connect(proxy.dicom_port)
    peer.send(raw.request(request.pop("called", AET), **request))
    said = peer.ending(5.0, closing=False)
    peer.close()
    return said


@pytest.mark.parametrize(
    ("how", "rejection"),
    [
        ({"called": "NOBODY"}, "rejected 1/1/7"),
        ({"called": "BARRED", "calling": "STRANGER"}, "rejected 1/1/3"),
        ({"max_pdu": 512}, "rejected 1/1/1"),
    ],
)
def test_rejections_are_those_stated(told: Told, how: dict[str, Any], rejection: str) -> None:
    assert _ending(told.proxy, **how) == rejection
    assert rejection in told.rejections()


@pytest.mark.parametrize("told", ["fast"], indirect=True)
@pytest.mark.parametrize(
    ("how", "rejection"),
    [({"application": raw.item(0x10, b"1.2.3")}, "rejected 1/1/2"), ({"version": 2}, "rejected 1/2/2")],
)
def test_what_is_not_dicoms_protocol_is_rejected_as_stated(told: Told, how: dict[str, Any], rejection: str) -> None:
    assert _ending(told.proxy, **how) == rejection
    assert rejection in told.rejections()


def test_one_association_too_many_is_rejected_as_stated(told: Told) -> None:
    peers = [raw.Peer.connect(told.proxy.dicom_port) for _ in range(_LIMITS["associations_per_aet"])]
    for peer in peers:
        peer.associate(AET, calling="GREEDY")
    assert _ending(told.proxy, calling="GREEDY") == "rejected 2/3/2"
    assert "rejected 2/3/2" in told.rejections()
    assert all(peer.release() == "released" for peer in peers)


# ---- statuses


def test_the_statuses_of_queries_and_retrieves_are_stated(told: Told, start_recorder: Callable[..., Recorder]) -> None:
    study = keys("STUDY", StudyInstanceUID=CT.study_instance_uid)
    seen: dict[str, set[int]] = {}
    with associated(told.proxy.dicom_port, AET) as scu:
        seen["C-ECHO"] = {scu.echo()}
        seen["C-FIND"] = {answer.status for answer in scu.find(study)}
        seen["C-FIND"] |= {answer.status for answer in scu.find(keys("STUDY", StudyInstanceUID="1.*"))}
        seen["C-GET"] = {answer.status for answer in scu.get(study)}
        seen["C-GET"] |= {answer.status for answer in scu.get(keys("STUDY", StudyInstanceUID=""))}
        seen["C-MOVE"] = {answer.status for answer in scu.move(study, "UNKNOWN")}
        seen["C-MOVE"] |= {answer.status for answer in scu.move(keys("STUDY"), "UNKNOWN")}
    for on_store in (lambda _: 0xA700, lambda _: 0xB000):
        with associated(told.proxy.dicom_port, AET, on_store=on_store) as scu:
            seen["C-GET"].add(scu.get(study)[-1].status)
    assert seen["C-FIND"] == {0x0000, 0xFF00, 0xA900}
    assert seen["C-GET"] >= {0x0000, 0xA900, 0xA702, 0xB000}
    assert seen["C-MOVE"] == {0xA801, 0xA900}
    for command, statuses in seen.items():
        assert statuses <= told.statuses(command), command


def test_what_is_not_granted_is_answered_as_stated(told: Told) -> None:
    with associated(told.proxy.dicom_port, "BARRED", calling_aet="FRIEND", images=()) as scu:
        (refused,) = scu.find(keys("STUDY", StudyInstanceUID="1.2"))
    assert refused.status == 0x0124
    assert 0x0124 in told.statuses("C-FIND", "BARRED")
    assert 0x0124 not in told.statuses("C-FIND"), "everybody may ask the other one"


def test_the_statuses_of_c_store_are_stated(told: Told) -> None:
    one = raw.SECONDARY_CAPTURE
    body = raw.explicit(0x00080016, "UI", raw.uid(one)) + raw.explicit(0x00080018, "UI", raw.uid("1.2.3"))
    seen = {}
    for why, uid, data in (
        ("no UID", "no uid", body),
        ("another UID", "1.2.4", body),
        ("cut", "1.2.3", body + raw.explicit(0x00080060, "CS", "OT", length=20)),
    ):
        peer = raw.Peer.connect(told.proxy.dicom_port)
        peer.associate(AET, [(1, one, [raw.EXPLICIT])])
        peer.send(raw.message(1, raw.store_command(one, uid), data))
        seen[why] = peer.message().status
        peer.close()
    assert seen["another UID"] == 0xA900
    assert seen["cut"] == 0xC000
    assert set(seen.values()) <= told.statuses("C-STORE")


def test_the_statuses_of_commitment_are_stated(told: Told) -> None:
    ae = AE("COMMITTER")
    ae.add_requested_context(StorageCommitmentPushModel)
    association = ae.associate("127.0.0.1", told.proxy.dicom_port, ae_title=AET)
    assert association.is_established
    empty, whole = Dataset(), Dataset()
    empty.TransactionUID = whole.TransactionUID = generate_uid()
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = raw.CT, generate_uid()
    whole.ReferencedSOPSequence = [item]
    asked = [
        (empty, 1, StorageCommitmentPushModelInstance, 0x0115),
        (whole, 2, StorageCommitmentPushModelInstance, 0x0123),
        (whole, 1, "1.2.3.4", 0x0112),
    ]
    for information, action, sop_instance, expected in asked:
        status, _ = association.send_n_action(information, action, StorageCommitmentPushModel, sop_instance)
        assert status.Status == expected
        assert expected in told.statuses("N-ACTION")
    association.release()


def test_the_statuses_while_orthanc_is_away_are_stated(start_proxy: StartProxy) -> None:
    proxy = start_proxy("http://127.0.0.1:1", {"backends": {"orthanc": {"retries": 1}}})
    told = Told(proxy, stated(proxy))
    with associated(proxy.dicom_port, AET) as scu:
        study = keys("STUDY", StudyInstanceUID="1.2.3")
        seen = {
            "C-ECHO": scu.echo(),
            "C-FIND": scu.find(study)[-1].status,
            "C-GET": scu.get(study)[-1].status,
            "C-MOVE": scu.move(study, "SOMEBODY")[-1].status,
            "C-STORE": scu.store(instance()),
        }
    assert seen == {"C-ECHO": 0, "C-FIND": 0xA700, "C-GET": 0xA701, "C-MOVE": 0xA701, "C-STORE": 0}
    assert all(status in told.statuses(command) for command, status in seen.items())


# ---- the command


def test_orthanc_is_asked_for_its_transfer_syntaxes_on_demand(one_orthanc: Orthanc, start_proxy: StartProxy) -> None:
    proxy = start_proxy(one_orthanc)
    accepted = set(one_orthanc.get("/tools/accepted-transfer-syntaxes"))
    told = Told(proxy, stated(proxy, "--live"))
    assert {frozenset(syntaxes) for uid, syntaxes, _, _ in told.contexts("accepts") if uid == raw.CT} == {
        frozenset(accepted)
    }
    away = CliRunner().invoke(
        app,
        [
            "conformance",
            "--live",
            "--config",
            str(proxy.config_file),
            "--set",
            "backends.orthanc.url=http://127.0.0.1:1",
        ],
    )
    assert away.exit_code == 1
    assert re.match(r"orthanc: \S", away.stderr)
