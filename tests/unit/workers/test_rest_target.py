"""POST /instances as delivery: only what Orthanc proves to hold as it was sent counts."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy.errors import InstanceGone, OrthancUnavailable
from proxy.spool.envelope import Envelope, bare_head
from proxy.spool.parcel import NotForThisTarget, Parcel, is_final
from proxy.workers.rest_target import RestTarget
from tests.fakes.received import CT, EXPLICIT, data_set


def parcel(pixels: bytes = b"12345678") -> Parcel:
    envelope = Envelope("id", "main", "CT_1", "PROXY", "10.1.2.3", 50123, 0.0, CT, "1.2.3", EXPLICIT)
    return Parcel(envelope, bare_head(envelope), memoryview(data_set("1.2.3", pixels=pixels)))


@dataclass
class FakeOrthanc:
    """Keeps what it is sent; `stored` replaces the MD5 that it tells."""

    answer: dict[str, Any] = field(default_factory=lambda: {"Status": "Success", "ID": "abc"})
    stored: str | None = None
    syntax: str = EXPLICIT
    gone: bool = False
    files: list[bytes] = field(default_factory=list)
    pieces: list[int] = field(default_factory=list)
    metadata: dict[int, str] = field(default_factory=dict)

    def upload(self, content: Callable[[], Iterator[bytes | memoryview]], length: int) -> dict[str, Any]:
        pieces = [bytes(piece) for piece in content()]
        self.pieces = [len(piece) for piece in pieces]
        self.files.append(b"".join(pieces))
        assert len(self.files[-1]) == length
        return self.answer

    def attachment_md5(self, instance_id: str) -> str:
        assert instance_id == "abc"
        if self.gone:
            raise InstanceGone("gone")
        return hashlib.md5(self.files[-1]).hexdigest() if self.stored is None else self.stored

    def transfer_syntax(self, instance_id: str) -> str:
        return self.syntax

    def put_metadata(self, instance_id: str, number: int, value: str) -> None:
        self.metadata[number] = value


def target(orthanc: FakeOrthanc, *, noting: bool = False) -> RestTarget:
    return RestTarget("orthanc", orthanc, confirm=True, noting={"main": noting})


@pytest.mark.parametrize("size", [0, 8, 3 << 20])
def test_orthanc_gets_the_whole_file_in_pieces_of_a_megabyte(size: int) -> None:
    orthanc, sent = FakeOrthanc(), parcel(b"x" * size)
    assert target(orthanc).deliver(sent) == ""
    assert orthanc.files == [sent.head + bytes(sent.data)]
    assert max(orthanc.pieces) <= 1 << 20
    assert orthanc.metadata == {}


def test_other_bytes_than_were_sent_are_no_delivery() -> None:
    with pytest.raises(NotForThisTarget) as caught:
        target(FakeOrthanc(stored="0" * 32)).deliver(parcel())
    assert is_final(caught.value)


@pytest.mark.parametrize(
    ("orthanc", "words"),
    [
        (FakeOrthanc(stored=""), ""),  # it keeps no MD5s
        (FakeOrthanc(stored="0" * 32, syntax="1.2.840.10008.1.2.4.70"), ""),  # IngestTranscoding
        (FakeOrthanc(stored="0" * 32, answer={"Status": "AlreadyStored", "ID": "abc"}), "keeps what it already has"),
        (FakeOrthanc(gone=True), "deleted from Orthanc"),
        (FakeOrthanc(answer={"Status": "FilteredOut"}), "filtered out"),
    ],
)
def test_what_orthanc_does_by_its_own_rules_counts_as_delivered_and_is_said(orthanc: FakeOrthanc, words: str) -> None:
    said = target(orthanc).deliver(parcel())
    assert words in said
    assert bool(words) == bool(said)


def test_provenance_is_noted_where_its_pipeline_wants_it() -> None:
    orthanc = FakeOrthanc()
    target(orthanc, noting=True).deliver(parcel())
    assert orthanc.metadata == {1024: "CT_1", 1025: "PROXY", 1026: "10.1.2.3", 1027: "1970-01-01T00:00:00Z"}


def test_an_orthanc_that_cannot_say_what_it_holds_has_not_confirmed() -> None:
    class Mute(FakeOrthanc):
        def attachment_md5(self, instance_id: str) -> str:
            raise OrthancUnavailable("reset")

    with pytest.raises(OrthancUnavailable):
        target(Mute()).deliver(parcel())
