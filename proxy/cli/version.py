"""`orthanc-proxy version`."""

import platform
from importlib.metadata import version as installed

import typer

from proxy import __version__


def version() -> None:
    """Print the version of the program and of what its DICOM side stands on."""
    typer.echo(
        f"orthanc-proxy {__version__}"
        f" (pynetdicom {installed('pynetdicom')}, pydicom {installed('pydicom')}, Python {platform.python_version()})"
    )
