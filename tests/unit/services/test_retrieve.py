"""The loop that C-GET and C-MOVE share: counts, failures, cancel, heartbeats, reading ahead."""

import threading
import time

import pytest

from proxy.dicom.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from proxy.dicom.messages import Counts, Outgoing
from proxy.dicom.status import PENDING
from proxy.errors import DestinationUnreachable, InstanceGone, NoAcceptableContext, OrthancUnavailable, ReceiverLost
from proxy.services import readahead, retrieve
from proxy.services.retrieve import Batch, Retrieval, nothing_matched, too_many
from tests.unit.services.retrieving import CT, Instances, Receiver, located, lost, request

ALL = [f"1.2.{number}" for number in range(1000)]


def no_conversion(located, held, accepted):
    if held is not None:
        held.close()
    raise NoAcceptableContext("cannot be converted")


def run(instances, batches, asked, convert=no_conversion, heartbeat=5.0):
    retrieval = Retrieval(instances, convert, downloads=2, heartbeat=heartbeat)
    background = retrieval.background()
    try:
        yield from retrieval.run(asked, batches, background)
    finally:
        background.close()


def get(instances, receiver, count=3, **how):
    cancel = how.pop("cancel", lambda: False)
    asked = request(receiver=receiver, cancel=cancel)
    return asked, run(instances, [Batch([located(n) for n in range(count)], receiver)], asked, **how)


def move(instances, openings, count=3, **how):
    """`openings`: what each attempt to open the destination gives, or raises."""

    def open_receiver():
        opening = openings.pop(0)
        if isinstance(opening, Exception):
            raise opening
        return opening

    asked = request("C-MOVE")
    return asked, run(instances, [Batch([located(n) for n in range(count)], open=open_receiver)], asked, **how)


def final_of(responses):
    *pending, final = responses
    assert all(response.status in PENDING for response in pending)
    assert final.status not in PENDING
    return pending, final


def failed_uids(final) -> bytes:
    return final.identifier.encode(EXPLICIT_LITTLE)


@pytest.mark.parametrize("hot", [(), ALL, ALL[::2]])
def test_everything_is_sent_in_order_with_true_counts(hot):
    instances, receiver = Instances(hot), Receiver()
    asked, responses = get(instances, receiver, 40)
    pending, final = final_of(responses)
    assert receiver.received == ALL[:40]
    assert [p.counts for p in pending] == [Counts(39 - n, n + 1) for n in range(40)]
    assert (final.status, final.counts) == (0, Counts(None, 40))
    assert (asked.tally.cache_hits, asked.tally.cache_misses) == (
        len(set(hot) & set(ALL[:40])),
        40 - asked.tally.cache_hits,
    )
    assert asked.tally.bytes == 40 * 12
    assert instances.all_closed
    assert receiver.closed == 0


def test_what_is_hot_needs_no_thread():
    before = threading.active_count()
    instances, receiver = Instances(ALL), Receiver(on_begin=lambda: threads.append(threading.active_count()))
    threads: list[int] = []
    _, responses = get(instances, receiver, 50)
    final_of(responses)
    assert set(threads) == {before}


def test_a_thousand_hot_instances_cost_little():
    instances, receiver = Instances(ALL), Receiver()
    _, responses = get(instances, receiver, 1000)
    began = time.process_time()
    final_of(responses)
    assert time.process_time() - began < 0.5  # seconds; 6 ms were seen


@pytest.mark.parametrize(
    ("error", "comment"),
    [
        (InstanceGone("Orthanc has it no more"), "Orthanc has it no more"),
        (OrthancUnavailable("Orthanc is away"), "Orthanc is away"),
        (NoAcceptableContext("no way"), "no way"),
    ],
)
def test_what_goes_wrong_with_one_instance_fails_that_sub_operation_alone(error, comment):
    instances, receiver = Instances(errors={"1.2.1": error}), Receiver()
    _, responses = get(instances, receiver)
    _, final = final_of(responses)
    assert receiver.received == ["1.2.0", "1.2.2"]
    assert (final.status, final.counts, final.comment) == (0xB000, Counts(None, 2, 1), comment)
    assert b"1.2.1" in failed_uids(final)


