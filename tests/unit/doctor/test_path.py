"""A query and a retrieve, all the way: what is told of how they went."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy.config import Settings
from proxy.dicom.messages import Located
from proxy.dicom.part10 import read_meta
from proxy.doctor import path, scu
from proxy.doctor.finding import Finding, State
from proxy.doctor.path import path_findings
from proxy.doctor.scu import Answer
from proxy.echo import Address
from proxy.errors import InstanceGone, OrthancUnavailable
from tests.fakes.archive import Archive
from tests.unit.doctor.making import settings

TARGET = Address("ONE", "127.0.0.1", 11112)
TARGETS = {"one": TARGET}


@dataclass
class FakeOrthanc:
    """A client of an Orthanc with one study; `broken` is raised by every question."""

    archive: Archive = field(default_factory=Archive)
    located: list[Located] = field(default_factory=list)
    broken: Exception | None = None
    md5: str | None = None
    backend: Any = None

    def find_ids(self, body: dict[str, Any]) -> list[str]:
        if self.broken is not None:
            raise self.broken
        assert body["Limit"] == 1, "an archive may hold a million studies"
        return ["study"] if self.located else []

    def resource(self, level: str, resource_id: str) -> dict[str, Any]:
        return {"MainDicomTags": {"StudyInstanceUID": "1.2.826.1"}}

    def download(self, located: Located, *arguments: Any) -> None:
        self.archive.download(located, *arguments)

    def attachment_md5(self, instance_id: str) -> str:
        return self.md5 if self.md5 is not None else hashlib.md5(self.file).hexdigest()

    @property
    def file(self) -> bytes:
        return self.archive.files[self.located[0].file_uuid]

    def close(self) -> None:
        pass


@pytest.fixture
def orthanc(monkeypatch: pytest.MonkeyPatch) -> FakeOrthanc:
    fake = FakeOrthanc(backend=settings().backends["orthanc"])
    fake.located = [fake.archive.add("1.2.3")]
    monkeypatch.setattr(path, "OrthancClient", lambda *_: fake)
    monkeypatch.setattr(path, "list_below", lambda client, level, study: fake.located)
    return fake


Ask = Callable[..., Answer]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, orthanc: FakeOrthanc) -> dict[str, Answer | Exception]:
    """What comes back by DICOM; all is well unless that is changed."""
    data = orthanc.file[read_meta(orthanc.file).dataset_offset :]
    given: dict[str, Answer | Exception] = {
        "find": Answer(0, matches=1, seconds=0.012),
        "get": Answer(0, received=[data], seconds=0.034),
    }

    def told(which: str) -> Ask:
        def ask(target: Address, calling_aet: str, model: str, identifier: Any, *image: Any) -> Answer:
            assert (target, calling_aet) == (TARGET, "DOCTOR")
            assert identifier.StudyInstanceUID == "1.2.826.1"
            answer = given[which]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return ask

    monkeypatch.setattr(scu, "find", told("find"))
    monkeypatch.setattr(scu, "get", told("get"))
    return given


def found(made: Settings | None = None, targets: dict[str, Address] = TARGETS) -> list[Finding]:
    return list(path_findings(made or settings(), targets, "DOCTOR"))


def test_both_ways_are_well_and_nothing_of_the_patient_is_told(answers: dict[str, Answer | Exception]) -> None:
    query, retrieve = found()
    assert (query.state, query.says) == (State.OK, "C-FIND of one study in 12 ms")
    assert retrieve.state is State.OK
    assert retrieve.says.endswith("in 34 ms: as Orthanc holds it")
    assert "Doe" not in str([query, retrieve])
    assert "1.2.826" not in str([query, retrieve])


@pytest.mark.parametrize(
    ("which", "answer", "says"),
    [
        ("find", Answer(0xA700, "Orthanc refuses connections"), "C-FIND: status A700: Orthanc refuses connections"),
        ("find", Answer(0, matches=0), "0 matches of one study"),
        ("find", Answer(0, matches=2), "2 matches of one study"),
        ("find", Answer(), "the association ended before the answer"),
        ("find", scu.NotAssociated("no association with ONE"), "no association with ONE"),
        ("get", Answer(0xA701), "C-GET: status A701"),
        ("get", Answer(0, received=[b"another instance"]), "not what Orthanc holds"),
        ("get", Answer(0), "brought 0"),
    ],
)
def test_what_goes_wrong_fails_with_a_remedy(
    which: str, answer: Answer | Exception, says: str, answers: dict[str, Answer | Exception]
) -> None:
    answers[which] = answer
    finding = found()[which == "get"]
    assert finding.state is State.FAILED
    assert says in finding.says
    assert finding.remedy


def test_access_rules_that_do_not_know_us_are_no_failure(answers: dict[str, Answer | Exception]) -> None:
    answers["find"] = answers["get"] = scu.NotAssociated("ONE does not let DOCTOR in", rejected=True)
    for finding in found():
        assert finding.state is State.WARNING
        assert "--aet" in finding.remedy
        assert "[pipelines.one]" in finding.remedy


def test_what_a_pipeline_does_not_offer_is_not_tried(answers: dict[str, Answer | Exception]) -> None:
    answers["get"] = AssertionError("was asked")
    query, retrieve = found(settings(pipelines={"one": {"aet": "ONE", "services": ["find"]}}))
    assert query.state is State.OK
    assert (retrieve.state, retrieve.says) == (State.SKIPPED, "[pipelines.one] services has no get")


def test_an_empty_orthanc_is_nothing_to_try_it_with(orthanc: FakeOrthanc) -> None:
    orthanc.located = []
    assert [finding.state for finding in found()] == [State.SKIPPED, State.SKIPPED]
    assert [finding.state for finding in found(targets={})] == [State.SKIPPED]


def test_the_smallest_instance_is_taken_and_no_large_one(orthanc: FakeOrthanc) -> None:
    small = orthanc.located[0]
    large = orthanc.archive.add("1.2.4", bytes(1 << 16))
    orthanc.located = [large, small]
    found(targets={})
    assert orthanc.archive.downloads == ["1.2.3"]
    orthanc.located = [Located("id", "uuid", "series", "1.2.5", size=1 << 30)]
    assert [finding.state for finding in found(targets={})] == [State.SKIPPED]
    assert orthanc.archive.downloads == ["1.2.3"]


def test_while_the_proxy_does_not_run_orthanc_is_asked_by_rest(orthanc: FakeOrthanc) -> None:
    query, retrieve = found(targets={})
    assert (query.state, retrieve.state) == (State.OK, State.OK)
    assert query.where == orthanc.backend.url
    assert f"{len(orthanc.file)} bytes" in retrieve.says


def test_a_file_that_is_not_what_orthanc_stored_fails(orthanc: FakeOrthanc) -> None:
    orthanc.md5 = "0" * 32
    assert found(targets={})[-1].state is State.FAILED
    orthanc.md5 = ""
    assert found(targets={})[-1].state is State.OK, "Orthanc keeps no MD5"


@pytest.mark.parametrize("error", [OrthancUnavailable("Orthanc refuses connections"), InstanceGone("gone")])
def test_an_orthanc_that_gives_nothing_out_fails(error: Exception, orthanc: FakeOrthanc) -> None:
    orthanc.broken = error
    (finding,) = found()
    assert finding.failed
    assert finding.remedy


def test_a_file_that_is_no_dicom_fails(orthanc: FakeOrthanc) -> None:
    orthanc.archive.files[orthanc.located[0].file_uuid] = b"rubbish" * 100
    (finding,) = found()
    assert finding.failed
    assert "not DICOM" in finding.says
