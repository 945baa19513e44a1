"""Looks for broken inputs as long as it is told to."""

import time
import warnings
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.targets import Target

_AT_ONCE = 400  # examples; the clock is looked at after these


@dataclass(frozen=True)
class Outcome:
    """What came of it: how many inputs were tried, and the smallest found that breaks the target, with its error."""

    target: str
    inputs: int
    seconds: float
    broken_by: bytes | None = None
    error: str = ""


def explore(target: Target, seconds: float, first_seed: int) -> Outcome:
    """Try inputs until time is up or one breaks the target."""
    began = time.monotonic()
    inputs, last = 0, b""

    def check(data: bytes) -> None:
        nonlocal inputs, last
        inputs, last = inputs + 1, data
        target.run(data)

    number = first_seed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, about what it reads
        while (took := time.monotonic() - began) < seconds:
            hunting = settings(
                max_examples=_AT_ONCE // target.cost,
                deadline=None,
                database=None,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
                print_blob=False,
            )
            try:
                seed(number)(hunting(given(target.inputs)(check)))()
            except Exception as error:
                words = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                return Outcome(target.name, inputs, time.monotonic() - began, last, words)
            number += 1
    return Outcome(target.name, inputs, took)
