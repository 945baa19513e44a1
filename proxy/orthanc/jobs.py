"""One of Orthanc's jobs, as GET /jobs/{id} tells it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_OVER = frozenset({"Success", "Failure"})


@dataclass(frozen=True, slots=True)
class Job:
    """`state` in Orthanc's words; `progress` in percent; `why` is Orthanc's generic error text, never its details."""

    state: str
    progress: int
    why: str

    @property
    def is_over(self) -> bool:
        """Will nothing more happen?"""
        return self.state in _OVER

    @property
    def succeeded(self) -> bool:
        """Has all been sent?"""
        return self.state == "Success"


def job_of(answer: Mapping[str, Any]) -> Job:
    """From the JSON of a job."""
    failed = answer.get("State") == "Failure"
    return Job(
        str(answer.get("State", "")),
        int(answer.get("Progress", 0)),
        str(answer.get("ErrorDescription", "")) if failed else "",
    )
