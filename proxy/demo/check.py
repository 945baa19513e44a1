"""The demo's self-check: each DIMSE service once, compared with what Orthanc's REST API says."""

import os
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)

from proxy.demo.orthanc import Orthanc
from proxy.demo.pixels import digest
from proxy.demo.programs import dcmtk_program
from proxy.demo.receiver import Receiver
from proxy.demo.samples import SyntheticSeries
from proxy.doctor import scu
from proxy.echo import Address, EchoFailed, echo

CALLING_AET = "DEMO_SCU"


@dataclass(frozen=True)
class Row:
    """One line of the table. `rate` is MB/s, 0 where none makes sense."""

    what: str
    expected: str
    got: str
    well: bool
    seconds: float = 0.0
    rate: float = 0.0


@dataclass(frozen=True)
class SelfCheck:
    """Asks `target` what `orthanc`, which is behind it, can be asked by REST."""

    target: Address
    orthanc: Orthanc
    series: SyntheticSeries
    receiver: Receiver

    def rows(self) -> Iterator[Row]:
        """Run the checks one after the other."""
        yield self._echo()
        patients, studies = len(self.orthanc.get("/patients")), len(self.orthanc.get("/studies"))
        yield self._find("C-FIND patients", "PATIENT", patients, {"PatientID": "*"}, "P")
        yield self._find("C-FIND studies", "STUDY", studies, {"StudyInstanceUID": "*"})
        study = {"StudyInstanceUID": self.series.study_instance_uid}
        yield self._find("C-FIND series", "SERIES", 1, {**study, "SeriesInstanceUID": ""})
        keys = {**study, "SeriesInstanceUID": self.series.series_instance_uid, "SOPInstanceUID": ""}
        stored = self._stored()
        yield self._find("C-FIND images", "IMAGE", len(stored), keys)
        yield self._get("C-GET, cold", stored)
        yield self._get("C-GET, warm", stored)
        yield self._move("C-MOVE", stored)

    def _stored(self) -> dict[str, str]:
        """What REST says: SOP Instance UID -> digest of the pixel data."""
        query = {"StudyInstanceUID": self.series.study_instance_uid}
        found = self.orthanc.post("/tools/find", {"Level": "Instance", "Query": query, "Expand": True})
        return {
            one["MainDicomTags"]["SOPInstanceUID"]: digest(self.orthanc.get_bytes(f"/instances/{one['ID']}/file"))
            for one in found
        }

    def _echo(self) -> Row:
        try:
            seconds = echo(self.target, CALLING_AET)
        except EchoFailed as error:
            return Row("C-ECHO", "success", str(error), False)
        return Row("C-ECHO", "success", "success", True, seconds)

    def _find(self, what: str, level: str, expected: int, keys: Mapping[str, str], root: str = "S") -> Row:
        identifier = Dataset()
        identifier.QueryRetrieveLevel = level
        with warnings.catch_warnings(action="ignore"):  # a lone * is no UID, but a legal question
            for keyword, value in keys.items():
                setattr(identifier, keyword, value)
        model = StudyRootQueryRetrieveInformationModelFind
        if root == "P":
            model = PatientRootQueryRetrieveInformationModelFind
        try:
            answer = scu.find(self.target, CALLING_AET, model, identifier)
        except scu.NotAssociated as error:
            return Row(what, f"{expected} matches", str(error), False)
        well = answer.status == 0 and answer.matches == expected
        got = f"{answer.matches} matches" + ("" if well else f", {answer.outcome}")
        return Row(what, f"{expected} matches", got, well, answer.seconds)

    def _get(self, what: str, stored: Mapping[str, str]) -> Row:
        """By DCMTK's getscu, a client that is none of ours."""
        expected = f"{len(stored)} instances"
        try:
            program = dcmtk_program("getscu")
        except FileNotFoundError as missing:
            return Row(what, expected, str(missing), False)
        with tempfile.TemporaryDirectory(prefix="orthanc-proxy-get-") as folder:
            command = [program, *getscu(self.target, self.series), "-aet", CALLING_AET, "+B", "-od", folder]
            began = time.monotonic()
            done = subprocess.run(
                command, capture_output=True, env={**os.environ, "TCP_NODELAY": "1"}, timeout=600, check=False
            )
            seconds = time.monotonic() - began
            files = [path.read_bytes() for path in Path(folder).iterdir()]
        if done.returncode != 0 and not files:
            words = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
            return Row(what, expected, words[-1] if words else f"getscu: exit status {done.returncode}", False, seconds)
        same = sorted(map(digest, files)) == sorted(stored.values())
        return _transfer(what, stored, len(files), same, sum(map(len, files)), seconds)

    def _move(self, what: str, stored: Mapping[str, str]) -> Row:
        model = StudyRootQueryRetrieveInformationModelMove
        identifier = Dataset()
        identifier.QueryRetrieveLevel = "STUDY"
        identifier.StudyInstanceUID = self.series.study_instance_uid
        self.receiver.clear()
        what = f"{what} to {self.receiver.aet}"
        try:
            answer = scu.move(self.target, CALLING_AET, model, identifier, self.receiver.aet)
        except scu.NotAssociated as error:
            return Row(what, f"{len(stored)} instances", str(error), False)
        if answer.status != 0:
            words = f"{answer.outcome}, {self.receiver.count} came"
            return Row(what, f"{len(stored)} instances", words, False, answer.seconds)
        came = self.receiver.received
        return _transfer(what, stored, self.receiver.count, came == dict(stored), self.receiver.bytes, answer.seconds)


def _transfer(what: str, stored: Mapping[str, str], count: int, same: bool, size: int, seconds: float) -> Row:
    well = same and count == len(stored)
    words = f"{count}, pixels {'identical' if same else 'DIFFERENT'}"
    return Row(what, f"{len(stored)} instances", words, well, seconds, size / 1e6 / seconds)


def getscu(target: Address, series: SyntheticSeries) -> list[str]:
    """The command that fetches the study of `series`."""
    keys = ["-k", "0008,0052=STUDY", "-k", f"0020,000D={series.study_instance_uid}"]
    return ["-S", "-aec", target.aet, *keys, target.host, str(target.port)]
