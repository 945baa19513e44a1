"""Who downloads which instance: one at a time for each, however many want it."""

import threading
from types import TracebackType
from typing import Self

_IDLE_MOST = 0.2  # seconds that others wait for one who has asked for an instance and is busy with another


class Claim:
    """The right to download an instance, until it is released; to be used in a `with` statement."""

    def __init__(self, claims: "Claims", key: str) -> None:
        self._claims = claims
        self._key = key
        self.is_idle = False
        self.over = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._claims.release(self._key, self)


class Claims:
    """All claims of this process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, Claim] = {}

    def claim(self, key: str) -> Claim | None:
        """The claim to `key`; None where somebody has it."""
        claim = Claim(self, key)
        with self._lock:
            return claim if self._held.setdefault(key, claim) is claim else None

    def release(self, key: str, claim: Claim) -> None:
        """Let those go on who wait for it."""
        with self._lock:
            if self._held.get(key) is claim:
                del self._held[key]
        claim.over.set()

    def wait(self, key: str, patience: float | None) -> None:
        """Wait until whoever has the claim to `key` is done with it. Raises TimeoutError after `patience` seconds.

        One whose claim is idle is not waited for long: it goes on when its receiver does.
        """
        with self._lock:
            claim = self._held.get(key)
        if claim is None or (claim.is_idle and (claim.over.wait(_IDLE_MOST) or claim.is_idle)):
            return
        if not claim.over.wait(patience):
            raise TimeoutError
