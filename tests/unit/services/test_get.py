"""C-GET from its identifier to its final response."""

import threading

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from proxy.config import LimitsSettings
from proxy.dicom.messages import Counts
from proxy.errors import InvalidIdentifier, OrthancUnavailable
from proxy.services.get import GetService
from proxy.services.retrieve import Retrieval
from tests.unit.services.retrieving import Instances, Receiver, located, request


def identifier(**keys) -> bytes:
    dataset, out = Dataset(), DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, False
    for keyword, value in keys.items():
        setattr(dataset, keyword, value)
    write_dataset(out, dataset)
    return out.getvalue()


STUDY = identifier(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2")


def service(locate, heartbeat=5.0, **limits) -> GetService:
    retrieval = Retrieval(Instances(["1.2.0", "1.2.1"]), lambda *_: None, heartbeat=heartbeat)
    return GetService(LimitsSettings(**limits), locate, retrieval)


def asked(receiver=None, data=STUDY, **more):
    asked = request(receiver=receiver or Receiver(), **more)
    object.__setattr__(asked, "identifier", data)
    return asked


def test_what_is_located_goes_to_the_requestor():
    receiver, seen = Receiver(), []

    def locate(keys):
        seen.append(keys)
        return [located(0), located(1)]

    this = asked(receiver)
    *_, final = service(locate).answer(this)
    assert (final.status, final.counts) == (0, Counts(None, 2))
    assert receiver.received == ["1.2.0", "1.2.1"]
    assert this.tally.level == seen[0].level == "STUDY"
    assert seen[0].values[0x0020000D] == ("1.2",)


def test_nothing_matched_is_a_success_with_no_sub_operation():
    (final,) = service(lambda _: []).answer(asked())
    assert (final.status, final.counts) == (0, Counts(None))


def test_an_illegal_identifier_is_refused_before_anything_is_asked():
    def locate(_):
        raise AssertionError

    with pytest.raises(InvalidIdentifier):
        list(service(locate).answer(asked(data=identifier(QueryRetrieveLevel="STUDY", StudyInstanceUID=""))))


def test_orthanc_away_while_locating_is_for_the_border_to_tell():
    def locate(_):
        raise OrthancUnavailable("away")

    with pytest.raises(OrthancUnavailable):
        list(service(locate).answer(asked()))


def test_more_than_the_limit_is_refused_with_both_numbers():
    (final,) = service(lambda _: [located(n) for n in range(3)], suboperations=2).answer(asked())
    assert (final.status, final.comment) == (0xA702, "3 instances match, at most 2 can be asked for")


def test_while_orthanc_searches_a_pending_goes_out_at_every_heartbeat():
    gate = threading.Event()

    def locate(_):
        gate.wait(10)
        return []

    responses = service(locate, heartbeat=0.01).answer(asked())
    assert [next(responses).counts for _ in range(2)] == [Counts(1)] * 2
    gate.set()
    *_, final = responses
    assert final.status == 0


def test_cancel_while_orthanc_searches_is_honoured():
    gate = threading.Event()
    (final,) = service(lambda _: gate.wait(10) and [], heartbeat=0.01).answer(asked(cancel=lambda: True))
    gate.set()
    assert final.status == 0xFE00
