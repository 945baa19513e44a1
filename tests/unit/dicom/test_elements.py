"""What we write is read by pydicom as it was meant, in each uncompressed transfer syntax."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filereader import read_dataset

from proxy.dicom.contexts import EXPLICIT_LITTLE
from proxy.dicom.elements import EXPLICIT_BIG, IMPLICIT_LITTLE, Elements, uid_list_identifier

SYNTAXES = [IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG]
TEXT = st.text(st.characters(codec="ascii", exclude_characters="\\ ", min_codepoint=33), max_size=40)


def read(data: bytes, syntax: str):
    return read_dataset(BytesIO(data), syntax == IMPLICIT_LITTLE, syntax != EXPLICIT_BIG, len(data))


@pytest.mark.parametrize("syntax", SYNTAXES)
@given(
    description=TEXT, rows=st.integers(0, 65535), position=st.floats(allow_nan=False, width=64), codes=st.lists(TEXT)
)
def test_pydicom_reads_what_was_written(syntax, description, rows, position, codes):
    items = tuple(Elements(((0x00080100, "SH", code.encode()),)) for code in codes)
    elements = Elements(
        (
            (0x00081030, "LO", description.encode()),
            (0x00081032, "SQ", items),
            (0x00280010, "US", rows.to_bytes(2, "little")),
            (0x00720078, "US", b""),
            (0x00189073, "FD", __import__("struct").pack("<d", position)),
        )
    )
    dataset = read(elements.encode(syntax), syntax)
    assert (dataset.StudyDescription or "") == description
    assert (dataset.Rows, dataset.AcquisitionDuration) == (rows, position)
    assert [str(item.CodeValue or "") for item in dataset.ProcedureCodeSequence] == codes


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_values_are_padded_to_even_length_as_their_type_wants(syntax):
    data = Elements(((0x00080018, "UI", b"1.2"), (0x00081030, "LO", b"odd"))).encode(syntax)
    assert b"1.2\0" in data
    assert b"odd " in data
    assert len(data) % 2 == 0


def test_sequences_in_sequences_have_defined_lengths():
    inner = Elements(((0x00080100, "SH", b"A"),))
    outer = Elements(((0x00081199, "SQ", (inner, Elements(()))),))
    data = Elements(((0x00081115, "SQ", (outer,)),)).encode(EXPLICIT_LITTLE)
    assert b"\xff\xff\xff\xff" not in data
    (series,) = read(data, EXPLICIT_LITTLE).ReferencedSeriesSequence
    assert [len(item) for item in series.ReferencedSOPSequence] == [1, 0]


def test_a_list_of_failed_instances_is_one_element():
    data = uid_list_identifier(["1.2.3", "1.2.4"]).encode(EXPLICIT_LITTLE)
    assert list(read(data, EXPLICIT_LITTLE).FailedSOPInstanceUIDList) == ["1.2.3", "1.2.4"]
