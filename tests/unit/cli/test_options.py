"""How commands are told of settings, and how they refuse."""

import pytest

from proxy.cli.options import assignments
from proxy.errors import ConfigError


def test_set_takes_everything_behind_the_first_equals_sign() -> None:
    assert assignments(["a.b=c=d", " e.f = g "]) == {"a.b": "c=d", "e.f": "g"}


def test_set_without_a_value_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--set a\.b: must be TABLE\.KEY=VALUE"):
        assignments(["a.b"])
