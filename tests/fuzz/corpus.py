"""Inputs that are kept, as `corpus/TARGET/NAME.bin`: interesting ones, and those that once broke something."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"


def kept(target: str) -> Iterator[tuple[str, bytes]]:
    """The name and the bytes of each input that is kept for a target."""
    for path in sorted((FOLDER / target).glob("*.bin")):
        yield path.stem, path.read_bytes()


def keep(target: str, data: bytes) -> Path:
    """Keep an input that broke something; give it a name that says what, once that is known."""
    path = FOLDER / target / f"found-{hashlib.sha256(data).hexdigest()[:12]}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
