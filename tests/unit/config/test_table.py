"""What holds for every table: nothing unknown, nothing changed afterwards, and values that mean something."""

import pytest
from pydantic import ValidationError

from proxy.config import Destination
from proxy.config.table import AeTitle, FilePath, Port, Seconds, Size, Table


class Sample(Table):
    """[sample]: one of each."""

    aet: AeTitle = "SAMPLE"
    port: Port = 0
    seconds: Seconds = 0.0
    size: Size = Size(0)
    path: FilePath | None = None


def test_an_unknown_key_is_an_error() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Sample.model_validate({"sise": 1})


def test_nothing_changes_once_it_is_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Sample().port = 104  # type: ignore[misc]


@pytest.mark.parametrize("aet", ["A", "SIXTEEN LETTERS!", " PADDED ", "A/B-C_D.E", "[]^`{|}~"])
def test_an_ae_title_is_any_printable_ascii_and_loses_its_padding(aet: str) -> None:
    assert Sample(aet=aet).aet == aet.strip()


@pytest.mark.parametrize("aet", ["", "   ", "SEVENTEEN LETTERS", "A\\B", "GRÖSSE", "A\tB", "A\0B"])
def test_what_is_no_ae_title_is_refused(aet: str) -> None:
    with pytest.raises(ValidationError):
        Sample(aet=aet)


@pytest.mark.parametrize(
    ("written", "size"), [(1048576, 1 << 20), ("10 GiB", 10 << 30), ("512MB", 512_000_000), ("0", 0), ("1.5 KiB", 1536)]
)
def test_sizes_are_numbers_or_words(written: object, size: int) -> None:
    assert Sample.model_validate({"size": written}).size == size


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("port", -1), ("port", 65536), ("port", 1.5),
        ("seconds", -0.1), ("seconds", float("inf")), ("seconds", float("nan")), ("seconds", "soon"),
        ("size", "10 Gigs"), ("size", "many"),
        ("path", ""), ("path", 3),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Sample.model_validate({key: value})


def test_the_port_of_a_destination_is_a_real_one() -> None:
    with pytest.raises(ValidationError):
        Destination(aet="X", host="x", port=0)
