"""Writes constraints.txt: the versions of everything that is in this environment now."""

import sys
from importlib.metadata import distributions
from pathlib import Path

_HEAD = "# The versions that are tested together and go into the image; `make lock` writes this file."
_TOOLS = {"orthanc-proxy", "pip", "setuptools", "wheel"}


def main() -> int:
    """Write the file; the exit status."""
    there = {distribution.metadata["Name"]: distribution.version for distribution in distributions()}
    pins = sorted((f"{name}=={version}" for name, version in there.items() if name not in _TOOLS), key=str.lower)
    path = Path(__file__).resolve().parents[1] / "constraints.txt"
    path.write_text("\n".join([_HEAD, *pins]) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
