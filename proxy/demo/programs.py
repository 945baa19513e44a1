"""Finds the programs of Debian's packages: Orthanc and DCMTK's tools.

pynetdicom installs programs of its own beside Python that are named like DCMTK's (echoscu, storescp, ...) but behave
otherwise; in an activated virtual environment they come first on the PATH.
"""

import os
import shutil
import sysconfig
from pathlib import Path

_BESIDES = "/usr/sbin"  # Debian's place of Orthanc, which users' PATH lacks


def find_program(name: str) -> str | None:
    """The path of an installed program, or None; those that came with Python packages do not count."""
    ours = Path(sysconfig.get_path("scripts")).resolve()
    folders = [folder for folder in os.get_exec_path() if Path(folder).resolve() != ours]
    return shutil.which(name, path=os.pathsep.join([*folders, _BESIDES]))


def dcmtk_program(name: str) -> str:
    """The path of one of DCMTK's tools. Raises FileNotFoundError, which says how to install it."""
    program = find_program(name)
    if program is None:
        raise FileNotFoundError(f"{name} is missing (apt-get install dcmtk)")
    return program
