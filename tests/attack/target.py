"""The proxy set up as a victim: short time limits, a real Orthanc behind it, something to retrieve."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from proxy.demo.orthanc import Orthanc, find_orthanc
from proxy.demo.samples import SyntheticSeries
from tests.attack.kit import Victim
from tests.support import raw
from tests.support.instances import part10, series
from tests.support.proxy_process import Proxy, settings
from tests.support.scu import associated, keys

CT = SyntheticSeries(name="victim", patient_name="a" * 60 + "bx", slices=10, rows=64, columns=64)
LIMITS = {
    "request_timeout": 1.5,
    "pdu_timeout": 1.5,
    "idle_timeout": 3.0,
    "send_timeout": 2.0,
    "response_timeout": 2.0,
}


@contextlib.contextmanager
def victim_orthanc(folder: Path) -> Iterator[tuple[Orthanc, str]]:
    """An Orthanc with the CT series and a study of 8 images of 4 MB; and that study's UID."""
    guard = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
    orthanc = Orthanc(folder / "orthanc", command=[*guard, find_orthanc() or "Orthanc"], environ=dict(os.environ))
    try:
        orthanc.start()
        for file in CT.files():
            orthanc.upload(file)
        bulk = list(series(8, rows=2048, columns=2048))
        for image in bulk:
            orthanc.upload(part10(image))
        yield orthanc, str(bulk[0].StudyInstanceUID)
    finally:
        orthanc.kill()


@contextlib.contextmanager
def proxy_victim(folder: Path, *, wire: str = "fast", workers: int = 1) -> Iterator[Victim]:
    """The proxy before such an Orthanc; all that it may hold on to is warmed up."""
    with victim_orthanc(folder) as (orthanc, bulk_uid):
        overrides = {
            "limits": LIMITS,
            "listener": {"wire": wire},
            "proxy": {"workers": workers},
            "backends": {"orthanc": {"connections": 4}},  # that are kept: what is left behind must not hide among them
        }
        proxy = Proxy(settings(orthanc.url, folder / "storage", overrides), folder / "proxy").start()
        try:
            for _ in range(20):
                raw.echo(proxy.dicom_port, proxy.aet)
            with associated(proxy.dicom_port, proxy.aet) as scu:
                scu.get(keys("STUDY", StudyInstanceUID=CT.study_instance_uid))
            yield Victim(
                proxy.dicom_port,
                proxy.aet,
                proxy.child.pid,
                patience=6.0,
                study_uid=CT.study_instance_uid,
                count=CT.slices,
                bulk_uid=bulk_uid,
                spool=folder / "storage" / "dimse",
            )
            proxy.stop()
        finally:
            proxy.kill()