def test_when_all_fail_the_status_says_so():
    _, responses = get(Instances(errors=dict.fromkeys(ALL, InstanceGone("gone"))), Receiver())
    _, final = final_of(responses)
    assert (final.status, final.counts) == (0xA702, Counts(None, 0, 3))


def test_a_failure_or_warning_of_the_receiver_is_counted():
    receiver = Receiver(statuses=[0xA700, 0xB007, 0])
    _, final = final_of(get(Instances(ALL), receiver)[1])
    assert (final.status, final.counts) == (0xB000, Counts(None, 1, 1, 1))
    assert final.comment == "the receiver answered A700"


def test_when_orthanc_stays_away_the_cold_rest_fails_at_once_and_the_hot_is_still_sent():
    instances = Instances([ALL[40]], errors=dict.fromkeys(ALL, OrthancUnavailable("away")))
    receiver = Receiver()
    _, final = final_of(get(instances, receiver, 50)[1])
    assert receiver.received == [ALL[40]]
    assert final.counts == Counts(None, 1, 49)
    assert len(instances.fetched) <= 4


def test_a_class_the_receiver_does_not_take_is_not_even_downloaded():
    instances = Instances()
    _, final = final_of(get(instances, Receiver(accepted={}))[1])
    assert (final.status, instances.fetched) == (0xA702, [])
    assert final.comment == "the receiver does not accept this SOP class"


@pytest.mark.parametrize("hot", [(), ALL])
def test_what_the_receiver_does_not_take_as_stored_is_converted_in_the_background(hot):
    here = threading.get_ident()
    elsewhere = []

    def convert(located, held, accepted):
        elsewhere.append(threading.get_ident() != here)
        held.close()
        return Outgoing(CT, located.sop_instance_uid, accepted[0], memoryview(b"converted"))

    instances, receiver = Instances(hot), Receiver({CT: [IMPLICIT_LITTLE]})
    asked, responses = get(instances, receiver, convert=convert)
    final_of(responses)
    assert receiver.received == ["converted"] * 3
    assert elsewhere == [True] * 3
    assert instances.all_closed
    assert asked.tally.bytes == 27


def test_a_data_set_of_odd_length_is_not_sent_as_it_is():
    def convert(located, held, accepted):
        assert (held.transfer_syntax, list(accepted)) == (EXPLICIT_LITTLE, [EXPLICIT_LITTLE])
        return Outgoing(CT, located.sop_instance_uid, EXPLICIT_LITTLE, memoryview(b"made even"), held.close)

    instances, receiver = Instances(ALL), Receiver()
    instances.length = 11
    final_of(get(instances, receiver, 1, convert=convert)[1])
    assert receiver.received == ["made even"]


def test_what_orthanc_has_to_transcode_is_not_downloaded_as_stored():
    jpeg = "1.2.840.10008.1.2.4.50"
    held_ones = []

    def convert(located, held, accepted):
        held_ones.append(held)
        return Outgoing(CT, located.sop_instance_uid, accepted[0], memoryview(b"decoded"))

    instances, receiver = Instances(), Receiver()
    asked = request(receiver=receiver)
    batch = Batch([located(0, transfer_syntax=jpeg)], receiver)
    _, final = final_of(run(instances, [batch], asked, convert=convert))
    assert (final.status, receiver.received, held_ones, instances.fetched) == (0, ["decoded"], [None], [])


def test_cancel_stops_before_the_next_sub_operation():
    receiver = Receiver()
    instances = Instances(ALL)
    _, responses = get(instances, receiver, 10, cancel=lambda: len(receiver.received) == 2)
    _, final = final_of(responses)
    assert (final.status, final.counts) == (0xFE00, Counts(8, 2))
    assert receiver.received == ["1.2.0", "1.2.1"]
    assert instances.all_closed


