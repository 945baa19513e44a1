"""C-MOVE: destination, contexts, originator, strategies and archives."""

from dataclasses import dataclass, field

import pytest

from proxy.config import Destination, LimitsSettings, Pipeline
from proxy.dicom.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from proxy.dicom.messages import Counts, Located, Response
from proxy.errors import DestinationUnreachable, InstanceGone, OrthancUnavailable, UnknownDestination
from proxy.services.destinations import Destinations
from proxy.services.move import MoveService
from proxy.services.retrieve import Retrieval
from tests.unit.services.retrieving import CT, Instances, Receiver, located, request
from tests.unit.services.test_destinations import Modality
from tests.unit.services.test_get import identifier

MR, JPEG = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.1.2.4.50"
STUDY = identifier(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2")
TWO_STUDIES = identifier(QueryRetrieveLevel="STUDY", StudyInstanceUID=["1.2", "1.3"], PatientID="P")


@dataclass
class Delegation:
    """Records what is delegated; archives fail with `failure`, "" = they do not."""

    failure: str = ""
    calls: list = field(default_factory=list)

    def store(self, asked, modality, instances, background):
        self.calls.append(("store", modality, [i.instance_id for i in instances]))
        return iter([Response(0)])

    def move(self, asked, modality, level, resources, instances, background):
        self.calls.append(("move", modality, level, resources, len(instances)))
        return iter([Response(0)])

    def from_archives(self, asked, archives, level, resources, background):
        self.calls.append(("archives", list(archives), level, resources))
        yield from ()
        return self.failure


@dataclass
class World:
    """A move service with everything around it: what is located by study, and the destination's associations."""

    held: dict = field(default_factory=lambda: {"1.2": [located(0), located(1)]})
    receivers: list = field(default_factory=lambda: [Receiver()])
    instances: Instances = field(default_factory=lambda: Instances([f"1.2.{n}" for n in range(500)]))
    delegation: Delegation = field(default_factory=Delegation)
    opened: list = field(default_factory=list)

    def locate(self, keys) -> list[Located]:
        held = [instance for uid in keys.values[0x0020000D] for instance in self.held.get(uid, [])]
        wanted = keys.values.get(0x00080018)
        return [instance for instance in held if wanted is None or instance.sop_instance_uid in wanted]

    def open_receiver(self, destination, *, calling_aet, contexts, originator):
        self.opened.append((destination.host, calling_aet, contexts, originator))
        receiver = self.receivers[len(self.opened) - 1]
        if isinstance(receiver, Exception):
            raise receiver
        return receiver

    def answer(self, data=STUDY, destination="DEST", limits=None, **settings):
        pipeline = Pipeline(aet="PROXY", **settings)
        destinations = Destinations(
            {"dest": Destination(aet="DEST", host="10.0.0.1")}, lambda: {"ws": Modality("WS", "10.0.0.2")}
        )
        retrieval = Retrieval(self.instances, lambda *_: None)
        service = MoveService(
            pipeline,
            limits or LimitsSettings(),
            self.locate,
            retrieval,
            destinations,
            self.open_receiver,
            self.delegation,
            lambda: "self",
            lambda level, found: [{level: instance.sop_instance_uid} for instance in found],
        )
        asked = request("C-MOVE", move_destination=destination)
        object.__setattr__(asked, "identifier", data)
        return list(service.answer(asked))[-1]


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_located_goes_to_the_destination_with_the_requestor_as_originator(world):
    final = world.answer()
    assert (final.status, final.counts) == (0, Counts(None, 2))
    assert world.receivers[0].received == ["1.2.0", "1.2.1"]
    assert world.receivers[0].closed == 1
    contexts = [(CT, [EXPLICIT_LITTLE]), (CT, [IMPLICIT_LITTLE])]
    assert world.opened == [("10.0.0.1", "PROXY", contexts, ("WS1", 5))]


def test_an_unknown_destination_is_for_the_border_to_tell(world):
    with pytest.raises(UnknownDestination):
        world.answer(destination="NOWHERE")


def test_an_unreachable_destination_fails_everything_and_says_why(world):
    world.receivers = [DestinationUnreachable("DEST: connection refused")]
    final = world.answer()
    assert (final.status, final.counts, final.comment) == (0xA702, Counts(None, 0, 2), "DEST: connection refused")


def test_nothing_matched_opens_no_association(world):
    world.held = {}
    final = world.answer()
    assert (final.status, final.counts, world.opened) == (0, Counts(None), [])


def test_more_than_the_limit_is_refused(world):
    assert world.answer(limits=LimitsSettings(suboperations=1)).status == 0xA702
    assert world.opened == []


def test_what_does_not_fit_one_association_goes_on_a_second_one(world):
    classes = [f"1.2.840.{number}" for number in range(100)]
    world.held = {"1.2": [located(n, sop_class_uid=sop_class) for n, sop_class in enumerate(classes)]}
    world.receivers = [Receiver({sop_class: [EXPLICIT_LITTLE] for sop_class in classes}) for _ in range(2)]
    final = world.answer()
    assert (final.status, final.counts) == (0, Counts(None, 100))
    assert [len(opened[2]) for opened in world.opened] == [128, 72]
    assert [len(receiver.received) for receiver in world.receivers] == [64, 36]


def test_what_the_listing_does_not_tell_is_read_from_the_instance(world):
    world.held = {"1.2": [located(0, sop_class_uid="", transfer_syntax="")]}
    assert world.answer().status == 0
    assert world.opened[0][2][0] == (CT, [EXPLICIT_LITTLE])
    assert world.instances.all_closed


def test_an_instance_nobody_can_describe_fails_alone_or_all_fail(world):
    unknown = located(7, sop_class_uid="", transfer_syntax="")
    world.instances = Instances(["1.2.0"], errors={"1.2.7": InstanceGone("gone")})
    world.held = {"1.2": [unknown, located(0)]}
    assert world.answer().counts == Counts(None, 1, 1)
    world.held = {"1.2": [unknown]}
    assert world.answer().status == 0xA702


def test_orthanc_store_is_given_the_located_instances(world):
    assert world.answer(move_strategy="orthanc-store", destination="ws").status == 0
    assert world.delegation.calls == [("store", "ws", ["id0", "id1"])]
    assert world.opened == []


def test_orthanc_move_is_given_what_was_located(world):
    world.held["1.3"] = [located(2)]
    assert world.answer(TWO_STUDIES, move_strategy="orthanc-move", destination="WS").status == 0
    resources = [{"STUDY": f"1.2.{number}"} for number in range(3)]
    assert world.delegation.calls == [("move", "self", "STUDY", resources, 3)]


@pytest.mark.parametrize("strategy", ["orthanc-store", "orthanc-move"])
def test_where_orthanc_sends_it_must_know_the_destination(world, strategy):
    with pytest.raises(UnknownDestination):
        world.answer(move_strategy=strategy, destination="DEST")


def test_what_orthanc_does_not_hold_is_asked_from_the_archives(world):
    world.held = {}
    final = world.answer(archives=["old", "older"])
    assert world.delegation.calls == [("archives", ["old", "older"], "STUDY", [{"StudyInstanceUID": "1.2"}])]
    assert (final.status, final.counts) == (0, Counts(None))


def test_what_orthanc_holds_is_not_asked_from_the_archives(world):
    assert world.answer(archives=["old"]).status == 0
    assert world.delegation.calls == []


def test_of_a_list_the_archives_are_asked_for_what_orthanc_does_not_hold(world):
    final = world.answer(TWO_STUDIES, archives=["old"])
    ((_, _, _, resources),) = world.delegation.calls
    assert resources == [{"PatientID": "P", "StudyInstanceUID": "1.3"}]
    assert (final.status, final.counts) == (0, Counts(None, 2))


def test_of_a_list_of_images_the_unknown_ones_are_told_without_asking_again(world):
    data = identifier(
        QueryRetrieveLevel="IMAGE",
        StudyInstanceUID="1.2",
        SeriesInstanceUID="1.2.9",
        SOPInstanceUID=["1.2.0", "1.2.77"],
    )
    final = world.answer(data, archives=["old"])
    ((_, _, level, resources),) = world.delegation.calls
    assert level == "IMAGE"
    assert [resource["SOPInstanceUID"] for resource in resources] == ["1.2.77"]
    assert final.counts == Counts(None, 1)


@pytest.mark.parametrize(
    ("held", "status", "counts"), [({}, 0xA702, Counts(None)), ({"1.2": [located(0)]}, 0xB000, Counts(None, 1))]
)
def test_an_archive_that_fails_is_told_in_the_final_response(world, held, status, counts):
    world.held = held
    world.delegation.failure = "the archive failed"
    final = world.answer(TWO_STUDIES, archives=["old"])
    assert (final.status, final.comment, final.counts) == (status, "the archive failed", counts)


def test_an_accession_number_may_stand_for_the_study(world):
    data = identifier(QueryRetrieveLevel="STUDY", StudyInstanceUID="", AccessionNumber="A7")
    world.locate = lambda keys: []
    world.answer(data, archives=["old"])
    assert world.delegation.calls[0][3] == [{"AccessionNumber": "A7"}]


def test_orthanc_away_while_locating_is_for_the_border_to_tell(world):
    def away(keys):
        raise OrthancUnavailable("away")

    world.locate = away
    with pytest.raises(OrthancUnavailable):
        world.answer()
