"""Specific Character Set (0008,0005): what an identifier is written in, and what its answers can be written in.

Answers go out in the requestor's own repertoire where everything fits, and in UTF-8 (ISO_IR 192) otherwise, so that
nothing is ever dropped. Source: PS3.3 C.12.1.1.2, PS3.5 6.1.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pydicom.charset import convert_encodings, decode_bytes, encode_string

UTF_8 = "ISO_IR 192"
_TERMS_MOST = 16
_DELIMITERS = re.compile(r"([\\^=])")
_PN_DELIMITERS = frozenset({0x0D, 0x0A, 0x09, 0x0C, 0x5C, 0x5E, 0x3D})
_TEXT_DELIMITERS = frozenset({0x0D, 0x0A, 0x09, 0x0C, 0x5C})
# a set of two-byte characters is still in G0 at the end
_LEFT_SHIFTED = re.compile(rb"\x1b\$(?:[@B]|\(D)(?:(?!\x1b\([BJ]).)*\Z", re.DOTALL)

# Orthanc's DefaultEncoding, as GET /tools/default-encoding names it
_ORTHANC = {
    "Ascii": "",
    "Utf8": UTF_8,
    "Latin1": "ISO_IR 100",
    "Latin2": "ISO_IR 101",
    "Latin3": "ISO_IR 109",
    "Latin4": "ISO_IR 110",
    "Latin5": "ISO_IR 148",
    "Cyrillic": "ISO_IR 144",
    "Windows1251": "ISO_IR 144",
    "Arabic": "ISO_IR 127",
    "Greek": "ISO_IR 126",
    "Hebrew": "ISO_IR 138",
    "Thai": "ISO_IR 166",
    "Japanese": "ISO_IR 13",
    "Chinese": "GB18030",
    "JapaneseKanji": "\\ISO 2022 IR 87",
    "Korean": "\\ISO 2022 IR 149",
    "SimplifiedChinese": "\\ISO 2022 IR 58",
}


def orthanc_charset(name: str) -> "Charset":
    """The repertoire that one of Orthanc's encoding names stands for; UTF-8 for one we do not know."""
    return charset_of(_ORTHANC.get(name, UTF_8).split("\\"))


@dataclass(frozen=True, slots=True)
class Charset:
    """A value of (0008,0005) and the Python codecs it stands for."""

    terms: tuple[str, ...]
    codecs: tuple[str, ...]

    @property
    def element_value(self) -> bytes:
        """What goes into (0008,0005)."""
        return "\\".join(self.terms).encode("ascii", "replace")

    def decode(self, value: bytes, *, person_name: bool = False) -> str:
        """Text from bytes; what cannot be decoded becomes a replacement character."""
        if value.isascii() and b"\x1b" not in value:
            return value.decode("ascii")
        if self.codecs == ("ascii",):
            return value.decode("latin-1")  # not declared, but the likeliest
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text: str = decode_bytes(value, list(self.codecs), set(_PN_DELIMITERS if person_name else _TEXT_DELIMITERS))
        return text

    def encode(self, text: str) -> bytes | None:
        """Bytes from text, or None where this repertoire lacks a character."""
        if text.isascii():
            return text.encode("ascii")
        if len(self.codecs) == 1:
            return _strictly(text, self.codecs[0])
        parts = [self._extended(part) for part in _DELIMITERS.split(text)]
        return None if None in parts else b"".join(part for part in parts if part is not None)

    def _extended(self, text: str) -> bytes | None:
        """One component with code extensions; each begins in the initial state (PS3.5 6.1.2.5.3)."""
        if text.isascii():
            return text.encode("ascii")
        # by the name iso8859 pydicom knows that it has to return to the default repertoire at the end
        returning = ["iso8859" if codec == "ascii" else codec for codec in self.codecs]
        for codecs in (returning, list(self.codecs)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                encoded: bytes = encode_string(text, codecs)
            if self.decode(encoded, person_name=True) == text and not _LEFT_SHIFTED.search(encoded):
                return encoded
        return None


def _strictly(text: str, codec: str) -> bytes | None:
    try:
        encoded = text.encode(codec)
        return encoded if encoded.decode(codec) == text else None  # some take a yen sign for a backslash
    except (UnicodeError, LookupError):
        return None


def charset_of(terms: Sequence[str]) -> Charset:
    """From the values of (0008,0005); unknown terms count as the default repertoire.

    Terms are 16 characters long at most, and a few: more of them would only fill the memory of what was asked.
    """
    return _charset_of(tuple(term.strip()[:16] for term in terms[:_TERMS_MOST]) or ("",))


@lru_cache(256)
def _charset_of(terms: tuple[str, ...]) -> Charset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            codecs = tuple(convert_encodings(list(terms)))
        except (LookupError, ValueError):
            codecs = ("iso8859",)
    # pydicom reads the default repertoire as Latin-1, out of kindness; to write it that way would be a lie.
    return Charset(terms, tuple("ascii" if codec == "iso8859" else codec for codec in codecs))