def test_cancel_is_seen_while_a_download_dawdles_and_its_result_is_given_back():
    gate = threading.Event()
    instances = Instances(slow={"1.2.0": gate})
    _, final = final_of(get(instances, Receiver(), 1, cancel=lambda: bool(instances.fetched))[1])
    assert (final.status, final.counts) == (0xFE00, Counts(1))
    gate.set()
    _until(lambda: len(instances.handed_out) == 1 and instances.all_closed)


def test_a_pending_goes_out_at_every_heartbeat_while_a_download_dawdles():
    gate = threading.Event()
    _, responses = get(Instances(slow={"1.2.0": gate}), Receiver(), 1, heartbeat=0.01)
    assert [next(responses).counts for _ in range(3)] == [Counts(1)] * 3
    gate.set()
    assert final_of(responses)[1].status == 0


def test_a_pending_goes_out_at_every_heartbeat_while_the_receiver_dawdles():
    receiver = Receiver(statuses=[None, None, 0])
    pending, _ = final_of(get(Instances(ALL), receiver, 1)[1])
    assert [p.counts for p in pending] == [Counts(1), Counts(1), Counts(0, 1)]


def test_a_requestor_that_is_gone_ends_its_c_get():
    instances = Instances(ALL)
    _, responses = get(instances, Receiver(statuses=[0, lost()]))
    with pytest.raises(ReceiverLost):
        list(responses)
    assert instances.all_closed


def test_nothing_stays_open_when_the_wire_stops_asking():
    instances, receiver = Instances(ALL[:5]), Receiver()
    _, responses = move(instances, [receiver], 30)
    next(responses)
    responses.close()
    _until(lambda: instances.all_closed)
    assert receiver.closed == 1


def test_downloads_run_ahead_of_sending_within_bounds():
    gates = {uid: threading.Event() for uid in ALL[:60]}
    instances = Instances(slow=gates)
    _, responses = get(instances, Receiver(), 60, heartbeat=0.01)
    next(responses)
    _until(lambda: instances.under_way == 2)
    for gate in gates.values():
        gate.set()
    final_of(responses)
    assert instances.most_under_way == 2


def test_the_window_is_bounded_in_number_and_bytes():
    for size, expected in ((2 << 20, 16), (1 << 30, 1)):
        instances, receiver = Instances(), Receiver()
        asked = request(receiver=receiver)
        batch = Batch([located(n, size=size) for n in range(40)], receiver)
        ahead = []
        receiver.on_begin = lambda: ahead.append(len(instances.handed_out) - len(receiver.received))
        final_of(run(instances, [batch], asked))
        assert max(ahead) <= expected + 1


def test_an_unreachable_destination_fails_everything():
    _, responses = move(Instances(), [DestinationUnreachable("connection refused")])
    _, final = final_of(responses)
    assert (final.status, final.counts, final.comment) == (0xA702, Counts(None, 0, 3), "connection refused")


def test_a_destination_that_is_lost_once_is_opened_again_and_gets_everything():
    first, second = Receiver(statuses=[0, lost()]), Receiver()
    _, final = final_of(move(Instances(ALL), [first, second])[1])
    assert (final.status, final.counts) == (0, Counts(None, 3))
    assert (first.received, second.received) == (["1.2.0", "1.2.1"], ["1.2.1", "1.2.2"])
    assert (first.closed, second.closed) == (1, 1)


def test_an_instance_that_makes_the_destination_go_away_twice_is_left_out():
    receivers = [Receiver(statuses=[lost()]), Receiver(statuses=[lost()]), Receiver()]
    _, final = final_of(move(Instances(ALL), list(receivers))[1])
    assert (final.status, final.counts) == (0xB000, Counts(None, 2, 1))
    assert receivers[2].received == ["1.2.1", "1.2.2"]


