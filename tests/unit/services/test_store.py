"""C-STORE: what is acknowledged, what is refused and with which status, and that refusals leave nothing behind."""

import errno
import os
import struct
from pathlib import Path

import pytest

from proxy.config import LimitsSettings
from proxy.errors import InvalidInstance, OrthancRefused, OrthancUnavailable, SpoolFull
from proxy.events import Event, Forwarded, Trouble
from proxy.journal import Journal
from proxy.spool.deadletters import DeadLetters
from proxy.spool.parcel import Parcel
from proxy.spool.progress import ProgressFiles
from proxy.spool.spool import Spool
from tests.fakes.received import SERIES, STUDY, FakeTarget, data_set, element, open_spool, request, service, store


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return open_spool(tmp_path)


def is_empty(spool: Spool) -> bool:
    parts = list((spool.root / ".incoming").iterdir())
    return not list(spool.names()) and not parts and spool.ledger.reserved() == (0, 0)


def nested(levels: int) -> bytes:
    data = b""
    for _ in range(levels):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data
        data = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, len(item)) + item
    return data


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (data_set("1.2.3", sop_class_uid="1.2.840.10008.5.1.4.1.1.4"), 0xA900),
        (data_set("1.2.4"), 0xA900),
        (data_set("1.2.3", study=None), 0xA900),
        (data_set("1.2.3", series=None), 0xA900),
        (data_set("1.2.3", study=""), 0xA900),
        (data_set("1.2.3", study="../../etc"), 0xA900),
        (data_set("1.2.3", series="."), 0xA900),
        (data_set("1.2.3", study="1" * 65), 0xA900),
        (data_set("1.2.3")[:-1], 0xC000),
        (data_set("1.2.3")[:100], 0xC000),
        (data_set("1.2.3") + b"\0" * 8, 0xC000),
        (b"", 0xA900),
        (b"noise" * 100, 0xC000),
        (data_set("1.2.3") + data_set("1.2.3"), 0xC000),
    ],
)
@pytest.mark.parametrize("step", [50, 100_000])
def test_what_is_not_the_announced_instance_is_refused_and_leaves_nothing(
    spool: Spool, data: bytes, status: int, step: int
) -> None:
    assert store(service(spool), "1.2.3", data, step) == status
    assert is_empty(spool)


@pytest.mark.parametrize("uid", ["../1.2", "/etc/passwd", "1" * 65, "", ".", "1.2\x00"])
def test_no_uid_of_a_command_reaches_the_file_system_unchecked(spool: Spool, uid: str) -> None:
    with pytest.raises(InvalidInstance):
        service(spool).receive(request(uid))
    assert is_empty(spool)


@pytest.mark.parametrize("modality", ["\1" * 16, '"' * 16, "\\" * 16, "\xff" * 40, ""])
def test_no_value_of_an_instance_is_too_much_for_its_envelope(spool: Spool, modality: str) -> None:
    study, series = "1." * 31 + "11", "2." * 31 + "22"
    data = data_set("1.2.3", study=study, series=series, modality=modality, pixels=bytes(300_000))
    assert store(service(spool), "1.2.3", data) == 0
    (name,) = spool.names()
    assert (name.study_instance_uid, len(spool.envelope(name).modality) <= 16) == (study, True)


def test_padding_of_uids_is_no_difference(spool: Spool) -> None:
    assert store(service(spool), "1.2.34") == 0
    assert [name.path for name in spool.names()] == [f"{STUDY}/{SERIES}/1.2.34.dcm"]


