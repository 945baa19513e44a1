"""Which program on which machine."""

import platform

from proxy import __version__
from proxy.support.versions import versions


def test_program_machine_and_packages_are_told() -> None:
    told = versions()
    assert told["orthanc-proxy"] == __version__
    assert platform.python_version() in told["python"]
    assert platform.release() in told["kernel"]
    assert told["memory_bytes"] > 1 << 20
    assert {"pynetdicom", "pydicom", "httpx"} <= {name.lower() for name in told["packages"]}