def test_a_destination_that_keeps_going_away_is_given_up():
    receivers = [Receiver(statuses=[lost()]) for _ in range(4)]
    instances = Instances(ALL)
    _, final = final_of(move(instances, list(receivers), 10)[1])
    assert (final.status, final.counts) == (0xA702, Counts(None, 0, 10))
    assert [receiver.closed for receiver in receivers] == [1, 1, 1, 0]
    assert instances.all_closed


def test_a_destination_that_does_not_come_back_fails_the_rest():
    receiver = Receiver(statuses=[0, lost()])
    openings = [receiver, DestinationUnreachable("connection refused")]
    _, final = final_of(move(Instances(ALL), openings)[1])
    assert (final.status, final.counts) == (0xB000, Counts(None, 1, 2))


def test_a_slow_destination_is_waited_for_with_heartbeats():
    gate = threading.Event()
    receiver = Receiver()

    def open_receiver():
        gate.wait(10)
        return receiver

    asked = request("C-MOVE")
    responses = run(Instances(ALL), [Batch([located(0)], open=open_receiver)], asked, heartbeat=0.01)
    assert next(responses).counts == Counts(1)
    gate.set()
    assert final_of(responses)[1].status == 0


def test_while_a_large_instance_is_written_to_a_slow_destination_heartbeats_go_out(monkeypatch):
    monkeypatch.setattr(retrieve, "_LONG", 4)
    gate = threading.Event()
    receiver = Receiver(on_begin=lambda: gate.wait(10))
    _, responses = move(Instances(ALL), [receiver], count=2, heartbeat=0.01)
    assert [next(responses).counts for _ in range(3)] == [Counts(2)] * 3
    assert receiver.received == []
    gate.set()
    assert final_of(responses)[1].counts == Counts(None, 2)
    assert receiver.received == ["1.2.0", "1.2.1"]


def test_a_data_set_is_not_given_back_while_it_is_still_written(monkeypatch):
    monkeypatch.setattr(retrieve, "_LONG", 4)
    gate, instances = threading.Event(), Instances(ALL)
    receiver = Receiver(on_begin=lambda: gate.wait(10))
    _, responses = move(instances, [receiver], heartbeat=0.01)
    next(responses)
    threading.Timer(0.05, gate.set).start()
    responses.close()
    assert receiver.received == ["1.2.0"]
    assert instances.all_closed
    assert receiver.closed == 1


def test_a_destination_that_is_lost_while_a_large_instance_is_written_is_opened_again(monkeypatch):
    monkeypatch.setattr(retrieve, "_LONG", 4)
    first, second = Receiver(on_begin=lambda: (_ for _ in ()).throw(lost())), Receiver()
    _, responses = move(Instances(ALL), [first, second], count=2)
    assert final_of(responses)[1].counts == Counts(None, 2)
    assert second.received == ["1.2.0", "1.2.1"]


def test_batches_have_one_association_each_and_one_count():
    receivers = [Receiver(), Receiver()]
    batches = [
        Batch([located(0), located(1)], open=lambda: receivers[0]),
        Batch([located(2)], open=lambda: receivers[1]),
    ]
    pending, _ = final_of(run(Instances(ALL), batches, request("C-MOVE")))
    assert [p.counts for p in pending] == [Counts(2, 1), Counts(1, 2), Counts(0, 3)]
    assert [receiver.received for receiver in receivers] == [["1.2.0", "1.2.1"], ["1.2.2"]]
    assert [receiver.closed for receiver in receivers] == [1, 1]


def test_nothing_matched_is_a_success_without_sub_operations():
    assert (nothing_matched().status, nothing_matched().counts) == (0, Counts(None))


def test_too_many_is_refused_with_both_numbers():
    assert too_many(12, 10).status == 0xA702
    assert too_many(12, 10).comment == "12 instances match, at most 10 can be asked for"


