"""The whole way of a query and of a retrieve: by DICOM through the running proxy, else by REST to Orthanc.

One instance is looked at, which Orthanc names; nothing of its content is told.
"""

import hashlib
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

from pydicom.dataset import Dataset

from proxy.config import Settings
from proxy.dicom.messages import Located
from proxy.dicom.part10 import FileMeta, read_meta
from proxy.doctor import remedies, scu
from proxy.doctor.finding import Finding, State
from proxy.echo import Address
from proxy.errors import ConfigError, OrthancError, OrthancRefused
from proxy.journal import Journal
from proxy.orthanc.client import OrthancClient
from proxy.orthanc.listing import list_below

_STUDY_FIND, _STUDY_GET = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.3"
_LONGEST = 256 << 20  # bytes of an instance that is fetched to see whether that works
_TITLE = "Call with --aet and an AE title that the access rules of [pipelines.{}] let in."


@dataclass(frozen=True, slots=True)
class Sample:
    """A small instance that an Orthanc holds: its study, where it is, its file."""

    study_instance_uid: str
    located: Located
    file: bytes
    meta: FileMeta

    @property
    def data(self) -> bytes:
        """What follows the file meta information."""
        return self.file[self.meta.dataset_offset :]


def path_findings(settings: Settings, targets: Mapping[str, Address], calling_aet: str) -> Iterator[Finding]:
    """For each pipeline; `targets` are where its AE title can be called, by pipeline name; else Orthanc is asked."""
    for name, backend in settings.backends.items():
        pipelines = {key: one for key, one in settings.pipelines.items() if one.backend == name}
        try:
            with closing(OrthancClient(name, backend, Journal())) as client:
                sample = _sample(client)
                if not targets.keys() & pipelines.keys():
                    yield from _direct(client, sample)
        except (OrthancError, ConfigError) as error:
            says = error.comment if isinstance(error, OrthancError) else str(error)
            yield Finding(f"sample of {name}", backend.url, State.FAILED, says, remedies.for_backend(name, says))
            continue
        for key, pipeline in pipelines.items():
            if key in targets:
                yield from _through(key, pipeline.services, targets[key], sample, calling_aet)


def _sample(client: OrthancClient) -> Sample | None:
    """The smallest instance of some study; None where there is none, or none that is small. Raises OrthancError."""
    study_id = next(iter(client.find_ids({"Level": "Study", "Query": {}, "Limit": 1})), None)
    if study_id is None:
        return None
    study = client.resource("studies", study_id)
    located = min(list_below(client, "STUDY", study_id), key=lambda one: one.size, default=None)
    if located is None or located.size > _LONGEST:
        return None
    file = _file(client, located)
    try:
        meta = read_meta(file)
    except ValueError as error:
        raise OrthancRefused("Orthanc gives out a file that is not DICOM") from error
    return Sample(str(study.get("MainDicomTags", {}).get("StudyInstanceUID", "")), located, file, meta)


def _file(client: OrthancClient, located: Located) -> bytes:
    pieces: list[bytes] = []
    client.download(located, lambda piece: pieces.append(bytes(piece)), lambda _: pieces.clear())
    return b"".join(pieces)


def _direct(client: OrthancClient, sample: Sample | None) -> Iterator[Finding]:
    """By REST, as the proxy will do it: an instance can be found and fetched, and is what Orthanc stored."""
    where = client.backend.url
    if sample is None:
        yield Finding("query, retrieve", where, State.SKIPPED, _NOTHING)
        return
    yield Finding("query", where, State.OK, "by REST: a study was found and listed")
    wanted = client.attachment_md5(sample.located.instance_id)
    if wanted and hashlib.md5(sample.file, usedforsecurity=False).hexdigest() != wanted:
        says = "by REST: an instance is not what Orthanc stored (another MD5)"
        yield Finding("retrieve", where, State.FAILED, says, "Look at the disk of Orthanc, and at what is between.")
        return
    yield Finding("retrieve", where, State.OK, f"by REST: one instance, {len(sample.file):,} bytes")


def _through(
    name: str, services: Collection[str], target: Address, sample: Sample | None, calling_aet: str
) -> Iterator[Finding]:
    """By DICOM, as a workstation does it."""
    for what, service, look in (("query", "find", _query), ("retrieve", "get", _retrieve)):
        if service not in services:
            yield Finding(what, str(target), State.SKIPPED, f"[pipelines.{name}] services has no {service}")
            continue
        if sample is None:
            yield Finding(what, str(target), State.SKIPPED, _NOTHING)
            continue
        try:
            yield look(target, sample, calling_aet)
        except scu.NotAssociated as error:
            state = State.WARNING if error.rejected else State.FAILED
            remedy = _TITLE.format(name) if error.rejected else "See the ports above."
            yield Finding(what, str(target), state, str(error), remedy)


_NOTHING = "Orthanc holds no small instance to try it with"


def _query(target: Address, sample: Sample, calling_aet: str) -> Finding:
    answer = scu.find(target, calling_aet, _STUDY_FIND, _identifier("STUDY", sample))
    if answer.status != 0:
        return _failed("query", target, "C-FIND", answer)
    if answer.matches != 1:
        says = f"C-FIND told {answer.matches} matches of one study that Orthanc holds"
        return Finding("query", str(target), State.FAILED, says, "Look into the log of orthanc-proxy.")
    return Finding("query", str(target), State.OK, f"C-FIND of one study in {answer.seconds * 1000:.0f} ms")


def _retrieve(target: Address, sample: Sample, calling_aet: str) -> Finding:
    image = (sample.meta.sop_class_uid, sample.meta.transfer_syntax)
    answer = scu.get(target, calling_aet, _STUDY_GET, _identifier("IMAGE", sample), image)
    if answer.status != 0:
        return _failed("retrieve", target, "C-GET", answer)
    if answer.received != [sample.data]:
        says = f"C-GET of one instance brought {len(answer.received)} that are not what Orthanc holds"
        remedy = "`orthanc-proxy cache clear`, and tell the authors: this must not be."
        return Finding("retrieve", str(target), State.FAILED, says, remedy)
    says = f"C-GET of one instance, {len(sample.data):,} bytes, in {answer.seconds * 1000:.0f} ms: as Orthanc holds it"
    return Finding("retrieve", str(target), State.OK, says)


def _failed(what: str, target: Address, command: str, answer: scu.Answer) -> Finding:
    remedy = remedies.for_status(command, answer.status) or "Look into the log of orthanc-proxy."
    return Finding(what, str(target), State.FAILED, f"{command}: {answer.outcome}", remedy)


def _identifier(level: str, sample: Sample) -> Dataset:
    identifier = Dataset()
    with warnings.catch_warnings(action="ignore"):  # whatever Orthanc holds as a UID
        identifier.QueryRetrieveLevel = level
        identifier.StudyInstanceUID = sample.study_instance_uid
        if level == "IMAGE":
            identifier.SOPInstanceUID = sample.located.sop_instance_uid
    return identifier
