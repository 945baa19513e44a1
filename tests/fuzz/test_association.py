"""Whatever is said on an association, the server answers in order, serves the others, and keeps nothing."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.fuzz.association import Conversation, Fuzzed, fuzzed
from tests.fuzz.corpus import kept

_SETTINGS = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture
def under_fire() -> Iterator[Fuzzed]:
    with fuzzed() as server:
        yield server


def test_wrong_associations_end_in_order(under_fire: Fuzzed) -> None:
    target = under_fire.target
    settings(_SETTINGS, max_examples=200)(given(target.inputs)(target.run))()
    under_fire.look()


@pytest.mark.parametrize("name", [name for name, _ in kept("association")])
def test_associations_that_are_kept_do_no_harm(name: str, under_fire: Fuzzed) -> None:
    data = dict(kept("association"))[name]
    for step in (0, 5, 255):
        for leaves in (0, 1):
            under_fire.target.run(bytes((step, leaves)) + data[2:])
    under_fire.look()


def test_right_conversations_are_answered_rightly(under_fire: Fuzzed) -> None:
    machine = type("Conversation", (Conversation,), {"served": under_fire.served})
    run_state_machine_as_test(machine, settings=settings(_SETTINGS, max_examples=25, stateful_step_count=15))