def _until(condition, seconds=5.0):
    """Wait for another thread; fails when it does not get there."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_small_instances_are_downloaded_by_the_thread_that_sends_them():
    instances, receiver = Instances(), Receiver()
    threads = set()
    fetch = instances.fetch
    instances.fetch = lambda *given: (threads.add(threading.current_thread()), fetch(*given))[1]
    batch = Batch([located(n, size=1000) for n in range(5)], receiver)
    _, final = final_of(run(instances, [batch], request(receiver=receiver)))
    assert final.counts == Counts(None, 5, 0, 0)
    assert threads == {threading.current_thread()}


def test_a_small_instance_that_is_slow_is_left_to_the_background(monkeypatch):
    monkeypatch.setattr(readahead, "_PATIENCE", 0.01)
    gate = threading.Event()
    instances, receiver = Instances(slow={"1.2.0": gate}), Receiver()
    batch = Batch([located(n, size=1000) for n in range(3)], receiver)
    responses = run(instances, [batch], request(receiver=receiver), heartbeat=0.02)
    assert next(responses).counts == Counts(3, 0, 0, 0), "a heartbeat while it is waited for"
    gate.set()
    _, final = final_of(responses)
    assert final.counts == Counts(None, 3, 0, 0)
    assert receiver.received == ["1.2.0", "1.2.1", "1.2.2"]


def _cold(count: int, **more) -> tuple[Instances, list]:
    instances = Instances(**more)
    instances.asks = True
    return instances, [located(n, size=1000) for n in range(count)]


def _asked_for(instances: Instances) -> list[str]:
    return [coming.located.sop_instance_uid for coming in instances.asked]


def test_orthanc_is_asked_for_the_next_small_instance_before_this_one_is_sent():
    instances, found = _cold(4)
    receiver = Receiver(on_begin=lambda: told.append((len(instances.fetched), len(instances.asked))))
    told: list[tuple[int, int]] = []
    _, final = final_of(run(instances, [Batch(found, receiver)], request(receiver=receiver)))
    assert final.counts == Counts(None, 4, 0, 0)
    assert receiver.received == instances.fetched == ["1.2.0", "1.2.1", "1.2.2", "1.2.3"]
    assert _asked_for(instances) == ["1.2.1", "1.2.2", "1.2.3"]
    assert [coming.closed for coming in instances.asked] == [1, 1, 1]
    assert all(asked >= min(fetched, 3) for fetched, asked in told)


def test_nothing_is_asked_for_while_everything_is_hot():
    instances, found = _cold(3, hot=["1.2.0", "1.2.1", "1.2.2"])
    final_of(run(instances, [Batch(found, receiver := Receiver())], request(receiver=receiver)))
    assert _asked_for(instances) == []


def test_what_was_asked_for_is_given_up_when_the_retrieve_ends_before_its_turn():
    instances, found = _cold(9)
    receiver = Receiver(statuses=[0, lost()])
    with pytest.raises(ReceiverLost):
        final_of(run(instances, [Batch(found, receiver)], request(receiver=receiver)))
    assert [coming.closed for coming in instances.asked] == [1] * len(instances.asked)
    assert instances.all_closed


def test_an_instance_that_was_asked_for_in_vain_is_fetched_in_the_background():
    instances, found = _cold(4, errors={"1.2.1": OrthancUnavailable("away")})
    _, final = final_of(run(instances, [Batch(found, receiver := Receiver())], request(receiver=receiver)))
    assert final.counts == Counts(None, 3, 1, 0)
    assert receiver.received == ["1.2.0", "1.2.2", "1.2.3"]
    assert _asked_for(instances) == ["1.2.1"], "Orthanc is not as quick as hoped"


def test_an_instance_that_cannot_be_sent_is_not_asked_for():
    instances, found = _cold(2)
    found.append(located(2, size=1000, sop_class_uid="1.2.3"))
    _, final = final_of(run(instances, [Batch(found, receiver := Receiver())], request(receiver=receiver)))
    assert final.counts == Counts(None, 2, 1, 0)
    assert _asked_for(instances) == ["1.2.1"]
