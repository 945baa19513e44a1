"""The plug is pulled: what a real file system has on its disk at that moment holds all that was acknowledged."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.config import SpoolSettings
from proxy.demo.orthanc import Orthanc
from proxy.spool.parcel import opened
from proxy.spool.spool import Spool
from tests.support.instances import part10, series
from tests.support.loop_disk import make_disk
from tests.support.modality import Sender
from tests.support.ports import free_port
from tests.support.proxy_process import Proxy
from tests.support.rest import assert_same_instances, stored_files
from tests.support.waiting import wait_until

_CUTS = 8
_SENDERS = 4


@contextmanager
def held_still(proxy: Proxy) -> Iterator[None]:
    """Inside, none of its processes does anything."""
    os.killpg(proxy.child.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(proxy.child.pid, signal.SIGCONT)


@pytest.mark.root
def test_whatever_was_acknowledged_when_the_power_went_out_is_there_and_arrives(
    one_fresh_orthanc: Orthanc, start_proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    image, folder = tmp_path / "disk.img", tmp_path / "disk"
    with make_disk(image, folder, 128 << 20).mounted() as disk:
        settings = {"storage": {"path": str(folder / "storage")}, "spool": {"min_free_bytes": 0}}
        proxy = start_proxy(f"http://127.0.0.1:{free_port()}", {"proxy": {"workers": 2}}, settings)
        sent = [Sender(proxy, list(series(400, PatientID="CUT", rows=100, columns=100))) for _ in range(_SENDERS)]
        for sender in sent:
            sender.start()
        counts = []
        for number in range(_CUTS):
            time.sleep(random.uniform(0.1, 0.6))
            with held_still(proxy):
                acknowledged = [image for sender in sent for image in list(sender.acknowledged)]
                left = disk.pulled(tmp_path / f"left-{number}.img", tmp_path / f"left-{number}")
            counts.append(len(acknowledged))
            with left.mounted():
                assert_all_there(
                    left.folder / "storage", {str(one.SOPInstanceUID): part10(one) for one in acknowledged}
                )
                if number == _CUTS - 1:
                    again = start_proxy(one_fresh_orthanc, {"storage": {"path": str(left.folder / "storage")}})
                    wait_until(lambda: not [*(again.storage / "dimse").glob("[0-9]*/*/*.dcm")], 30)
                    arrived = stored_files(one_fresh_orthanc, PatientID="CUT")
                    assert_same_instances(acknowledged, {uid: arrived[uid] for uid in map(_uid, acknowledged)})
                    again.stop()
            left.image.unlink()
        print(f"acknowledged at the cuts: {counts}")
        assert counts[0] > 0
        proxy.kill()
        for sender in sent:
            sender.give_up()
    image.unlink()


def _uid(image: object) -> str:
    return str(image.SOPInstanceUID)  # type: ignore[attr-defined]


def assert_all_there(storage: Path, files: dict[str, bytes]) -> None:
    """A start on that disk: everything named is whole, and all of `files` is there."""
    spool = Spool(storage, SpoolSettings.model_validate({"min_free_bytes": 0}))
    spool.settle()
    found = {}
    for name in spool.names():
        with opened(spool.path(name)) as parcel:  # raises when it is not whole
            found[name.sop_instance_uid] = bytes(parcel.data)
    spool.close()
    lost = [uid for uid, file in files.items() if uid not in found or not file.endswith(found[uid])]
    assert not lost, f"{len(lost)} of {len(files)} acknowledged instances are not on the disk"
