"""Nothing of a patient is told: all services run on marked data, then every line, metric and page is searched.

What may be told at DEBUG is left out; everything above it is looked at, in both formats and on both wires.
"""

import base64
import contextlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from pydicom import Dataset, config
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)
from typer.testing import CliRunner

from proxy.admin.api import ENDPOINTS
from proxy.cli import app
from proxy.demo.orthanc import Orthanc
from tests.fakes import http_faults as faults
from tests.fakes.http_faults import HttpFaults
from tests.integration.conftest import StartProxy
from tests.support import raw
from tests.support.dcmtk import Dcmtk
from tests.support.destinations import Recorder
from tests.support.instances import instance, part10, series
from tests.support.ports import free_port
from tests.support.proxy_process import Proxy
from tests.support.rest import upload
from tests.support.scu import (
    PATIENT_FIND,
    PATIENT_GET,
    PATIENT_MOVE,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    Answer,
    associated,
    keys,
)
from tests.support.waiting import wait_until

PATIENT: dict[str, object] = {
    "PatientName": "ZQX^Canary=患者^秘密",
    "PatientID": "ZQXID-4711",
    "PatientBirthDate": "19120623",
    "OtherPatientIDs": "ZQXOTHER",
    "AccessionNumber": "ZQXACC",
    "StudyID": "ZQXSTUDY",
    "StudyDescription": "ZQX knee",
    "SeriesDescription": "ZQX axial",
    "ReferringPhysicianName": "ZQX^Doctor",
    "OperatorsName": "ZQX^Operator",
    "InstitutionName": "ZQX clinic",
    "PatientComments": "ZQX says",
    "ImageComments": "ZQX image",
}
_WORDS = ("zqx", "患者", "秘密", "19120623", "1912-06-23")
_CANARIES = {
    *_WORDS,
    *(quote(word).lower() for word in _WORDS),
    *(json.dumps(word).strip('"').lower() for word in _WORDS),
    *(word.encode().hex() for word in _WORDS),
    base64.b64encode(b"ZQXID-4711").decode().lower()[:12],
}
_ORTHANC_QUOTES = json.dumps({"OrthancStatus": 8, "OrthancError": "Bad file format", "Details": "ZQX^Canary"}).encode()
_AWAY = "AWAY_AET"


def found_in(text: str) -> list[str]:
    """What of the patient shows in it, with a little of what stands around."""
    text = text.lower()
    return [text[max(0, at - 60) : at + 60] for word in _CANARIES if (at := text.find(word)) >= 0]


@dataclass
class Ward:
    """Everything that a marked patient passes through."""

    proxy: Proxy
    way: HttpFaults
    images: list[FileDataset]
    folder: Path
    committer: int  # the port where reports of storage commitment are taken
    comments: list[str] = field(default_factory=list)

    def noted(self, answers: list[Answer]) -> list[Answer]:
        """The same answers, whose comments are remembered."""
        self.comments += [answer.comment for answer in answers]
        return answers

    @property
    def study(self) -> str:
        return str(self.images[0].StudyInstanceUID)


def refusing(_arrival: object) -> Dataset:
    """A receiver that quotes the patient in its refusal."""
    answer = Dataset()
    answer.Status = 0xC123
    answer.ErrorComment = "ZQX^Canary is not welcome"
    return answer


# pydicom itself warns of the wrong values that we send on purpose
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value length", "ignore:Failed to encode")


