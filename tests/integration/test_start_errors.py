"""What `orthanc-proxy serve` says when it cannot start: a sentence, and exit status 2."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.instances import instance
from tests.support.ports import free_port
from tests.support.proxy_process import Proxy
from tests.support.scu import associated
from tests.support.small_disk import fill, remount, small_disk

ROOT = Path(__file__).parents[2]


def serve(folder: Path, *options: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    config = folder / "config.toml"
    config.write_text('[backends.orthanc]\nurl = "http://127.0.0.1:1"\n')
    overrides = ["listener.bind_address=127.0.0.1", "listener.bind_port=0", "admin.bind_port=0", *options]
    if not any(option.startswith("storage.path") for option in options):
        overrides.append(f"storage.path={folder}/storage")
    return subprocess.run(
        [*prefix, sys.executable, "-m", "proxy", "serve", "--config", config, *(f"--set={one}" for one in overrides)],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
    )


@pytest.mark.parametrize("key", ["listener.bind_port", "admin.bind_port"])
def test_a_port_in_use_is_told_with_a_way_to_find_out_by_whom(tmp_path: Path, key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = serve(tmp_path, f"{key}={port}")
    assert done.returncode == 2, done.stderr
    assert key in done.stderr
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_that_is_not_ours_is_told(tmp_path: Path) -> None:
    done = serve(tmp_path, "listener.bind_address=192.0.2.1")
    assert done.returncode == 2, done.stderr
    assert "192.0.2.1 is not an address of this machine" in done.stderr


@pytest.mark.root
def test_a_folder_of_somebody_else_is_told(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to become somebody else")
    readable = Path("/tmp") / f"orthanc-proxy-test-{os.getpid()}"  # pytest's own folder is closed to others
    readable.mkdir(mode=0o755)
    try:
        done = serve(
            readable,
            f"storage.path={readable}/storage",
            prefix=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
        )
    finally:
        shutil.rmtree(readable)
    if "Permission denied" in done.stderr and "python" in done.stderr:
        pytest.skip("this Python is closed to other users")
    assert done.returncode == 2, done.stderr
    assert done.stderr == f"storage.path: user 65534 may not write to {readable}, which belongs to user 0\n"


def test_a_certificate_that_is_none_is_told(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    done = serve(tmp_path, f"listener.tls.certificate={rubbish}", "listener.tls.client_certificate=none")
    assert done.returncode == 2, done.stderr
    assert f"listener.tls.certificate: cannot use {rubbish}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.root
def test_a_full_disk_and_a_read_only_one_are_told_for_what_they_are(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        fill(disk)
        done = serve(tmp_path, f"storage.path={disk}/storage")
        assert (done.returncode, done.stderr.split(": ")[:2]) == (2, ["storage.path", "No space left on device"])
        remount(disk, read_only=True)
        done = serve(tmp_path, f"storage.path={disk}/storage")
        assert done.returncode == 2
        assert done.stderr == f"storage.path: {disk}/storage is on a file system that is mounted read-only\n"


def test_a_log_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    done = serve(tmp_path, "logging.log_to_file=true", f"logging.log_file_path={tmp_path}/log")
    assert (done.returncode, done.stderr) == (2, f"logging.log_file_path: Is a directory: {tmp_path}/log\n")


def test_a_second_one_on_the_same_storage_is_told_and_disturbs_nobody(
    tmp_path: Path, start_proxy: Callable[..., Proxy]
) -> None:
    proxy = start_proxy(f"http://127.0.0.1:{free_port()}")
    done = serve(tmp_path, f"storage.path={proxy.storage}")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"storage.path: another orthanc-proxy runs on {proxy.storage}"
    with associated(proxy.dicom_port, proxy.aet) as scu:
        assert scu.store(instance()) == 0x0000
