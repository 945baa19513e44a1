"""From bytes to keys: what is legal, what each key means, and which element is wrong where it is not."""

from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from proxy.config import LimitsSettings
from proxy.dicom.charset import charset_of
from proxy.dicom.identifier import FindKeys, Key, RetrieveKeys, find_keys, retrieve_keys, vr_of
from proxy.errors import InvalidIdentifier, UnreadableIdentifier

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
LIMITS = LimitsSettings()
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value")  # pydicom sees that some are not legal
PATIENT_ID, STUDY, SERIES, IMAGE = 0x00100020, 0x0020000D, 0x0020000E, 0x00080018
LEVEL, ACCESSION, STUDY_DATE = 0x00080052, 0x00080050, 0x00080020


def encoded(syntax: str = EXPLICIT, **elements: Any) -> bytes:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    target = DicomBytesIO()
    target.is_implicit_VR, target.is_little_endian = syntax == IMPLICIT, syntax != BIG
    write_dataset(target, dataset)
    return target.getvalue()


def find(syntax: str = EXPLICIT, limits: LimitsSettings = LIMITS, **elements: Any) -> FindKeys:
    return find_keys(encoded(syntax, **elements), syntax, limits, charset_of(["ISO_IR 100"]))


def retrieve(syntax: str = EXPLICIT, limits: LimitsSettings = LIMITS, **elements: Any) -> RetrieveKeys:
    return retrieve_keys(encoded(syntax, **elements), syntax, limits)


def offending(do: Any, **elements: Any) -> tuple[int, ...]:
    """The tags that an identifier is refused for."""
    with pytest.raises(InvalidIdentifier) as caught:
        do(**elements)
    return caught.value.offending_tags


# ---- C-FIND


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
def test_keys_are_the_same_in_every_encoding_and_in_order(syntax: str) -> None:
    keys = find(
        syntax, QueryRetrieveLevel="STUDY", PatientName="Doe^J*", StudyDate="20260101-", StudyInstanceUID="", Rows=1
    )
    assert (keys.level, keys.spelled_level) == ("STUDY", "STUDY")
    assert keys.keys == (
        Key(STUDY_DATE, "DA", ("20260101-",)),
        Key(0x00100010, "PN", ("Doe^J*",)),
        Key(STUDY, "UI"),
        Key(0x00280010, "US"),
    )


@pytest.mark.parametrize(
    ("elements", "level"),
    [
        ({"QueryRetrieveLevel": "series", "StudyInstanceUID": "1"}, "SERIES"),
        ({"QueryRetrieveLevel": "INSTANCE"}, "IMAGE"),
        ({"PatientID": ""}, "PATIENT"),
        ({"PatientID": "", "StudyInstanceUID": "*"}, "STUDY"),
        ({"StudyInstanceUID": "1", "SeriesInstanceUID": ""}, "SERIES"),
    ],
)
def test_a_level_is_as_spelled_or_the_lowest_whose_unique_key_is_there(elements: dict[str, str], level: str) -> None:
    assert find(**elements).level == level


@pytest.mark.parametrize("elements", [{}, {"PatientName": "Doe"}, {"QueryRetrieveLevel": "WORKLIST"}])
def test_without_a_level_nothing_is_asked(elements: dict[str, str]) -> None:
    assert offending(find, **elements) == (LEVEL,)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("StudyInstanceUID", "*"), ("StudyDate", "*"), ("StudyDate", "-"), ("PatientName", "**"), ("Modality", "")],
)
def test_what_means_any_value_is_a_universal_key(keyword: str, value: str) -> None:
    (key,) = find(QueryRetrieveLevel="STUDY", **{keyword: value}).keys
    assert key.values == ()


@pytest.mark.parametrize(
    ("keyword", "value", "tag"),
    [
        ("StudyInstanceUID", "1.2.*", STUDY),
        ("StudyDate", "2026*", STUDY_DATE),
        ("StudyTime", "10??", 0x00080030),
    ],
)
def test_wildcards_where_there_are_none_are_refused_with_their_element(keyword: str, value: str, tag: int) -> None:
    assert offending(find, QueryRetrieveLevel="STUDY", **{keyword: value}) == (tag,)


def test_a_list_is_a_list_and_a_text_with_a_backslash_is_not() -> None:
    keys = find(QueryRetrieveLevel="STUDY", StudyInstanceUID=["1.2", "1.3"], StudyDescription="Head")
    assert {key.tag: key.values for key in keys.keys} == {0x00081030: ("Head",), STUDY: ("1.2", "1.3")}


def test_a_sequence_has_the_keys_of_its_one_item() -> None:
    item = Dataset()
    item.ScheduledProcedureStepID = "7"
    item.CodeValue = ""
    (key,) = find(QueryRetrieveLevel="STUDY", RequestAttributesSequence=Sequence([item])).keys
    assert (key.vr, key.items) == ("SQ", (Key(0x00080100, "SH"), Key(0x00400009, "SH", ("7",))))
    assert find(QueryRetrieveLevel="STUDY", RequestAttributesSequence=Sequence([])).keys[0].items == ()
    two = Sequence([Dataset(), Dataset()])
    assert offending(find, QueryRetrieveLevel="STUDY", RequestAttributesSequence=two) == (0x00400275,)