@pytest.fixture(params=[("text", "fast"), ("json", "fast"), ("json", "stock")], ids="-".join)
def ward(
    request: pytest.FixtureRequest,
    start_proxy: StartProxy,
    one_fresh_orthanc: Orthanc,
    start_recorder: Callable[..., Recorder],
    tmp_path: Path,
) -> Iterator[Ward]:
    form, wire = request.param
    orthanc = one_fresh_orthanc
    images = list(series(6, **PATIENT))
    upload(orthanc, *images)
    good, bad = start_recorder("GOOD"), start_recorder("BAD", answer=refusing)
    committer = free_port()
    places = {
        "good": ("GOOD", good.port),
        "bad": ("BAD", bad.port),
        "away": (_AWAY, free_port()),
        "committer": ("COMMITTER", committer),
    }
    for name, (aet, port) in places.items():
        orthanc.put(f"/modalities/{name}", [aet, "127.0.0.1", port])
    orthanc.put("/modalities/itself", [orthanc.aet, "127.0.0.1", orthanc.dicom_port])
    with HttpFaults(orthanc.url) as way:
        proxy = start_proxy(
            way.url,
            {
                "proxy": {"log_level": "debug", "drain_timeout": 1},
                "listener": {"wire": wire},
                "logging": {"format": form, "log_to_file": True, "log_file_path": str(tmp_path / "proxy.log")},
                "pipelines": {
                    "by_store": {"aet": "BY_STORE", "services": ["find", "move"], "move_strategy": "orthanc-store"},
                    "by_move": {"aet": "BY_MOVE", "services": ["find", "move"], "move_strategy": "orthanc-move"},
                },
                "destinations": {
                    name: {"aet": aet, "host": "127.0.0.1", "port": port} for name, (aet, port) in places.items()
                },
                "spool": {"retry_initial": 0.1, "retry_max": 0.3},
                "commitment": {"retry_initial": 0.2, "retry_max": 0.5, "wait": 5},
            },
        )
        yield Ward(proxy, way, images, tmp_path, committer)
        proxy.stop()


# ---- what is done to the marked patient


def query(ward: Ward) -> None:
    with associated(ward.proxy.dicom_port, ward.proxy.aet, calling_aet="QUERY") as scu, lenient():
        assert scu.echo() == 0x0000
        asked = {name: value for name, value in PATIENT.items() if name not in ("PatientComments", "ImageComments")}
        answers = scu.find(keys("PATIENT", PatientID="ZQXID-4711", PatientName=""), PATIENT_FIND)
        assert "ZQX" in str(answers[0].identifier), "the marked patient is there"
        for request, model in (
            (keys("STUDY", **asked), STUDY_FIND),
            (keys("STUDY", PatientName="ZQX*"), STUDY_FIND),
            (keys("SERIES", PatientID="ZQXID-4711", SeriesDescription="ZQX*"), PATIENT_FIND),
            (keys("IMAGE", PatientID="ZQXID-4711", StudyInstanceUID=ward.study), PATIENT_FIND),
            (keys("STUDY", PatientID="ZQX nobody"), STUDY_FIND),
            (keys("ZQXLEVEL", PatientID="ZQXID-4711"), STUDY_FIND),
            (keys(None, PatientID="ZQXID-4711"), STUDY_FIND),
            (keys("STUDY", StudyDate="ZQX-1912"), STUDY_FIND),
            (keys("STUDY", PatientBirthDate="*19120623*", StudyTime="ZQX"), STUDY_FIND),
            (keys("STUDY", StudyInstanceUID="ZQX.*"), STUDY_FIND),
            (keys("STUDY", AccessionNumber="ZQXACC" * 20), STUDY_FIND),
            (keys("STUDY", RequestAttributesSequence=[keys(), keys(AccessionNumber="ZQXACC")]), STUDY_FIND),
        ):
            ward.noted(scu.find(request, model))
        ward.way.on("POST", "^/tools/find", faults.status(500, _ORTHANC_QUOTES))
        assert ward.noted(scu.find(keys("STUDY", PatientID="ZQXID-4711")))[-1].status != 0
        ward.way.on("POST", "^/tools/find", faults.body(b"ZQX^Canary, no JSON"))
        assert ward.noted(scu.find(keys("STUDY", PatientID="ZQXID-4711")))[-1].status != 0
        ward.way.clear()


