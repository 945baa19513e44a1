"""Fixtures of the stock wire's tests."""

from collections.abc import Iterator

import pytest

from tests.unit.scp.stock.serving import Serving, serving


@pytest.fixture
def served() -> Iterator[Serving]:
    """A stock server with short time limits."""
    with serving() as running:
        yield running
