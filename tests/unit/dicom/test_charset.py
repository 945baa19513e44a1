"""Text in the repertoires of the Standard. The examples of names are those of PS3.5 Annexes H to K."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dicom.charset import charset_of, orthanc_charset

KANJI = ("", "ISO 2022 IR 87")
H_3_1 = (
    b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
    "Yamada^Tarou=山田^太郎=やまだ^たろう",
)
H_3_2 = (
    b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
    "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
)
I_2 = (
    b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
    "Hong^Gildong=洪^吉洞=홍^길동",
)


@pytest.mark.parametrize(
    ("terms", "encoded", "text"),
    [
        (KANJI, *H_3_1),
        (("ISO 2022 IR 13", "ISO 2022 IR 87"), *H_3_2),
        (("", "ISO 2022 IR 149"), *I_2),
        (("ISO_IR 100",), b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
        (("ISO_IR 144",), b"\xbb\xee\xda", "Люк"),
        (("ISO_IR 192",), "王^小東".encode(), "王^小東"),
        (("GB18030",), "王^小东".encode("gb18030"), "王^小东"),
    ],
)
def test_names_are_read_and_written_as_in_the_standards_examples(terms, encoded, text):
    charset = charset_of(terms)
    assert charset.decode(encoded, person_name=True) == text
    assert charset.encode(text) == encoded


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        (("",), "é"),
        (("ISO_IR 100",), "山田"),
        (KANJI, "Jérôme"),
        (("ISO_IR 144",), "é"),
        (("", "ISO 2022 IR 149"), "é"),
    ],
)
def test_what_does_not_fit_is_told_and_never_dropped(terms, text):
    assert charset_of(terms).encode(text) is None


def test_code_extensions_of_one_byte_are_written():
    encoded = charset_of(["", "ISO 2022 IR 100"]).encode("Müller")
    assert encoded is not None
    assert charset_of(["", "ISO 2022 IR 100"]).decode(encoded) == "Müller"
    assert b"\x1b-A" in encoded


@pytest.mark.parametrize("terms", [("",), KANJI, ("ISO_IR 100",), ("ISO_IR 192",), ("ISO 2022 IR 13",), ("nonsense",)])
@given(st.text(st.characters(exclude_categories=["C"]), max_size=20))
def test_what_is_written_is_read_back_or_refused(terms, text):
    charset = charset_of(terms)
    encoded = charset.encode(text)
    assert encoded is None or charset.decode(encoded, person_name=True) == text


@pytest.mark.parametrize("terms", [("",), KANJI, ("ISO_IR 100",), ("ISO_IR 192",), ("nonsense", "\xff")])
@given(st.binary(max_size=40))
def test_any_bytes_become_some_text(terms, value):
    assert isinstance(charset_of(terms).decode(value), str)


def test_undeclared_eight_bit_text_is_taken_for_latin_1():
    assert charset_of([""]).decode(b"M\xfcller") == "Müller"


def test_the_element_names_the_terms_as_they_were_given():
    assert charset_of(KANJI).element_value == b"\\ISO 2022 IR 87"
    assert charset_of([" ISO_IR 192 "]).element_value == b"ISO_IR 192"


@pytest.mark.parametrize(
    ("name", "terms"),
    [("Latin1", ("ISO_IR 100",)), ("Ascii", ("",)), ("JapaneseKanji", KANJI), ("Utf8", ("ISO_IR 192",))],
)
def test_orthancs_encodings_are_known(name, terms):
    assert orthanc_charset(name).terms == terms


def test_an_encoding_of_orthanc_that_is_unknown_is_utf_8():
    assert orthanc_charset("Klingon") == charset_of(["ISO_IR 192"])


def test_only_as_many_terms_are_kept_as_make_sense():
    many = charset_of([f"NO SUCH SET {n:020}" for n in range(1000)])
    assert len(many.terms) <= 16
    assert max(map(len, many.terms)) <= 16


def test_a_term_that_is_not_ascii_can_be_answered():
    assert charset_of(["\ufffd\ufffd"]).element_value == b"??"


def test_a_yen_sign_is_not_written_as_the_backslash_that_separates_values():
    assert charset_of(["ISO_IR 13"]).encode("\xa5") is None