def retrieve(ward: Ward) -> None:
    port, aet = ward.proxy.dicom_port, ward.proxy.aet
    with associated(port, aet, calling_aet="GETTER") as scu, lenient():
        final = ward.noted(scu.get(keys("PATIENT", PatientID="ZQXID-4711"), PATIENT_GET))[-1]
        assert final.counts()[1] == len(ward.images)
        assert all("ZQX" in str(dataset.PatientName) for dataset in scu.received)
        ward.noted(scu.get(keys("STUDY", StudyInstanceUID=ward.study)))
        for request, model in (
            (keys("PATIENT", PatientID="ZQX*"), PATIENT_GET),
            (keys("PATIENT", PatientID="ZQX nobody"), PATIENT_GET),
            (keys("STUDY", StudyInstanceUID="ZQX"), STUDY_GET),
            (keys("ZQXLEVEL", StudyInstanceUID=ward.study), STUDY_GET),
        ):
            ward.noted(scu.get(request, model))
    with associated(port, aet, calling_aet="PICKY", on_store=lambda _: 0xA700) as scu:
        assert ward.noted(scu.get(keys("STUDY", StudyInstanceUID=ward.study)))[-1].counts()[2] == len(ward.images)
    with associated(port, aet, calling_aet="BLIND", images=()) as scu:
        assert ward.noted(scu.get(keys("STUDY", StudyInstanceUID=ward.study)))[-1].counts()[2] == len(ward.images)


def move(ward: Ward) -> None:
    for called_aet in (ward.proxy.aet, "BY_STORE", "BY_MOVE"):
        with associated(ward.proxy.dicom_port, called_aet, calling_aet="MOVER") as scu, lenient():
            request = keys("PATIENT", PatientID="ZQXID-4711")
            final = ward.noted(scu.move(request, "GOOD", PATIENT_MOVE))[-1]
            assert (final.status, final.counts()[1]) == (0x0000, len(ward.images)), called_aet
            for destination in ("BAD", _AWAY, "UNKNOWN"):
                assert ward.noted(scu.move(request, destination, PATIENT_MOVE))[-1].status != 0, destination
            ward.noted(scu.move(keys("PATIENT", PatientID="ZQX nobody"), "GOOD", PATIENT_MOVE))
            ward.noted(scu.move(keys("STUDY", StudyInstanceUID="ZQX*"), "GOOD", STUDY_MOVE))


def store(ward: Ward) -> None:
    folder = ward.folder / "ZQX^Canary"
    folder.mkdir()
    (folder / "ZQX-4711.dcm").write_bytes(part10(instance(**PATIENT)))
    station = Dcmtk(ward.proxy.dicom_port, ward.proxy.aet, ward.folder, calling_aet="SENDER")
    assert station.store(folder).final.status == 0x0000
    nested = Dataset()
    for _ in range(60):
        nested, inner = Dataset(), nested
        nested.RequestAttributesSequence = [inner]
        nested.PatientComments = "ZQX deep"
    with associated(ward.proxy.dicom_port, ward.proxy.aet, calling_aet="SENDER") as scu, lenient():
        for broken in (
            instance(**PATIENT, StudyInstanceUID="ZQX.1"),
            instance(**PATIENT, StudyInstanceUID=""),
            instance(**PATIENT, RequestAttributesSequence=nested.RequestAttributesSequence),
            instance(**PATIENT, Modality="ZQX" * 30),
        ):
            scu.association.send_c_store(broken)
    ward.way.on("POST", "^/instances", faults.status(400, _ORTHANC_QUOTES))
    with associated(ward.proxy.dicom_port, ward.proxy.aet, calling_aet="SENDER") as scu:
        assert scu.store(instance(**PATIENT)) == 0x0000
    wait_until(lambda: ward.proxy.admin("/api/v1/spool").json()["dead_count"] >= 1)
    ward.way.on("POST", "^/instances", faults.status(503, _ORTHANC_QUOTES))
    with associated(ward.proxy.dicom_port, ward.proxy.aet, calling_aet="SENDER") as scu:
        assert scu.store(instance(**PATIENT)) == 0x0000
    wait_until(lambda: any(one["why"] for one in ward.proxy.admin("/api/v1/spool").json()["queues"]))


