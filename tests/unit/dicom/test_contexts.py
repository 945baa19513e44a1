"""How an instance can be sent, and what a destination is offered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dicom.contexts import (
    CONTEXTS_PER_ASSOCIATION,
    DEFLATED_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    How,
    Sending,
    proposals,
    sending,
)

JPEG, JPEG_LOSSLESS, J2K = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.91"
RLE = "1.2.840.10008.1.2.5"


@pytest.mark.parametrize(
    ("stored", "accepted", "how", "chosen"),
    [
        (JPEG, [IMPLICIT_LITTLE, JPEG], How.AS_STORED, JPEG),
        (IMPLICIT_LITTLE, [EXPLICIT_LITTLE], How.REENCODE, EXPLICIT_LITTLE),
        (EXPLICIT_LITTLE, [EXPLICIT_BIG, IMPLICIT_LITTLE], How.REENCODE, IMPLICIT_LITTLE),
        (DEFLATED_LITTLE, [EXPLICIT_BIG], How.REENCODE, EXPLICIT_BIG),
        (EXPLICIT_LITTLE, [DEFLATED_LITTLE], How.REENCODE, DEFLATED_LITTLE),
        (JPEG, [IMPLICIT_LITTLE, EXPLICIT_LITTLE], How.TRANSCODE, EXPLICIT_LITTLE),
        (JPEG_LOSSLESS, [JPEG, RLE], How.TRANSCODE, RLE),
        (EXPLICIT_LITTLE, [J2K, JPEG], How.IMPOSSIBLE, ""),
        (EXPLICIT_LITTLE, [], How.IMPOSSIBLE, ""),
    ],
)
def test_how_an_instance_is_sent(stored, accepted, how, chosen):
    assert sending(stored, accepted) == Sending(how, chosen)


@given(
    st.sampled_from([EXPLICIT_LITTLE, JPEG, JPEG_LOSSLESS, RLE]),
    st.lists(st.sampled_from([JPEG, J2K, RLE, JPEG_LOSSLESS])),
)
def test_nothing_is_ever_compressed_with_loss(stored, accepted):
    chosen = sending(stored, accepted)
    assert chosen.transfer_syntax not in (JPEG, J2K) or chosen.transfer_syntax == stored


def test_each_stored_syntax_gets_its_own_context_and_what_is_left_of_the_uncompressed_is_the_way_out():
    assert proposals(
        [("1.1", JPEG), ("1.1", EXPLICIT_LITTLE), ("1.2", JPEG), ("1.1", JPEG), ("1.3", IMPLICIT_LITTLE)]
    ) == [
        [
            ("1.1", [JPEG]),
            ("1.1", [EXPLICIT_LITTLE]),
            ("1.1", [IMPLICIT_LITTLE]),
            ("1.2", [JPEG]),
            ("1.2", [EXPLICIT_LITTLE, IMPLICIT_LITTLE]),
            ("1.3", [IMPLICIT_LITTLE]),
            ("1.3", [EXPLICIT_LITTLE]),
        ]
    ]


def test_nothing_needed_is_nothing_proposed():
    assert proposals([]) == []


@given(st.lists(st.tuples(st.integers(1, 300), st.sampled_from([JPEG, RLE, EXPLICIT_LITTLE])), max_size=700))
def test_no_association_has_more_than_128_contexts_and_no_class_is_torn_apart(needs):
    associations = proposals((f"1.{sop_class}", syntax) for sop_class, syntax in needs)
    homes = [{sop_class for sop_class, _ in contexts} for contexts in associations]
    assert all(len(contexts) <= CONTEXTS_PER_ASSOCIATION for contexts in associations)
    assert sum(map(len, homes)) == len(set().union(*homes)) == len({sop_class for sop_class, _ in needs})
    offered = {
        (sop_class, syntax) for contexts in associations for sop_class, syntaxes in contexts for syntax in syntaxes
    }
    assert {(f"1.{sop_class}", syntax) for sop_class, syntax in needs} <= offered
