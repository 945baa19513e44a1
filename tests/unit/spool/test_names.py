"""UIDs become names only when they are harmless, and names are unambiguous."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.spool.names import Name, is_safe_uid, numbers_of, parse_file, parse_path


@pytest.mark.parametrize(
    "uid", ["", ".", "..", "../1", "1/2", ".1", "1\0", "1\n", "a.1", "1.2 ", "1" * 65, "1\\2", "٣.1", "-1", "_1"]
)
def test_what_is_no_uid_never_becomes_a_name(uid: str) -> None:
    assert not is_safe_uid(uid)
    assert parse_path(f"{uid}/1.2/1.3.dcm") is None
    assert parse_path(f"1.2/1.3/{uid}.dcm") is None


@pytest.mark.parametrize("uid", ["1", "1.2.840.10008.1.2", "0.0.01", "1" * 64, "2.25.1."])
def test_odd_but_harmless_uids_pass(uid: str) -> None:
    assert is_safe_uid(uid)


_UID = st.from_regex(r"[0-9][0-9.]{0,63}", fullmatch=True)


@given(_UID, _UID, _UID, st.integers(1, 999_999_999))
def test_a_path_says_exactly_one_name(study: str, series: str, sop: str, number: int) -> None:
    name = Name(study, series, sop, number)
    assert parse_path(name.path) == name


def test_another_instance_of_a_uid_is_not_taken_for_a_longer_uid() -> None:
    second, longer = Name("1", "2", "3.4", 2), Name("1", "2", "3.4.2")
    assert second.file != longer.file
    assert list(numbers_of("3.4", [second.file, longer.file, "3.4.dcm", "3.4_7.dcm"])) == [2, 1, 7]


@pytest.mark.parametrize("file", ["1.2.dcm.part", "1.2_1.dcm", "1.2_0.dcm", "1.2_x.dcm", "x.dcm", ".dcm", "1.2.DCM"])
def test_foreign_files_are_not_ours(file: str) -> None:
    assert parse_file(file) is None
