"""An instance in a transfer syntax that its receiver accepts, when the stored one is not among them.

Between uncompressed syntaxes the proxy re-encodes by itself. What is compressed is decompressed by Orthanc, and by
pydicom where a codec is installed and Orthanc cannot. Pixels never change: nothing is compressed with loss, the SOP
Instance UID stays, and what comes back is checked before a byte of it is sent.
"""

import mmap
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from proxy.dicom.contexts import DEFLATED_LITTLE, EXPLICIT_LITTLE, UNCOMPRESSED, How, sending
from proxy.dicom.messages import Located, Outgoing
from proxy.dicom.part10 import read_meta
from proxy.dicom.reencoding import reencode
from proxy.errors import NoAcceptableContext, OrthancRefused, OrthancUnavailable
from proxy.services.readahead import Held

_GATHER = 32 << 20  # bytes up to which a re-encoded instance becomes one buffer: the cheapest to write
_INFLATE_STEP = 1 << 20
_DECODED_BYTES = 512 << 20  # pydicom decodes in memory

Put = Callable[[memoryview], None]
"""Takes the next bytes."""

Transcoded = Callable[[Located, str, Put], None]
"""Writes the whole file of an instance as Orthanc transcodes it to that syntax. Raises OrthancError."""


@dataclass(slots=True)
class _Made:
    """A data set of our own making, in memory or in an unlinked temporary file that ends with its last view."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    data: memoryview
    was_hit: bool = False

    def close(self) -> None:
        """Nothing to give back."""


@dataclass(frozen=True, slots=True)
class Transcoding:
    """Converts instances. `folder` takes temporary files; no instance may inflate to more than `most` bytes."""

    transcoded: Transcoded
    fetch: Callable[[Located], Held]
    folder: Path
    most: int

    def convert(self, located: Located, held: Held | None, accepted: Sequence[str]) -> Outgoing:
        """The instance in one of the `accepted` syntaxes. Takes over `held`, and closes it where that fails.

        Raises NoAcceptableContext, or OrthancError where Orthanc could not be asked.
        """
        stored = held.transfer_syntax if held is not None else located.transfer_syntax
        choice = sending(stored, accepted)
        try:
            if choice.how is How.TRANSCODE:
                held = self._transcode(located, held, choice.transfer_syntax)
            elif held is None:
                held = self.fetch(located)
            return self._encoded(held, accepted)
        except (ValueError, zlib.error) as error:
            raise _given_up(held, "the instance cannot be converted: it is damaged") from error
        except OSError as error:
            raise _given_up(held, "no room to convert the instance") from error
        except BaseException:
            _give_up(held)
            raise

    def _encoded(self, held: Held, accepted: Sequence[str]) -> Outgoing:
        """From what is held to an accepted syntax, by re-encoding alone."""
        choice = sending(held.transfer_syntax, accepted)
        if choice.how is How.AS_STORED and (len(held.data) % 2 == 0 or held.transfer_syntax not in UNCOMPRESSED):
            return _as_it_is(held)
        if choice.how not in (How.AS_STORED, How.REENCODE):
            raise NoAcceptableContext("the receiver accepts no fitting transfer syntax")
        if held.transfer_syntax == DEFLATED_LITTLE:
            held = self._inflated(held)
            if choice.transfer_syntax == EXPLICIT_LITTLE:
                return self._encoded(held, accepted)
        deflate = choice.transfer_syntax == DEFLATED_LITTLE
        target = EXPLICIT_LITTLE if deflate else choice.transfer_syntax
        buffers = reencode(held.data, held.transfer_syntax, target)
        buffers = _deflated(buffers) if deflate else buffers
        names = held.sop_class_uid, held.sop_instance_uid, choice.transfer_syntax
        if len(held.data) > _GATHER:
            return Outgoing(*names, buffers, held.close)
        outgoing = Outgoing(*names, memoryview(b"".join(buffers)))
        held.close()
        return outgoing

    def _inflated(self, held: Held) -> _Made:
        """The deflated data set in Explicit VR Little Endian, in a temporary file (PS3.5 A.5)."""
        whole = self._temporary(lambda put: _inflate(held.data, put, self.most))
        held.close()
        return _Made(held.sop_class_uid, held.sop_instance_uid, EXPLICIT_LITTLE, whole)

    def _transcode(self, located: Located, held: Held | None, target: str) -> Held:
        """In `target` by Orthanc, else uncompressed by pydicom. `held` is closed when there is something better."""
        try:
            better: Held = self._by_orthanc(located, target)
        except (OrthancRefused, OrthancUnavailable, ValueError) as error:  # it says 500 where it lacks a codec, too
            if target not in (*UNCOMPRESSED, DEFLATED_LITTLE):
                raise NoAcceptableContext("Orthanc cannot convert this transfer syntax") from error
            if held is None:
                with closing(self.fetch(located)) as fetched:
                    return _by_pydicom(fetched)
            better = _by_pydicom(held)
        if held is not None:
            held.close()
        return better

    def _by_orthanc(self, located: Located, target: str) -> _Made:
        """Raises ValueError where Orthanc sent something else than was asked for."""
        whole = self._temporary(lambda put: self.transcoded(located, target, put))
        meta = read_meta(whole)
        if meta.sop_instance_uid != located.sop_instance_uid or meta.transfer_syntax != target:
            raise ValueError("Orthanc did not convert it")
        return _Made(meta.sop_class_uid, meta.sop_instance_uid, target, whole[meta.dataset_offset :])

    def _temporary(self, fill: Callable[[Put], None]) -> memoryview:
        """What `fill` writes, in a mapped temporary file of which nothing stays on disk, however we end."""
        with tempfile.TemporaryFile(dir=self.folder, prefix="converted-") as file:

            def put(piece: memoryview) -> None:
                file.write(piece)

            fill(put)
            file.flush()
            if not file.tell():
                raise ValueError("nothing came")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _as_it_is(held: Held) -> Outgoing:
    """Padded to even length, as it has to be in PDVs (PS3.8 9.3.5.1); what is compressed takes a null byte."""
    names = held.sop_class_uid, held.sop_instance_uid, held.transfer_syntax
    if len(held.data) % 2 == 0:
        return Outgoing(*names, held.data, held.close)
    return Outgoing(*names, iter((held.data, memoryview(b"\0"))), held.close)


def _inflate(data: memoryview, put: Put, most: int) -> None:
    """Raises ValueError where more than `most` bytes come out, or the end does not."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    left: bytes | memoryview = data
    total = 0
    while left and not inflater.eof:
        piece = inflater.decompress(left, _INFLATE_STEP)
        left = inflater.unconsumed_tail
        total += len(piece)
        if total > most:
            raise ValueError("inflates beyond all bounds")
        put(memoryview(piece))
    if not inflater.eof:
        raise ValueError("the deflated data set is cut off")


