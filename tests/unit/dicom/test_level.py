import pytest

from proxy.dicom.level import LEVELS, NAMED_BY, UNIQUE_KEYS, level_of


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("PATIENT", "PATIENT"),
        ("Patients", "PATIENT"),
        ("study ", "STUDY"),
        ("STUDIES", "STUDY"),
        ("series", "SERIES"),
        ("IMAGE", "IMAGE"),
        ("Instances", "IMAGE"),
        ("", None),
        ("WORKITEM", None),
    ],
)
def test_levels_are_read_as_tolerantly_as_orthanc_reads_them(text, level):
    assert level_of(text) == level


def test_every_level_has_a_unique_key_and_is_named_from_the_top():
    assert set(UNIQUE_KEYS) == set(NAMED_BY) == set(LEVELS)
    assert NAMED_BY["IMAGE"][:2] == NAMED_BY["SERIES"]
