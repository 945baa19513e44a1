"""A disk of the test's own with a real file system on it, whose plug can be pulled."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class LoopDisk:
    """An ext4 in an image file, mounted at `folder`. What the kernel has not written to the image is not in it."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image = image
        self.folder = folder
        self._device = ""

    @contextlib.contextmanager
    def mounted(self) -> Iterator["LoopDisk"]:
        """Inside, it is there; the test is skipped where we may not mount."""
        self.folder.mkdir(parents=True, exist_ok=True)
        mount = ["mount", "-o", "loop", str(self.image), str(self.folder)]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("a disk image can only be mounted by root, and with loop devices")
        try:
            (self._device,) = self._sources()
            yield self
        finally:
            subprocess.run(["umount", "-l", str(self.folder)], check=False)

    def pulled(self, image: Path, folder: Path) -> "LoopDisk":
        """The disk as it would be if the power went out now. Call it while nobody works on it."""
        while True:
            before = self._written()
            subprocess.run(["cp", "--sparse=always", str(self.image), str(image)], check=True)
            if self._written() == before:
                return LoopDisk(image, folder)

    def _sources(self) -> list[str]:
        told = subprocess.run(
            ["findmnt", "-no", "SOURCE", str(self.folder)], capture_output=True, text=True, check=True
        )
        return told.stdout.split()

    def _written(self) -> str:
        """How much the kernel has written to it; the image must not change while it is copied."""
        return Path(f"/sys/block/{Path(self._device).name}/stat").read_text().split()[6]


def make_disk(image: Path, folder: Path, size: int) -> LoopDisk:
    """An empty one of `size` bytes; the test is skipped where mkfs.ext4 is not there."""
    if shutil.which("mkfs.ext4", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))) is None:
        pytest.skip("mkfs.ext4 is not installed")
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    return LoopDisk(image, folder)
