"""Copies of spooled instances as plain DICOM files; damage, and what else can go wrong, is in test_spool.py."""

from pathlib import Path

import pydicom

from proxy.cli.exporting import export
from proxy.spool.contents import Contents
from proxy.spool.deadletters import DeadLetters
from proxy.spool.names import Name
from tests.fakes.received import SERIES, STUDY, data_set, open_spool, service, store


def test_files_lie_by_study_and_series_and_none_is_left_half_written(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "storage")
    for uid in ("1.2.3", "1.2.4"):
        store(service(spool), uid)
    entries = list(Contents(spool).waiting())
    assert export(entries, tmp_path / "out") == (2, [])
    written = sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert [path.parent for path in written] == [Path(STUDY) / SERIES] * 2
    assert {str(pydicom.dcmread(tmp_path / "out" / path).SOPInstanceUID) for path in written} == {"1.2.3", "1.2.4"}


def test_two_instances_of_one_uid_are_two_files(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "storage")
    store(service(spool), "1.2.3")
    store(service(spool), "1.2.3", data_set("1.2.3", pixels=b"another."))
    assert export(list(Contents(spool).waiting()), tmp_path / "out") == (2, [])
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 2


def test_what_is_forwarded_meanwhile_is_told_and_the_others_are_copied(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "storage")
    for uid in ("1.2.3", "1.2.4"):
        store(service(spool), uid)
    entries = list(Contents(spool).waiting())
    entries[0].path.unlink()
    copied, words = export(entries, tmp_path / "out")
    assert copied == 1
    assert words == [f"{entries[0].id} has left the spool meanwhile"]


def test_a_dead_letter_without_uids_lies_by_its_id(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "storage")
    store(service(spool), "1.2.3")
    path = spool.path(Name(STUDY, SERIES, "1.2.3"))
    path.write_bytes(b"rubbish")
    DeadLetters(spool).bury_unreadable(Name(STUDY, SERIES, "1.2.3"), "unreadable")
    (entry,) = Contents(spool).dead()
    copied, words = export([entry], tmp_path / "out")
    assert (copied, len(words)) == (1, 1)
    assert (tmp_path / "out" / f"{entry.id}.dcm").read_bytes() == b"rubbish"
