"""C-MOVE by Orthanc: counts from progress, cancel takes the job along, archives in turn."""

import threading
from dataclasses import dataclass, field

import pytest

from proxy.dicom.contexts import EXPLICIT_LITTLE
from proxy.dicom.messages import Counts
from proxy.dicom.status import PENDING
from proxy.errors import OrthancRefused, OrthancUnavailable, ReceiverLost
from proxy.services import delegate
from proxy.services.delegate import Delegation
from proxy.services.waiting import Background, Cancelled
from tests.unit.services.retrieving import located, lost, request

STUDY_1, STUDY_2 = {"StudyInstanceUID": "1.2"}, {"StudyInstanceUID": "1.3"}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(delegate, "_POLL", 0.001)


@dataclass
class Job:
    progress: int = 0
    state: str = "Running"
    why: str = ""

    @property
    def is_over(self) -> bool:
        return self.state in ("Success", "Failure")

    @property
    def succeeded(self) -> bool:
        return self.state == "Success"


DONE = Job(100, "Success")


@dataclass
class Orthanc:
    """Gives `jobs` in turn, the last one for ever; `there`: what each archive holds; `moves`: what a move returns."""

    jobs: list = field(default_factory=lambda: [DONE])
    there: dict = field(default_factory=dict)
    moves: dict = field(default_factory=dict)
    calls: list = field(default_factory=list)
    cancelled: list = field(default_factory=list)

    def start_store(self, modality, instance_ids, originator):
        self.calls.append(("store", modality, tuple(instance_ids), originator))
        return "job"

    def start_move(self, modality, level, resources, target_aet):
        self.calls.append(("move", modality, level, tuple(r["StudyInstanceUID"] for r in resources), target_aet))
        outcome = self.moves.get(modality)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def job(self, job_id):
        job = self.jobs.pop(0) if len(self.jobs) > 1 else self.jobs[0]
        if isinstance(job, Exception):
            raise job
        return job

    def cancel_job(self, job_id):
        self.cancelled.append(job_id)
        raise OrthancUnavailable("even so")

    def found(self, modality, level, resource, keywords):
        assert tuple(keywords) == ("StudyInstanceUID",)
        held = self.there[modality]
        if isinstance(held, Exception):
            raise held
        return [resource] if resource in held else []


@pytest.fixture
def background():
    background = Background(2)
    yield background
    background.close()


def store(orthanc, background, count=4, heartbeat=5.0, **of_request):
    asked = request("C-MOVE", move_destination="DEST", **of_request)
    return Delegation(orthanc, heartbeat).store(asked, "dest", [located(n) for n in range(count)], background)


def test_orthanc_is_asked_to_store_with_the_requestor_as_move_originator(background):
    orthanc = Orthanc()
    (final,) = store(orthanc, background)
    assert orthanc.calls == [("store", "dest", ("id0", "id1", "id2", "id3"), ("WS1", 5))]
    assert (final.status, final.counts) == (0, Counts(None, 4))
    assert orthanc.cancelled == []


def test_progress_becomes_pendings_with_counts(background):
    orthanc = Orthanc([Job(0), Job(25), Job(30), Job(75), DONE])
    *pending, final = store(orthanc, background)
    assert [p.counts for p in pending] == [Counts(3, 1), Counts(1, 3)]
    assert all(p.status in PENDING for p in pending)
    assert final.counts == Counts(None, 4)


def test_a_job_without_progress_is_told_at_every_heartbeat(background):
    orthanc = Orthanc([Job(0)])
    responses = store(orthanc, background, heartbeat=0.002)
    assert [next(responses).counts for _ in range(3)] == [Counts(4)] * 3
    responses.close()
    assert orthanc.cancelled == ["job"]


@pytest.mark.parametrize(("progress", "status", "counts"), [(0, 0xA702, (0, 4)), (50, 0xB000, (2, 2))])
def test_what_a_failed_job_had_not_sent_has_failed(background, progress, status, counts):
    failed = Job(progress, "Failure", "Error in the network protocol")
    *_, final = store(Orthanc([Job(progress), failed]), background)
    assert (final.status, final.counts) == (status, Counts(None, *counts))
    assert final.comment == "Orthanc's job failed: Error in the network protocol"
    assert b"1.2.3" in final.identifier.encode(EXPLICIT_LITTLE)


def test_a_job_that_orthanc_forgot_has_failed(background):
    *_, final = store(Orthanc([Job(10), OrthancRefused("Orthanc answers 404")]), background)
    assert (final.status, final.comment) == (0xA702, "Orthanc answers 404")


def test_cancel_takes_the_job_along(background):
    orthanc = Orthanc([Job(25), Job(50)])
    *_, final = store(orthanc, background, cancel=lambda: len(orthanc.jobs) == 1)
    assert (final.status, final.counts) == (0xFE00, Counts(3, 1))
    assert orthanc.cancelled == ["job"]


