"""Headers, small PDUs, and P-DATA taken apart and put together."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom import pdu as reference

from proxy.wire import pdu
from tests.unit.wire.serving import flat


def _decoded(kind: type, data: bytes) -> object:
    decoded = kind()
    decoded.decode(data)
    return decoded


def test_small_pdus_are_what_pynetdicom_reads() -> None:
    rejected = _decoded(reference.A_ASSOCIATE_RJ, pdu.reject(2, 3, 1))
    assert (rejected.result, rejected.source, rejected.reason_diagnostic) == (2, 3, 1)
    aborted = _decoded(reference.A_ABORT_RQ, pdu.abort(pdu.AbortSource.PROVIDER, pdu.AbortReason.UNEXPECTED_PDU))
    assert (aborted.source, aborted.reason_diagnostic) == (2, 2)
    assert reference.A_RELEASE_RQ().encode() == pdu.RELEASE_REQUEST
    assert reference.A_RELEASE_RP().encode() == pdu.RELEASE_RESPONSE


@pytest.mark.parametrize(
    ("pdu_type", "length", "reason"),
    [
        (0, 4, pdu.AbortReason.UNRECOGNIZED_PDU),
        (8, 4, pdu.AbortReason.UNRECOGNIZED_PDU),
        (255, 0, pdu.AbortReason.UNRECOGNIZED_PDU),
        (1, 68, pdu.AbortReason.UNEXPECTED_PDU),
        (2, 68, pdu.AbortReason.UNEXPECTED_PDU),
        (3, 4, pdu.AbortReason.UNEXPECTED_PDU),
        (6, 4, pdu.AbortReason.UNEXPECTED_PDU),
        (4, 16385, pdu.AbortReason.INVALID_PARAMETER),
        (4, 0xFFFFFFFF, pdu.AbortReason.INVALID_PARAMETER),
        (5, 5, pdu.AbortReason.INVALID_PARAMETER),
        (5, 0, pdu.AbortReason.INVALID_PARAMETER),
        (7, 3, pdu.AbortReason.INVALID_PARAMETER),
    ],
)
def test_a_header_is_refused_with_its_reason_before_the_pdu_is_read(pdu_type: int, length: int, reason: int) -> None:
    with pytest.raises(pdu.InvalidPdu) as refused:
        pdu.check_header(pdu_type, length, {pdu.P_DATA: 16384, **pdu.ESTABLISHED_PDUS})
    assert refused.value.reason == reason
    assert refused.value.abort == pdu.abort(pdu.AbortSource.PROVIDER, reason)


@pytest.mark.parametrize(("pdu_type", "length"), [(4, 16384), (4, 0), (5, 4), (7, 4)])
def test_what_may_come_is_let_through(pdu_type: int, length: int) -> None:
    pdu.check_header(pdu_type, length, {pdu.P_DATA: 16384, **pdu.ESTABLISHED_PDUS})


@given(st.binary(max_size=300))
def test_any_field_gives_fragments_or_is_invalid(field: bytes) -> None:
    total = 0
    try:
        for context_id, control, fragment in pdu.fragments(memoryview(field)):
            assert 0 <= context_id <= 255
            assert 0 <= control <= 255
            total += 6 + len(fragment)
    except pdu.InvalidPdu:
        return
    assert total == len(field)


@pytest.mark.parametrize(
    "field",
    [
        b"",
        b"\0",
        b"\0\0\0\1\1\1",
        b"\0\0\0\0",
        b"\0\0\0\0" + struct.pack(">LBB", 2, 1, 3),
        b"\0\0\0\1\1" + struct.pack(">LBB", 2, 1, 3),
        struct.pack(">LBB", 0xFFFFFFFF, 1, 3),
        struct.pack(">LBB", 3, 1, 3),
    ],
)
def test_pdvs_that_do_not_add_up_are_invalid(field: bytes) -> None:
    with pytest.raises(pdu.InvalidPdu):
        list(pdu.fragments(memoryview(field)))


@pytest.mark.parametrize(
    ("maximum", "size"), [(0, 262138), (0xFFFFFFFF, 262138), (16384, 16378), (1018, 1012), (16383, 16376), (7, 2)]
)
def test_a_fragment_is_even_and_fits_the_peers_maximum(maximum: int, size: int) -> None:
    assert pdu.fragment_length(maximum) == size


def _reassembled(data: bytes, size: int, control_kind: int) -> bytes:
    """Take PDUs apart again, checking each header on the way."""
    content, at, lasts = b"", 0, []
    while at < len(data):
        pdu_type, length = pdu.HEADER.unpack_from(data, at)
        assert pdu_type == pdu.P_DATA
        assert length <= size + 6
        ((context_id, control, fragment),) = pdu.fragments(memoryview(data)[at + 6 : at + 6 + length])
        assert context_id == 5
        assert control & 1 == control_kind
        lasts.append(bool(control & pdu.LAST))
        content += fragment
        at += 6 + length
    assert lasts == [False] * (len(lasts) - 1) + [True]
    return content


@given(st.binary(max_size=2000), st.integers(1, 60).map(lambda n: 2 * n))
def test_a_data_set_comes_out_of_its_pdus_as_it_went_in(data: bytes, size: int) -> None:
    vectors = list(pdu.data_pdus(5, memoryview(data), size))
    assert all(len(vector) <= 1000 for vector in vectors)
    assert _reassembled(b"".join(map(flat, vectors)), size, 0) == data


@given(st.binary(max_size=500), st.integers(1, 60).map(lambda n: 2 * n))
def test_a_command_set_comes_out_of_its_pdus_as_it_went_in(data: bytes, size: int) -> None:
    assert _reassembled(pdu.command_pdus(5, data, size), size, 1) == data


def test_a_data_set_is_not_copied() -> None:
    data = bytearray(b"abcdefgh")
    (vector,) = pdu.data_pdus(1, memoryview(data), 4)
    data[:] = b"ABCDEFGH"
    assert bytes(vector[1]) + bytes(vector[3]) == b"ABCDEFGH"


def test_a_long_data_set_is_split_into_vectors_that_one_write_takes() -> None:
    vectors = list(pdu.data_pdus(1, memoryview(bytes(5000)), 2))
    assert len(vectors) > 1
    assert max(map(len, vectors)) <= 1000
