"""Does it fit, and how is it answered: as the Standard says, whatever Orthanc found."""

import time
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from proxy.dicom.charset import charset_of
from proxy.dicom.identifier import FindKeys, Key, vr_of
from proxy.dicom.match import has_many_values, matches, name_of, response_identifier, with_own

PATIENT_NAME, PATIENT_ID, STUDY, STUDY_DATE = 0x00100010, 0x00100020, 0x0020000D, 0x00080020
MODALITIES, DESCRIPTION, REQUEST, STEP_ID = 0x00080061, 0x00081030, 0x00400275, 0x00400009
EXPLICIT = "1.2.840.10008.1.2.1"


def fits(tag: int, stored: object, *values: str) -> bool:
    return matches({name_of(tag): stored}, [Key(tag, vr_of(tag), values)])


@pytest.mark.parametrize(
    ("tag", "stored", "values", "fit"),
    [
        # a name fits whatever its case, and its trailing empty components do not count
        (PATIENT_NAME, "Doe^Jane", ("doe^jane",), True),
        (PATIENT_NAME, "Doe^Jane", ("DOE^J*",), True),
        (PATIENT_NAME, "Doe^Jane^^^", ("Doe^Jane",), True),
        (PATIENT_NAME, "Doe^Jane", ("Doe",), False),
        (PATIENT_NAME, "Müller^Jörg", ("mül?er*",), True),
        (PATIENT_NAME, "Yamada^Tarou=山田^太郎=やまだ^たろう", ("山田*",), True),
        (PATIENT_NAME, "Yamada^Tarou=山田^太郎=やまだ^たろう", ("yamada^tarou",), True),
        # everything else is matched to the letter
        (PATIENT_ID, "abc", ("ABC",), False),
        (PATIENT_ID, "abc ", ("abc",), True),
        (PATIENT_ID, "abc", ("a?c",), True),
        (PATIENT_ID, "abc", ("a*c*",), True),
        (PATIENT_ID, "abc", ("a??c",), False),
        (PATIENT_ID, "a.c", ("a.c",), True),
        (PATIENT_ID, "abc", ("a.c",), False),
        (PATIENT_ID, "a[b]c", ("a[b]*",), True),
        # lists: any of them, exactly
        (STUDY, "1.2.3", ("1.2.3", "1.2.4"), True),
        (STUDY, "1.2.5", ("1.2.3", "1.2.4"), False),
        (STUDY, "1.2", ("1.2.3",), False),
        (PATIENT_ID, "a*", ("a*", "b"), True),
        (PATIENT_ID, "ax", ("a*", "b"), False),
        # one of several stored values is enough
        (MODALITIES, "CT\\MR", ("MR",), True),
        (MODALITIES, "CT\\MR", ("PT",), False),
        # ranges
        (STUDY_DATE, "20260105", ("20260101-20260131",), True),
        (STUDY_DATE, "20260205", ("20260101-20260131",), False),
        (STUDY_DATE, "", ("20260101-",), False),
        # numbers are numbers
        (0x00200013, "1", ("01",), True),
        (0x00200013, "10", ("1",), False),
        # what is not there does not fit what is asked for, and fits what is not
        (PATIENT_ID, None, ("abc",), False),
        (PATIENT_ID, None, (), True),
        (0x00080201, "+0100", ("-0500",), True),  # Timezone Offset From UTC is no matching key
    ],
)
def test_a_value_fits_as_the_standard_says(tag: int, stored: object, values: tuple[str, ...], fit: bool) -> None:
    assert fits(tag, stored, *values) is fit


def test_all_keys_must_fit() -> None:
    match = {name_of(PATIENT_ID): "P", name_of(STUDY): "1.2"}
    assert matches(match, [Key(PATIENT_ID, "LO", ("P",)), Key(STUDY, "UI", ("1.2",))])
    assert not matches(match, [Key(PATIENT_ID, "LO", ("P",)), Key(STUDY, "UI", ("1.3",))])


def test_a_sequence_fits_when_one_of_its_items_does() -> None:
    def asked(*keys: Key) -> list[Key]:
        return [Key(REQUEST, "SQ", items=keys)]

    step, code = Key(STEP_ID, "SH", ("7",)), Key(0x00080100, "SH", ("C",))
    items = [{name_of(STEP_ID): "6"}, {name_of(STEP_ID): "7", name_of(0x00080100): "D"}]
    assert matches({name_of(REQUEST): items}, asked(step))
    assert not matches({name_of(REQUEST): items}, asked(step, code)), "all of the keys in the same item"
    assert not matches({}, asked(step))
    assert matches({}, asked(Key(STEP_ID, "SH")))


