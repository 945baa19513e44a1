"""What is handed to a target is what was received, and which refusals are final."""

import os
from pathlib import Path

import pytest

from proxy.dicom.part10 import read_meta
from proxy.errors import (
    DestinationUnreachable,
    InstanceGone,
    OrthancRefused,
    OrthancUnavailable,
    ReceiverLost,
)
from proxy.spool.names import Name
from proxy.spool.parcel import Damaged, NotForThisTarget, is_final, mapped, opened
from tests.fakes.received import CT, EXPLICIT, SERIES, STUDY, data_set, open_spool, service, store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A waiting instance."""
    spool = open_spool(tmp_path)
    store(service(spool), "1.2.3", data_set("1.2.3", pixels=os.urandom(50_000)))
    return spool.path(Name(STUDY, SERIES, "1.2.3"))


def test_targets_get_a_plain_file_without_what_we_know_of_its_sender(path: Path) -> None:
    with opened(path) as parcel:
        file = parcel.head + bytes(parcel.data)
        meta = read_meta(memoryview(file))
        assert (meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax) == (CT, "1.2.3", EXPLICIT)
        assert file[meta.dataset_offset :] == path.read_bytes()[-len(parcel.data) :]
        assert b"CT_1" not in parcel.head
        assert b"10.1.2.3" not in parcel.head


def test_a_flipped_bit_anywhere_in_the_data_set_is_noticed(path: Path) -> None:
    sound = path.read_bytes()
    with opened(path) as parcel:
        begins = len(sound) - len(parcel.data)
    for position in (*range(begins, begins + 300), *range(begins + 300, len(sound), 997), len(sound) - 1):
        damaged = bytearray(sound)
        damaged[position] ^= 0x20
        path.write_bytes(damaged)
        with pytest.raises(Damaged), opened(path):
            pass


def test_a_disk_that_fails_while_it_is_read_is_an_error_and_not_the_end_of_the_process(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mapped file would send SIGBUS. So what cannot be read must show before it is mapped."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was mapped before it was read")

    monkeypatch.setattr("proxy.spool.parcel.mapped", never)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Damaged), opened(path):
        pass


def test_a_mapping_that_somebody_still_holds_a_part_of_can_be_left(path: Path) -> None:
    with path.open("rb") as file, mapped(file.fileno(), 100) as data:
        kept = data[:10]
    assert bytes(kept) == path.read_bytes()[100:110]


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (OrthancRefused("bad file", 400, 15), True),
        (OrthancRefused("bad file", 500, 15), True),
        (OrthancRefused("missing tag", 404, 21), True),
        (OrthancRefused("too large", 413), True),
        (OrthancRefused("not DICOM", 415), True),
        (NotForThisTarget("no"), True),
        (OrthancRefused("no such route", 404), False),
        (OrthancRefused("wrong password", 401), False),
        (OrthancRefused("forbidden", 403), False),
        (OrthancRefused("read-only", 405), False),
        (OrthancRefused("nonsense", 0), False),
        (OrthancUnavailable("HTTP 507"), False),
        (InstanceGone("gone"), False),
        (DestinationUnreachable("away"), False),
        (ReceiverLost("gone"), False),
        (ValueError("a bug"), False),
    ],
    ids=str,
)
def test_only_what_no_setting_and_no_time_can_mend_is_final(error: Exception, final: bool) -> None:
    assert is_final(error) is final
