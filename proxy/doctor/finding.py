"""One thing that was looked at, and whether it is well."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it is. A warning is worth knowing, and no failure; what is skipped could not be looked at."""

    OK = "ok"
    WARNING = "warning"
    SKIPPED = "skipped"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a table: what, where it is, how it is, in which words, and what helps ("" where nothing need)."""

    what: str
    where: str
    state: State
    says: str
    remedy: str = ""

    @property
    def failed(self) -> bool:
        """True where something does not work."""
        return self.state is State.FAILED