def test_cancel_before_orthanc_has_named_its_job_ends_that_job_too(background):
    gate, gone, orthanc = threading.Event(), threading.Event(), Orthanc([Job(0)])

    def start_store(*_):
        assert gate.wait(10)
        return "late"

    def cancel_job(job_id):
        orthanc.cancelled.append(job_id)
        gone.set()

    orthanc.start_store, orthanc.cancel_job = start_store, cancel_job
    *_, final = store(orthanc, background, heartbeat=0.01, cancel=lambda: True)
    assert (final.status, final.counts) == (0xFE00, Counts(4))
    assert orthanc.cancelled == []
    gate.set()
    assert gone.wait(10)
    assert orthanc.cancelled == ["late"]


def test_a_requestor_that_is_gone_takes_the_job_along(background):
    def gone():
        raise lost()

    orthanc = Orthanc([Job(25)])
    with pytest.raises(ReceiverLost):
        list(store(orthanc, background, cancel=gone))
    assert orthanc.cancelled == ["job"]


def test_orthanc_away_at_the_start_is_for_the_border_to_tell(background):
    orthanc = Orthanc()
    orthanc.start_store = lambda *_: (_ for _ in ()).throw(OrthancUnavailable("away"))
    with pytest.raises(OrthancUnavailable):
        list(store(orthanc, background))


@pytest.mark.parametrize("job_id", [None, "job"])
def test_orthanc_moves_as_a_job_or_at_once(background, job_id):
    orthanc = Orthanc(moves={"self": job_id})
    asked = request("C-MOVE", move_destination="DEST")
    responses = Delegation(orthanc, 5.0).move(asked, "self", "STUDY", [STUDY_1], [located(0)], background)
    *_, final = responses
    assert (final.status, final.counts) == (0, Counts(None, 1))
    assert orthanc.calls == [("move", "self", "STUDY", ("1.2",), "DEST")]


def test_a_move_that_orthanc_refuses_has_failed(background):
    orthanc = Orthanc(moves={"self": OrthancRefused("Error in the network protocol")})
    asked = request("C-MOVE", move_destination="DEST")
    (final,) = Delegation(orthanc, 5.0).move(asked, "self", "STUDY", [STUDY_1], [located(0)], background)
    assert (final.status, final.comment) == (0xA702, "Error in the network protocol")


def from_archives(orthanc, background, resources=(STUDY_1, STUDY_2), archives=("first", "second"), **of_request):
    asked = request("C-MOVE", move_destination="DEST", **of_request)
    responses = Delegation(orthanc, 5.0).from_archives(asked, archives, "STUDY", resources, background)
    while True:
        try:
            next(responses)
        except StopIteration as end:
            return end.value, [call[1:4:2] for call in orthanc.calls]


def test_each_archive_sends_what_it_has_and_the_next_is_asked_for_the_rest(background):
    orthanc = Orthanc(there={"first": [STUDY_1], "second": [STUDY_1, STUDY_2]})
    assert from_archives(orthanc, background) == ("", [("first", ("1.2",)), ("second", ("1.3",))])


def test_an_archive_is_asked_for_its_matches_by_their_own_unique_keys(background):
    orthanc = Orthanc()
    orthanc.found = lambda modality, level, resource, keywords: [STUDY_1, STUDY_2]
    asked_for = [{"AccessionNumber": "A1"}]
    assert from_archives(orthanc, background, asked_for) == ("", [("first", ("1.2", "1.3"))])


def test_of_a_patient_the_studies_are_asked_for(background):
    """Asked for a patient in the Study Root model some archives answer success and send nothing."""
    orthanc = Orthanc()
    orthanc.found = lambda modality, level, resource, keywords: [STUDY_1] if level == "STUDY" else []
    asked = request("C-MOVE", move_destination="DEST")
    list(Delegation(orthanc, 5.0).from_archives(asked, ["first"], "PATIENT", [{"PatientID": "P"}], background))
    assert orthanc.calls == [("move", "first", "STUDY", ("1.2",), "DEST")]


def test_what_no_archive_has_is_no_failure(background):
    assert from_archives(Orthanc(there={"first": [], "second": []}), background) == ("", [])


def test_an_archive_that_cannot_be_queried_is_asked_to_move_anyhow(background):
    orthanc = Orthanc(there={"first": OrthancRefused("no C-FIND")})
    assert from_archives(orthanc, background) == ("", [("first", ("1.2", "1.3"))])


def test_where_one_archive_fails_the_next_is_asked_and_a_failure_of_all_is_told(background):
    orthanc = Orthanc(
        there={"first": [STUDY_1], "second": [STUDY_1]}, moves={"first": OrthancRefused("broken"), "second": None}
    )
    assert from_archives(orthanc, background, [STUDY_1]) == ("", [("first", ("1.2",)), ("second", ("1.2",))])
    orthanc.moves["second"] = OrthancRefused("broken, too")
    assert from_archives(orthanc, background, [STUDY_1])[0] == "broken"


def test_cancel_while_an_archive_sends_is_honoured(background):
    orthanc = Orthanc([Job(0)], there={"first": [STUDY_1]}, moves={"first": "job"})
    with pytest.raises(Cancelled):
        from_archives(orthanc, background, cancel=lambda: bool(orthanc.calls))
    assert orthanc.cancelled == ["job"]
