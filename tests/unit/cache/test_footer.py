"""A cache file that is not, to the last bit, what was written is no cache file."""

import pytest
import xxhash

from proxy.cache.footer import FOOTER_MOST, Footer, read_footer

FILE = b"preamble, meta, data set" * 3
FOOTER = Footer("i.f", "1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1", 16, len(FILE))


def whole(footer: Footer = FOOTER, file: bytes = FILE) -> bytes:
    return file + footer.pack(xxhash.xxh3_128(file))


def test_what_is_written_is_read() -> None:
    assert read_footer(memoryview(whole()), verify=True) == FOOTER
    assert read_footer(memoryview(whole()), verify=False) == FOOTER


def test_no_footer_is_longer_than_is_read_behind_a_small_file() -> None:
    longest = Footer(f"{'a' * 64}.{'b' * 64}", "1" * 64, "2" * 64, "3" * 64, 1, 1)
    assert len(longest.pack(xxhash.xxh3_128(b"x"))) == FOOTER_MOST


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_anywhere_is_noticed(bit: int) -> None:
    sound = whole()
    for position in range(len(sound)):
        damaged = bytearray(sound)
        damaged[position] ^= 1 << bit
        with pytest.raises(ValueError):
            read_footer(memoryview(damaged), verify=True)


def test_a_file_that_ends_too_soon_or_goes_on_is_noticed() -> None:
    sound = whole()
    for damaged in (*(sound[:length] for length in range(len(sound))), sound + b"\0", sound + sound):
        if damaged != sound:
            with pytest.raises(ValueError):
                read_footer(memoryview(damaged), verify=True)


def test_bytes_moved_from_one_place_to_another_are_noticed() -> None:
    sound = whole()
    for at in range(1, len(sound)):
        if (turned := sound[at:] + sound[:at]) != sound:
            with pytest.raises(ValueError):
                read_footer(memoryview(turned), verify=True)