def test_what_nests_too_deep_is_refused_and_kept_as_dead_letter(spool: Spool) -> None:
    events: list[Event] = []
    deep = data_set("1.2.3", study=None, series=None)[:-20] + nested(40)
    deep = element(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.2") + nested(40)
    assert store(service(spool, journal=Journal(events.append)), "1.2.3", deep, step=64) == 0xC000
    (letter,) = DeadLetters(spool).list()
    assert DeadLetters(spool).path(letter).read_bytes().endswith(deep)
    assert not letter.retryable
    assert list(spool.names()) == []
    assert spool.ledger.reserved() == (0, 0)
    assert any(isinstance(event, Trouble) for event in events)


def test_an_instance_longer_than_allowed_is_refused_as_soon_as_that_is_known(spool: Spool) -> None:
    limits = LimitsSettings.model_validate({"instance": 1000})
    sink = service(spool, limits=limits).receive(request("1.2.3"))
    sink.write(memoryview(bytes(2000)))
    assert is_empty(spool)
    sink.write(memoryview(bytes(2000)))
    assert sink.finish().status == 0xA700


@pytest.mark.parametrize("failing", ["write", "fdatasync", "rename", "fsync", "open"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_fails_is_a700_and_the_next_instance_gets_in(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, failing: str, code: int
) -> None:
    assert store(service(spool), "1.2.1") == 0

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, failing, fail)
        status = store(service(spool), "1.2.3", data_set("1.2.3", pixels=bytes(200_000)))
    assert status == 0xA700
    assert list((spool.root / ".incoming").iterdir()) == []
    assert spool.ledger.reserved() == (0, 0)
    assert store(service(spool), "1.2.4") == 0


def test_a_spool_whose_folder_is_gone_is_a700_with_the_reason_for_the_administrator(spool: Spool) -> None:
    events: list[Event] = []
    (spool.root / ".incoming").rmdir()
    with pytest.raises(SpoolFull, match="cannot be written"):
        service(spool, journal=Journal(events.append)).receive(request("1.2.3"))
    assert spool.ledger.reserved() == (0, 0)
    assert [event.what for event in events if isinstance(event, Trouble)] == [
        "the spool cannot be written: No such file or directory"
    ]


def test_memory_of_an_arriving_instance_is_bounded(spool: Spool) -> None:
    sink = service(spool).receive(request("1.2.3"))
    head = data_set("1.2.3")[:-8]
    sink.write(memoryview(head[:-4] + struct.pack("<I", 64 << 20)))
    largest = 0
    for _ in range(64 << 4):
        sink.write(memoryview(bytes(64 << 10)))
        largest = max(largest, len(sink._incoming._buffer))
    assert sink.finish().status == 0
    assert largest <= 128 << 10


# ---- store_mode = "through"


def unavailable(_: Parcel) -> None:
    raise OrthancUnavailable("connection refused")


def refuse(_: Parcel) -> None:
    raise OrthancRefused("bad file format", 400, 15)


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_through_answers_when_every_target_has_it_and_leaves_nothing(spool: Spool, size: int) -> None:
    targets = [FakeTarget("one"), FakeTarget("two")]
    through = service(spool, *targets, store_mode="through", forward_to=["one", "two"])
    data = data_set("1.2.3", pixels=bytes(size))
    assert store(through, "1.2.3", data) == 0
    assert [target.got for target in targets] == [[("1.2.3", data)]] * 2
    assert is_empty(spool)
    assert spool.ledger.count == 0


def test_through_without_orthanc_refuses(spool: Spool) -> None:
    events: list[Event] = []
    through = service(spool, FakeTarget(behave=unavailable), store_mode="through", journal=Journal(events.append))
    assert store(through, "1.2.3") == 0xA700
    assert is_empty(spool)
    assert [event.outcome for event in events if isinstance(event, Forwarded)] == ["retry"]


def test_through_without_orthanc_spools_where_it_may_and_remembers_who_has_it(spool: Spool) -> None:
    targets = FakeTarget("one"), FakeTarget("two", unavailable)
    through = service(spool, *targets, store_mode="through", through_fallback="spool", forward_to=["one", "two"])
    assert store(through, "1.2.3") == 0
    (name,) = spool.names()
    progress = ProgressFiles(spool.root / ".state").read(spool.envelope(name).id)
    assert progress.left(("one", "two")) == ("two",)


@pytest.mark.parametrize("fallback", ["refuse", "spool"])
def test_through_tells_the_sender_what_orthanc_refuses_for_good(spool: Spool, fallback: str) -> None:
    through = service(spool, FakeTarget(behave=refuse), store_mode="through", through_fallback=fallback)
    assert store(through, "1.2.3") == 0xC010
    assert is_empty(spool)


@pytest.mark.parametrize(("fallback", "status", "waiting"), [("spool", 0x0000, 2), ("refuse", 0xA700, 1)])
def test_through_never_overtakes_an_earlier_instance_of_that_uid(
    spool: Spool, fallback: str, status: int, waiting: int
) -> None:
    away = service(spool, FakeTarget(behave=unavailable), store_mode="through", through_fallback="spool")
    assert store(away, "1.2.3") == 0
    target = FakeTarget()
    back = service(spool, target, store_mode="through", through_fallback=fallback)
    assert store(back, "1.2.3", data_set("1.2.3", pixels=b"newer...")) == status
    assert target.got == []
    assert len(list(spool.names())) == waiting
    assert store(back, "1.2.4") == 0, "others pass"
    assert len(target.got) == 1