def send_garbage(ward: Ward) -> None:
    """Data sets cut short, commands that are none, and words where a PDU should be, all of them marked."""
    marked = part10(instance(**PATIENT))
    told = raw.store_command(SecondaryCaptureImageStorage, "2.25.4711")
    for message in (
        raw.message(1, told, marked[200:-30]),
        raw.message(1, b"ZQX^Canary" * 20, marked),
        raw.pdv(1, 3, b"ZQX^Canary" * 20),
        b"ZQX^Canary" * 20,
    ):
        peer = raw.Peer.connect(ward.proxy.dicom_port)
        with contextlib.suppress(raw.Ended, OSError):
            peer.associate(ward.proxy.aet, contexts=[(1, SecondaryCaptureImageStorage, [ExplicitVRLittleEndian])])
            peer.send(message)
            peer.ending(2.0, closing=False)
        peer.close()


def commit(ward: Ward) -> None:
    reports: list[Dataset] = []

    def take(event: evt.Event) -> tuple[int, None]:
        reports.append(event.event_information)
        return 0x0000, None

    ae = AE("COMMITTER")
    ae.add_requested_context(StorageCommitmentPushModel)
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    handlers = [(evt.EVT_N_EVENT_REPORT, take)]
    server = ae.start_server(("127.0.0.1", ward.committer), block=False, evt_handlers=handlers)
    association = ae.associate("127.0.0.1", ward.proxy.dicom_port, ae_title=ward.proxy.aet, evt_handlers=handlers)
    assert association.is_established
    with lenient():
        for uids in ([ward.images[0].SOPInstanceUID, generate_uid()], ["ZQX.1"]):
            wanted = Dataset()
            wanted.TransactionUID = generate_uid()
            wanted.PatientName = "ZQX^Canary"
            wanted.ReferencedSOPSequence = []
            for uid in uids:
                item = Dataset()
                item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = SecondaryCaptureImageStorage, uid
                wanted.ReferencedSOPSequence.append(item)
            association.send_n_action(wanted, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    association.release()
    wait_until(lambda: bool(reports))
    server.shutdown()


@contextlib.contextmanager
def lenient() -> Iterator[None]:
    """Let pydicom write values that are wrong."""
    before = config.settings.writing_validation_mode
    config.settings.writing_validation_mode = config.IGNORE
    try:
        yield
    finally:
        config.settings.writing_validation_mode = before


# ---- where it is looked for


def lines_above_debug(text: str) -> list[str]:
    """Lines of either format; what has no level (a traceback) belongs to the line before it."""
    told, keep = [], True
    for line in text.splitlines():
        if line.startswith("{"):
            keep = json.loads(line)["level"] != "debug"
        elif match := re.match(r"\S+Z (\w+) ", line):
            keep = match[1] != "debug"
        if keep:
            told.append(line)
    return told


def shown(proxy: Proxy) -> Iterator[tuple[str, str]]:
    """Everything that the admin server shows to somebody without a login: path and text."""
    paths = ["/", "/live", "/configuration", "/metrics", "/readyz", "/login", "/api/v1/openapi.json"]
    paths += ["/api/v1" + one.path for one in ENDPOINTS if one.method == "GET" and "{" not in one.path]
    for path in [*paths, "/api/v1/associations?limit=500", "/api/v1/history?span=day"]:
        answer = proxy.admin(path)
        assert answer.status_code in (200, 503), path
        yield path, answer.text
    openmetrics = {"Accept": "application/openmetrics-text"}
    yield "OpenMetrics", httpx.get(proxy.admin_url + "/metrics", headers=openmetrics).text


def given_away(ward: Ward) -> Iterator[tuple[str, str]]:
    """What `doctor` prints, and all that `support-bundle` collects, of a log that names the patient at DEBUG."""
    form = ward.proxy.configuration["logging"]["format"]  # type: ignore[index]
    line = '{"level":"debug","event":"ZQX"}' if form == "json" else "2026-01-05T10:15:00Z debug   ZQX\nValueError: ZQX"
    with (ward.folder / "proxy.log").open("a") as log:
        log.write(f"{line}\n")
    ports = {"listener": ward.proxy.dicom_port, "admin": ward.proxy.admin_port}
    options = [word for name, port in ports.items() for word in ("--set", f"{name}.bind_port={port}")]
    told = CliRunner().invoke(app, ["doctor", "--json", "--config", str(ward.proxy.config_file), *options])
    assert "as Orthanc holds it" in told.stdout, "an instance of the patient was retrieved"
    yield "doctor", told.output
    bundle = ward.folder / "bundle.tar.gz"
    arguments = ["support-bundle", "--config", str(ward.proxy.config_file), *options, "--output", str(bundle)]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0, told.output
    yield "support-bundle", told.output
    with tarfile.open(bundle) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers()}
        assert {"log.txt", "metrics.txt", "spool.json", "api/status.json"} <= names
        for member in archive.getmembers():
            yield member.name, archive.extractfile(member).read().decode()  # type: ignore[union-attr]


