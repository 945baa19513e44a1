"""DCMTK's command-line tools as clients: run, and what they received, read back from their debug output."""

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset, dcmread

from proxy.demo.programs import dcmtk_program

_MESSAGE = re.compile(r"=+ INCOMING DIMSE MESSAGE =+\n(.*?)=+ END DIMSE MESSAGE", re.DOTALL)
_LINE = re.compile(r"^D: ([^:]+?) *: (.*)$", re.MULTILINE)
_ECHOED = re.compile(r"Received Echo Response \((\w+)")
_ELEMENT = re.compile(r"^[DIW]: \((\w{4}),(\w{4})\) (\w\w) (.*?) +# ", re.MULTILINE)


@dataclass(frozen=True)
class DimseResponse:
    """One response as a DCMTK tool printed it; counts are None where the message had none."""

    message: str
    status: int
    remaining: int | None = None
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None
    error_comment: str = ""


@dataclass
class Outcome:
    """What a tool did: its exit status, everything it printed, and the responses it received."""

    returncode: int
    output: str
    responses: list[DimseResponse] = field(default_factory=list)
    datasets: list[Dataset] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    @property
    def final(self) -> DimseResponse:
        """The last response."""
        assert self.responses, f"no response was received:\n{self.output[-3000:]}"
        return self.responses[-1]


@dataclass(frozen=True)
class Dcmtk:
    """The tools, aimed at one DICOM port. `nodelay` sets TCP_NODELAY=1, which turns their Nagle off."""

    port: int
    called_aet: str
    folder: Path
    calling_aet: str = "TESTSCU"
    nodelay: bool = True
    options: tuple[str, ...] = ()
    timeout: float = 60.0

    def echo(self, *options: str) -> Outcome:
        """echoscu, which prints no status: 0000 where it reports success, else C000."""
        outcome = self._run("echoscu", "-d", *options)
        for word in _ECHOED.findall(outcome.output):
            outcome.responses.append(DimseResponse("C-ECHO RSP", 0x0000 if word == "Success" else 0xC000))
        return outcome

    def find(self, *keys: str, model: str = "-S", options: Sequence[str] = ()) -> Outcome:
        """findscu; `keys` as "0008,0052=STUDY". The identifiers are in `datasets`, in order."""
        folder = self._folder("find")
        outcome = self._run("findscu", "-d", model, "-X", "-od", str(folder), *options, *_keys(keys))
        outcome.datasets = [dcmread(path) for path in sorted(folder.glob("rsp*.dcm"))]
        return outcome

    def get(self, *keys: str, model: str = "-S", options: Sequence[str] = ()) -> Outcome:
        """getscu; the received instances are in `files`."""
        folder = self._folder("get")
        outcome = self._run("getscu", "-d", model, "-od", str(folder), *options, *_keys(keys))
        outcome.files = sorted(folder.iterdir())
        return outcome

    def move(self, destination: str, *keys: str, model: str = "-S", options: Sequence[str] = ()) -> Outcome:
        """movescu towards an AE title."""
        return self._run("movescu", "-d", model, "-aem", destination, *options, *_keys(keys))

    def store(self, *files: Path, options: Sequence[str] = ()) -> Outcome:
        """storescu with these files or folders, on one association."""
        return self._run("storescu", "-d", "+sd", "+r", *options, files=files)

    def send(self, *files: Path, options: Sequence[str] = ()) -> Outcome:
        """dcmsend with these files or folders."""
        return self._run("dcmsend", "-d", "+sd", "+r", *options, files=files)

    def _folder(self, name: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))

    def _run(self, tool: str, *arguments: str, files: Sequence[Path] = ()) -> Outcome:
        addresses = ["-aet", self.calling_aet, "-aec", self.called_aet]
        done = subprocess.run(
            [dcmtk_program(tool), *addresses, *self.options, *arguments, "127.0.0.1", str(self.port), *map(str, files)],
            capture_output=True,
            env=environment(nodelay=self.nodelay),
            timeout=self.timeout,
            check=False,
        )
        output = (done.stdout + done.stderr).decode("utf-8", "replace")
        return Outcome(done.returncode, output, responses(output))


def environment(*, nodelay: bool) -> Mapping[str, str]:
    """This environment with or without TCP_NODELAY=1, which DCMTK (and so Orthanc) obeys."""
    inherited = {key: value for key, value in os.environ.items() if key != "TCP_NODELAY"}
    return {**inherited, "TCP_NODELAY": "1"} if nodelay else inherited


def responses(output: str) -> list[DimseResponse]:
    """Every DIMSE response in a tool's debug output."""
    found = []
    for block in _MESSAGE.finditer(output):
        fields = dict(_LINE.findall(block[1]))
        if "DIMSE Status" not in fields:
            continue
        found.append(
            DimseResponse(
                message=fields.get("Message Type", "").strip(),
                status=int(fields["DIMSE Status"].split(":")[0], 16),
                remaining=_count(fields, "Remaining"),
                completed=_count(fields, "Completed"),
                failed=_count(fields, "Failed"),
                warning=_count(fields, "Warning"),
                error_comment=_comment(output[block.end() :]),
            )
        )
    return found


def _count(fields: Mapping[str, str], which: str) -> int | None:
    value = fields.get(f"{which} Suboperations", "none").strip()
    return int(value) if value.isdigit() else None


def _comment(after: str) -> str:
    """The Error Comment among the status detail that follows a message."""
    detail = after.split("DIMSE MESSAGE", 1)[0]
    for group, number, _, value in _ELEMENT.findall(detail):
        if (group, number) == ("0000", "0902"):
            return str(value).strip("[] ")
    return ""


def _keys(keys: Sequence[str]) -> list[str]:
    return [argument for key in keys for argument in ("-k", key)]
