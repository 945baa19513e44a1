"""Which program runs on which machine."""

import os
import platform
import resource
import ssl
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from proxy import __version__


def versions() -> dict[str, Any]:
    """Of the program, Python, every installed package, the kernel and the distribution; what the machine has."""
    packages = {str(one.metadata["Name"]): one.version for one in distributions()}
    return {
        "orthanc-proxy": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "openssl": ssl.OPENSSL_VERSION,
        "kernel": " ".join((platform.system(), platform.release(), platform.version(), platform.machine())),
        "distribution": _distribution(),
        "container": Path("/.dockerenv").exists() or "KUBERNETES_SERVICE_HOST" in os.environ,
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "open_files_at_most": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""
