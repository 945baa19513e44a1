"""No bytes make a parser of ours raise what it does not document, take for ever, or take more than it is given."""

import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.corpus import kept
from tests.fuzz.targets import TARGETS, Target

_EXAMPLES = 240  # of a cheap target; `python -m tests.fuzz` has the patience for more

_names = [target.name for target in TARGETS]
_corpus = [(target, name) for target in TARGETS for name, _ in kept(target.name)]


@pytest.mark.parametrize("target", TARGETS, ids=_names)
def test_wrong_bytes_are_refused_as_documented(target: Target) -> None:
    run = settings(
        max_examples=_EXAMPLES // target.cost,
        deadline=None,
        derandomize=True,  # what is found here must not depend on the day
        database=None,
        suppress_health_check=list(HealthCheck),
    )(given(target.inputs)(lambda data: target.run(data)))
    run()


@pytest.mark.parametrize(("target", "name"), _corpus, ids=[f"{target.name}/{name}" for target, name in _corpus])
def test_what_is_kept_does_no_harm(target: Target, name: str) -> None:
    data = dict(kept(target.name))[name]
    began = time.monotonic()
    target.run(data)
    assert time.monotonic() - began < 5, "it takes for ever"


@pytest.mark.parametrize(("target", "name"), _corpus, ids=[f"{target.name}/{name}" for target, name in _corpus])
def test_what_is_kept_takes_no_more_memory_than_befits_it(target: Target, name: str) -> None:
    data = dict(kept(target.name))[name]
    target.run(data)  # whatever is set up once
    tracemalloc.start()
    try:
        target.run(data)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < (4 << 20) + 40 * len(data), f"{taken >> 20} MB for {len(data)} bytes"