@given(st.text(alphabet="ab*?", max_size=20), st.text(alphabet="ab", max_size=20))
def test_wildcards_are_a_star_and_a_question_mark_and_nothing_else(pattern: str, text: str) -> None:
    def simple(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return any(simple(pattern[1:], text[at:]) for at in range(len(text) + 1))
        return bool(text) and pattern[0] in ("?", text[0]) and simple(pattern[1:], text[1:])

    while "**" in pattern:
        pattern = pattern.replace("**", "*")
    if pattern:
        assert fits(PATIENT_ID, text, pattern) is simple(pattern, text)


def test_many_stars_hold_nobody_up() -> None:
    began = time.monotonic()
    assert not fits(PATIENT_ID, "a" * 64, "*a" * 30 + "*b")
    assert not fits(DESCRIPTION, "a" * 10_000, "*a" * 200 + "b")
    assert time.monotonic() - began < 5.0


# ---- answers


def answered(match: dict[str, object], *keys: Key, terms: tuple[str, ...] = ("ISO_IR 100",)) -> Dataset:
    asked = FindKeys("STUDY", "STUDY", keys, charset_of(list(terms)))
    data = response_identifier(match, asked, "PROXY").encode(EXPLICIT)
    return read_dataset(BytesIO(data), False, True, bytelength=len(data))


def test_what_was_asked_is_answered_and_no_more() -> None:
    match = {name_of(PATIENT_NAME): "Doe^Jane", name_of(PATIENT_ID): "P", name_of(STUDY): "1.2.3"}
    answer = answered(match, Key(PATIENT_NAME, "PN"), Key(STUDY, "UI"), Key(DESCRIPTION, "LO"))
    assert [element.keyword for element in answer] == [
        "SpecificCharacterSet", "QueryRetrieveLevel", "RetrieveAETitle", "StudyDescription", "PatientName",
        "StudyInstanceUID",
    ]  # fmt: skip
    assert (str(answer.PatientName), answer.StudyInstanceUID, answer.StudyDescription) == ("Doe^Jane", "1.2.3", "")
    assert (answer.QueryRetrieveLevel, answer.RetrieveAETitle) == ("STUDY", "PROXY")


@pytest.mark.parametrize(
    ("terms", "name", "answered_in"),
    [
        (("ISO_IR 100",), "Müller", "ISO_IR 100"),
        (("ISO_IR 100",), "山田", "ISO_IR 192"),
        (("ISO_IR 192",), "山田", "ISO_IR 192"),
        (("",), "Doe", None),
        (("",), "Müller", "ISO_IR 192"),
    ],
)
def test_nothing_is_dropped_for_want_of_a_character(terms: tuple[str, ...], name: str, answered_in: str | None) -> None:
    answer = answered({name_of(PATIENT_NAME): name}, Key(PATIENT_NAME, "PN"), terms=terms)
    assert answer.get("SpecificCharacterSet") == answered_in
    assert str(answer.PatientName) == name


def test_sequences_numbers_and_tags_are_answered_as_what_they_are() -> None:
    match: dict[str, object] = {
        name_of(0x00280010): "512",
        name_of(REQUEST): [{name_of(STEP_ID): "7", name_of(0x00080100): "C"}, {name_of(STEP_ID): "8"}],
        name_of(0x00280009): "0018,1063",
        name_of(0x7FE00010): "binary",
    }
    step = Key(STEP_ID, "SH")
    answer = answered(
        match, Key(0x00280009, "AT"), Key(0x00280010, "US"), Key(REQUEST, "SQ", items=(step,)), Key(0x7FE00010, "OW")
    )
    assert (answer.Rows, answer.FrameIncrementPointer, answer.PixelData) == (512, 0x00181063, None)
    assert [item.ScheduledProcedureStepID for item in answer.RequestAttributesSequence] == ["7", "8"]
    assert "CodeValue" not in answer.RequestAttributesSequence[0]
    whole = answered(match, Key(REQUEST, "SQ")).RequestAttributesSequence
    assert (whole[0].CodeValue, len(whole)) == ("C", 2), "all of an item where nothing in it is named"


def test_what_orthanc_tells_wrongly_is_answered_empty() -> None:
    answer = answered(
        {name_of(0x00280010): "many", name_of(REQUEST): "text"}, Key(0x00280010, "US"), Key(REQUEST, "SQ")
    )
    assert (answer.Rows, len(answer.RequestAttributesSequence)) == (None, 0)


def test_what_is_ours_to_say_is_ours_whatever_orthanc_says() -> None:
    own = with_own({"0008,0054": "OTHER", "0010,0020": "P"}, "PROXY")
    assert own == {"0008,0054": "PROXY", "0008,0056": "ONLINE", "0010,0020": "P"}


@pytest.mark.parametrize(("tag", "many"), [(MODALITIES, True), (PATIENT_ID, False), (0x00091001, False)])
def test_which_elements_have_many_values(tag: int, many: bool) -> None:
    assert has_many_values(tag) is many