def _deflated(buffers: Iterator[memoryview]) -> Iterator[memoryview]:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    total = 0
    for buffer in buffers:
        piece = deflater.compress(buffer)
        total += len(piece)
        if piece:
            yield memoryview(piece)
    piece = deflater.flush()
    yield memoryview(piece + b"\0" * ((total + len(piece)) % 2))  # to even length, PS3.5 A.5


def _by_pydicom(held: Held) -> _Made:
    """Decompressed by whatever codec is installed. Raises NoAcceptableContext where there is none."""
    try:
        dataset: Any = Dataset(read_dataset(BytesIO(held.data), is_implicit_VR=False, is_little_endian=True))
        if _decoded_size(dataset) > _DECODED_BYTES:
            raise NoAcceptableContext("too large to decompress here, and Orthanc cannot")
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(held.transfer_syntax)
        dataset.set_original_encoding(False, True)
        dataset.decompress(generate_instance_uid=False)
        out: Any = DicomBytesIO()
        out.is_implicit_VR, out.is_little_endian = False, True
        write_dataset(out, dataset)
    except NoAcceptableContext:
        raise
    except Exception as error:  # a codec may raise whatever it likes
        raise NoAcceptableContext("neither Orthanc nor a codec here can decompress it") from error
    return _Made(held.sop_class_uid, held.sop_instance_uid, EXPLICIT_LITTLE, memoryview(out.getvalue()))


def _decoded_size(dataset: Any) -> int:
    bits = int(dataset.Rows) * int(dataset.Columns) * int(dataset.SamplesPerPixel) * int(dataset.BitsAllocated)
    return bits * int(getattr(dataset, "NumberOfFrames", None) or 1) // 8


def _given_up(held: Held | None, comment: str) -> NoAcceptableContext:
    _give_up(held)
    return NoAcceptableContext(comment)


def _give_up(held: Held | None) -> None:
    if held is not None:
        held.close()
