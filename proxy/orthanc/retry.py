"""What is tried again, how often and how long: any call that may safely be repeated, while Orthanc is away.

A kept-alive connection that Orthanc closes at the same moment is the common case; it shows as a disconnect
without an answer and is cured by the second attempt at once.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from proxy.errors import OrthancUnavailable

T = TypeVar("T")
_FIRST, _LONGEST = 0.05, 2.0  # seconds


def retried(attempts: int, call: Callable[[], T]) -> T:
    """The result of `call`, made up to `attempts` times. Raises what the last attempt raised."""
    return _retrying(attempts)(call)


@lru_cache
def _retrying(attempts: int) -> Retrying:
    """What tenacity keeps of a run is kept by thread, so one object serves all."""
    return Retrying(
        stop=stop_after_attempt(attempts),
        wait=wait_exponential_jitter(initial=_FIRST, max=_LONGEST, jitter=_FIRST),
        retry=retry_if_exception_type(OrthancUnavailable),
        reraise=True,
    )
