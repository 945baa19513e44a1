"""Waiting for what is slow while the requestor hears from us and may cancel.

A requestor that hears nothing gives up: while Orthanc searches, a download dawdles or a destination takes its time
to let us in, a Pending goes out at every heartbeat (PS3.4 C.4.2.1.5 allows as many as we like).
"""

from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from time import monotonic
from typing import ParamSpec, TypeVar

from proxy.dicom.messages import Request, Response

_LOOK = 0.25  # seconds between two looks at the network for a C-CANCEL or the end of the association

P = ParamSpec("P")
T = TypeVar("T")


class Cancelled(Exception):
    """Raised when a C-CANCEL came while something was waited for."""


class Background:
    """A few threads of one request, started when first needed."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._executor: ThreadPoolExecutor | None = None

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run it there."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="retrieve")
        return self._executor.submit(function, *args, **kwargs)

    def close(self) -> None:
        """Drop what has not begun. What runs comes to its own end, which nobody waits for."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)


def waited(
    future: Future[T], request: Request, heartbeat: float, pending: Callable[[], Response]
) -> Generator[Response, None, T]:
    """The result of `future`; yields a Pending at every heartbeat. Raises Cancelled, ReceiverLost or what it raised."""
    if future.done():
        return future.result()
    due = monotonic() + heartbeat
    while not wait((future,), timeout=min(_LOOK, heartbeat)).done:
        if request.is_cancelled():
            raise Cancelled
        if monotonic() >= due:
            yield pending()
            due = monotonic() + heartbeat
    return future.result()