def test_nothing_of_a_patient_is_told(ward: Ward) -> None:
    for act in (query, retrieve, move, store, send_garbage, commit):
        act(ward)
    services = {"C-ECHO", "C-FIND", "C-GET", "C-MOVE", "C-STORE", "N-ACTION"}
    wait_until(lambda: services <= {found for found in services if f'service="{found}"' in metrics(ward.proxy)})
    for path, text in shown(ward.proxy):
        assert found_in(text) == [], path
    for name, text in given_away(ward):
        assert found_in(text) == [], name
    ward.proxy.stop()
    for name, text in (
        ("standard error", ward.proxy.child.log.read_text()),
        ("log file", (ward.folder / "proxy.log").read_text()),
    ):
        lines = lines_above_debug(text)
        for service in services:
            assert any(service in line for line in lines), f"{service} left no line in {name}"
        assert any("dead letter" in line for line in lines)
        assert [line for line in lines if found_in(line)] == [], name
    assert any(ward.comments)
    assert found_in("\n".join(ward.comments)) == []


def metrics(proxy: Proxy) -> str:
    return proxy.admin("/metrics").text


@pytest.mark.parametrize(
    "leak",
    [
        "2026-01-05T10:15:00.000000Z info    C-FIND PatientName=ZQX^Canary",
        '{"ts":"2026-01-05T10:15:00Z","level":"warning","event":"PatientID ZQXID-4711"}',
        '{"ts":"2026-01-05T10:15:00Z","level":"error","event":"\\u60a3\\u8005"}',
        "2026-01-05T10:15:00.000000Z error   a bug\nValueError: 1912-06-23",
        "GET /patients?name=%E6%82%A3%E8%80%85",
    ],
)
def test_a_leak_would_be_found(leak: str) -> None:
    assert [line for line in lines_above_debug(leak) if found_in(line)]


def test_what_is_told_at_debug_is_left_out() -> None:
    quoted = '{"ts":"x","level":"debug","event":"ZQX"}\n2026-01-05T10:15:00Z debug   ZQX\nValueError: ZQX'
    assert lines_above_debug(quoted) == []


def test_the_marked_patient_is_in_every_instance() -> None:
    file = io.BytesIO(part10(instance(**PATIENT))).getvalue().decode("utf-8", "replace")
    assert all(word in file.lower() for word in _WORDS if "-" not in word)
