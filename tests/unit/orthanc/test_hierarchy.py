"""What was located, named from its level up to the study."""

import pytest

from proxy.dicom.messages import Located
from proxy.orthanc.hierarchy import unique_keys

_SERIES = {
    "s1": {"ID": "s1", "ParentStudy": "t1", "MainDicomTags": {"SeriesInstanceUID": "1.1"}},
    "s2": {"ID": "s2", "ParentStudy": "t1", "MainDicomTags": {"SeriesInstanceUID": "1.2"}},
}
_STUDIES = {"t1": {"ID": "t1", "ParentPatient": "p1", "MainDicomTags": {"StudyInstanceUID": "1"}}}
_PATIENTS = {"p1": {"ID": "p1", "MainDicomTags": {"PatientID": "P"}}}


class Client:
    """Holds one patient with one study of two series."""

    def bulk_content(self, body):
        held = {"Series": _SERIES, "Study": _STUDIES, "Patient": _PATIENTS}[body["Level"]]
        return [held[resource] for resource in body["Resources"] if resource in held]


def located(number: int, series: str) -> Located:
    return Located(f"i{number}", f"f{number}", series, f"1.0.{number}")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("PATIENT", [{"PatientID": "P"}]),
        ("STUDY", [{"StudyInstanceUID": "1"}]),
        (
            "SERIES",
            [
                {"StudyInstanceUID": "1", "SeriesInstanceUID": "1.1"},
                {"StudyInstanceUID": "1", "SeriesInstanceUID": "1.2"},
            ],
        ),
    ],
)
def test_each_is_named_once_with_all_that_is_above_it(level, expected):
    found = unique_keys(Client(), level, [located(1, "s1"), located(2, "s1"), located(3, "s2")])
    assert found == expected


def test_images_are_named_within_their_series_and_study():
    (found,) = unique_keys(Client(), "IMAGE", [located(1, "s2")])
    assert found == {"StudyInstanceUID": "1", "SeriesInstanceUID": "1.2", "SOPInstanceUID": "1.0.1"}


def test_what_was_deleted_meanwhile_is_left_out():
    assert unique_keys(Client(), "SERIES", [located(1, "gone")]) == []
