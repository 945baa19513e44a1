"""Fixtures of the fast wire's tests."""

from collections.abc import Iterator

import pytest

from tests.unit.wire.serving import Serving, serving


@pytest.fixture
def served() -> Iterator[Serving]:
    """A server with short time limits."""
    with serving() as running:
        yield running