@pytest.mark.parametrize(
    ("terms", "raw"), [("ISO_IR 100", b"M\xfcller"), ("ISO_IR 192", "Müller".encode()), (None, b"M\xfcller")]
)
def test_values_are_read_in_the_identifiers_own_repertoire_or_the_default(terms: str | None, raw: bytes) -> None:
    dataset = Dataset()
    if terms:
        dataset.SpecificCharacterSet = terms
    dataset.QueryRetrieveLevel = "STUDY"
    dataset.add_new(0x00081030, "LO", raw + b" " * (len(raw) % 2))
    target = DicomBytesIO()
    target.is_implicit_VR, target.is_little_endian = False, True
    write_dataset(target, dataset)
    keys = find_keys(target.getvalue(), EXPLICIT, LIMITS, charset_of(["ISO_IR 100"]))
    assert keys.keys == (Key(0x00081030, "LO", ("Müller",)),)


# ---- C-GET and C-MOVE


def test_the_unique_keys_down_to_the_level_are_what_is_retrieved() -> None:
    keys = retrieve(
        QueryRetrieveLevel="SERIES", PatientID="P", StudyInstanceUID="1.2", SeriesInstanceUID=["1.2.1", "1.2.2"]
    )
    assert keys.level == "SERIES"
    assert dict(keys.values) == {PATIENT_ID: ("P",), STUDY: ("1.2",), SERIES: ("1.2.1", "1.2.2")}


def test_a_key_below_the_level_takes_nothing_away() -> None:
    assert dict(retrieve(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2", SOPInstanceUID="").values) == {
        STUDY: ("1.2",)
    }


@pytest.mark.parametrize(
    ("elements", "level"),
    [
        ({"StudyInstanceUID": "1.2"}, "STUDY"),
        ({"StudyInstanceUID": "1.2", "SOPInstanceUID": "1.2.3"}, "IMAGE"),
        ({"PatientID": "P", "StudyInstanceUID": ""}, "PATIENT"),
    ],
)
def test_without_a_level_the_most_specific_unique_key_tells_it(elements: dict[str, str], level: str) -> None:
    assert retrieve(**elements).level == level


@pytest.mark.parametrize(
    ("elements", "tag"),
    [
        ({"QueryRetrieveLevel": "STUDY"}, STUDY),
        ({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": ""}, STUDY),
        ({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "*"}, STUDY),
        ({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": ["1.2", "1.?"]}, STUDY),
        ({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "../../etc"}, STUDY),
        ({"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": "1.2"}, SERIES),
        ({"QueryRetrieveLevel": "IMAGE", "SOPInstanceUID": ""}, IMAGE),
        ({"QueryRetrieveLevel": "PATIENT", "PatientID": "*"}, PATIENT_ID),
        ({"QueryRetrieveLevel": "PATIENT", "StudyInstanceUID": "1.2"}, PATIENT_ID),
        ({"QueryRetrieveLevel": "NONE", "StudyInstanceUID": "1.2"}, LEVEL),
        ({}, LEVEL),
        ({"QueryRetrieveLevel": "PATIENT", "PatientID": ["", "CT-1"]}, PATIENT_ID),
    ],
)
def test_nothing_that_could_mean_everything_is_retrieved(elements: dict[str, Any], tag: int) -> None:
    assert offending(retrieve, **elements) == (tag,)


def test_an_accession_number_may_stand_for_the_study() -> None:
    assert dict(retrieve(QueryRetrieveLevel="STUDY", AccessionNumber="A1").values) == {ACCESSION: ("A1",)}
    assert offending(retrieve, QueryRetrieveLevel="STUDY", AccessionNumber="A*") == (ACCESSION,)


# ---- bounds


def test_an_identifier_that_is_too_long_or_cut_is_unreadable() -> None:
    whole = encoded(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3", PatientName="Doe^Jane")
    with pytest.raises(UnreadableIdentifier):
        find_keys(whole, EXPLICIT, LimitsSettings.model_validate({"identifier": 10}), charset_of([""]))
    for length in range(1, len(whole)):
        try:
            find_keys(whole[:length], EXPLICIT, LIMITS, charset_of([""]))
        except InvalidIdentifier:
            continue  # UnreadableIdentifier is one
        assert whole[:length] in (
            encoded(QueryRetrieveLevel="STUDY"),
            encoded(QueryRetrieveLevel="STUDY", PatientName="Doe^Jane"),
        ), "a cut identifier is read as a smaller one only at the end of an element"


@pytest.mark.parametrize("do", [find, retrieve])
def test_a_list_may_be_so_long_and_no_longer(do: Any) -> None:
    limits = LimitsSettings(uids_per_list=3)
    study = {"QueryRetrieveLevel": "STUDY"}
    do(limits=limits, StudyInstanceUID=["1", "2", "3"], **study)
    with pytest.raises(InvalidIdentifier, match="more than 3"):
        do(limits=limits, StudyInstanceUID=["1", "2", "3", "4"], **study)


@pytest.mark.parametrize(
    ("tag", "given", "vr"),
    [(0x00100010, "", "PN"), (0x00100010, "LO", "PN"), (0x00091001, "SH", "SH"), (0x00091001, "", "UN"),
     (0x00280106, "", "US"), (0x00091001, "UN", "UN")],
)  # fmt: skip
def test_the_dictionary_knows_a_vr_better_than_the_sender(tag: int, given: str, vr: str) -> None:
    assert vr_of(tag, given) == vr
