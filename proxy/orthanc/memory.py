"""What Orthanc answered a moment ago to questions whose answers change seldom."""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from proxy.errors import OrthancError

T = TypeVar("T")
_FRESH = 5.0  # seconds
_RETRY = 2.0  # seconds between two questions in the background while Orthanc is away


class Memory:
    """Answers by name. Thread-safe."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[float, Any]] = {}
        self._asking: dict[str, float] = {}
        self._lock = threading.Lock()

    def recall(self, name: str, ask: Callable[[], T]) -> T:
        """A fresh answer; the last one where Orthanc is away. Raises OrthancError where there is none at all."""
        with self._lock:
            known = self._answers.get(name)
        if known is not None and time.monotonic() - known[0] < _FRESH:
            return known[1]  # type: ignore[no-any-return]
        try:
            answer = ask()
        except OrthancError:
            if known is None:
                raise
            answer = known[1]
        self._keep(name, answer)
        return answer

    def glance(self, name: str, ask: Callable[[], T]) -> T | None:
        """The last answer, or None where there is none yet: at once, and asked again in the background when old."""
        now = time.monotonic()
        with self._lock:
            known = self._answers.get(name)
            is_fresh = known is not None and now - known[0] < _FRESH
            if not is_fresh and now - self._asking.get(name, float("-inf")) > _RETRY:
                self._asking[name] = now
                threading.Thread(target=self._ask, args=(name, ask), name="ask-orthanc", daemon=True).start()
        return known[1] if known is not None else None

    def _ask(self, name: str, ask: Callable[[], Any]) -> None:
        try:
            self._keep(name, ask())
        except OrthancError:
            pass  # whoever needs an answer will be told

    def _keep(self, name: str, answer: Any) -> None:
        with self._lock:
            self._answers[name] = (time.monotonic(), answer)
