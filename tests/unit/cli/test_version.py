"""`orthanc-proxy version`."""

import platform

from proxy import __version__
from tests.unit.cli.calling import run


def test_it_names_the_version_and_what_the_program_stands_on() -> None:
    told = run("version").stdout
    assert told.startswith(f"orthanc-proxy {__version__} (pynetdicom ")
    assert platform.python_version() in told
