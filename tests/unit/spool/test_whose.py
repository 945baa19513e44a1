"""Whose a spooled instance is, as far as it tells."""

from pathlib import Path

import pytest

from proxy.spool.names import Name
from proxy.spool.whose import Whose, whose
from tests.fakes.received import SERIES, STUDY, data_set, element, open_spool, service, store


def spooled(folder: Path, data: bytes) -> Path:
    """A file of a spool with that data set."""
    spool = open_spool(folder)
    assert store(service(spool), "1.2.3", data) == 0x0000
    return spool.path(Name(STUDY, SERIES, "1.2.3"))


def test_patient_and_study_are_read_in_their_own_characters(tmp_path: Path) -> None:
    plain = data_set("1.2.3")
    name = element(0x00100010, b"PN", b"Doe^Jane")
    at = plain.index(name)
    marked = (
        element(0x00080005, b"CS", b"ISO_IR 192")
        + plain[:at]
        + element(0x00100010, b"PN", "Jérôme^Zoë".encode())
        + element(0x00100020, b"LO", b"ID-1 ")
        + plain[at + len(name) :]
    )
    assert whose(spooled(tmp_path, marked)) == Whose("Jérôme^Zoë", "ID-1", "", "", "", "CT")


def test_what_lies_behind_large_elements_is_still_quick_to_find(tmp_path: Path) -> None:
    told = whose(spooled(tmp_path, data_set("1.2.3", pixels=bytes(4 << 20))))
    assert told.patient_name == "Doe^Jane"


def test_a_file_that_is_none_of_a_spool_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(b"nothing")
    with pytest.raises(ValueError):
        whose(tmp_path / "x.dcm")
