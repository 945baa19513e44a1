"""What a pipeline's rules and routes may say."""

import pytest
from pydantic import ValidationError

from proxy.config import AccessRule, Pipeline, RouteRule


def test_a_service_that_is_named_twice_is_there_once() -> None:
    assert Pipeline(services=["echo", "find", "echo"]).services == ["echo", "find"]


@pytest.mark.parametrize("address", ["10.0.0.1", "10.0.0.0/8", "10.1.2.3/8", "2001:db8::/32", "::1"])
def test_a_rule_takes_addresses_and_networks(address: str) -> None:
    assert AccessRule(address=[address]).address == [address]


@pytest.mark.parametrize("address", ["10.0.0.0/33", "10.0.0", "10.0.0.*", "workstation", ""])
def test_a_rule_that_would_silently_let_nobody_in_is_refused(address: str) -> None:
    with pytest.raises(ValidationError, match="no address"):
        AccessRule(address=["10.0.0.1", address])


def test_a_route_leads_somewhere() -> None:
    with pytest.raises(ValidationError, match="forward_to"):
        RouteRule(forward_to=[])
