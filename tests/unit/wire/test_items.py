"""Items and the values in them."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire import items as it
from proxy.wire.pdu import InvalidPdu


@given(st.binary(max_size=300))
def test_any_field_gives_items_or_is_invalid(field: bytes) -> None:
    try:
        found = list(it.items(memoryview(field)))
    except InvalidPdu:
        return
    assert sum(4 + len(value) for _, value in found) == len(field)


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=8))
def test_items_come_out_as_they_went_in(wanted: list[tuple[int, bytes]]) -> None:
    field = b"".join(it.item(kind, value) for kind, value in wanted)
    assert [(kind, bytes(value)) for kind, value in it.items(memoryview(field))] == wanted


@pytest.mark.parametrize("excess", [1, 2, 4, 5, 60000])
def test_an_item_that_runs_over_the_end_is_invalid(excess: int) -> None:
    whole, last = it.item(0x10, b"1.2"), struct.pack(">BxH", 0x40, 3 + excess) + b"1.2"
    with pytest.raises(InvalidPdu):
        list(it.items(memoryview(whole + last)))


@pytest.mark.parametrize("raw", [b"1.2.3", b"1.2.3\0", b"1.2.3 ", b"1.2.3\0\0"])
def test_a_padded_uid_is_read(raw: bytes) -> None:
    assert it.uid(raw) == "1.2.3"


@pytest.mark.parametrize("raw", [b"", b"\0", b"1.2/../3", b"1" * 65, b" 1.2", b"1.2\n", "1.²".encode()])
def test_what_is_no_uid_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidPdu):
        it.uid(raw)


@pytest.mark.parametrize(("name", "field"), [("A", b"A" + b" " * 15), ("X" * 20, b"X" * 16), ("Ä", b"?" + b" " * 15)])
def test_a_title_fills_its_field(name: str, field: bytes) -> None:
    assert it.title(name) == field


def test_a_field_beyond_the_end_is_refused() -> None:
    with pytest.raises(InvalidPdu):
        it.unpack(struct.Struct(">H"), memoryview(b"\0\1\2"), 2)
    with pytest.raises(InvalidPdu):
        it.unpack(struct.Struct(">H"), memoryview(b"\0\1\2"), -1)
