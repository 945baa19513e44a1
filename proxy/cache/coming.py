"""An instance that Orthanc was asked for before its turn came."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from proxy.cache.cached import CachedInstance
from proxy.cache.claims import Claim
from proxy.dicom.messages import Located


class Asked(Protocol):
    """An answer that is still to be read, or closed."""

    def read(self, patience: float) -> memoryview:
        """The file, within `patience` seconds. Raises OrthancUnavailable where anything is not as hoped."""

    def close(self) -> None:
        """It is not wanted any more."""


Ask = Callable[[Located], Asked | None]
"""Sends the request for a file, to be read later; None where that does not work at once. Raises OrthancError."""


@dataclass(frozen=True, slots=True)
class Coming:
    """It is ours to download, whoever else wants it, until `take` or `close`."""

    located: Located
    asked: Asked
    claim: Claim
    taken: Callable[[Located, Asked, float], CachedInstance]

    def take(self, patience: float) -> CachedInstance:
        """The instance, within `patience` seconds. Raises OrthancError."""
        self.claim.is_idle = False
        with self.claim:
            return self.taken(self.located, self.asked, patience)

    def close(self) -> None:
        """It is not wanted any more."""
        with self.claim:
            self.asked.close()
