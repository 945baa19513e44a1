import threading

import pytest

from proxy.cache import claims
from proxy.cache.claims import Claims


def test_one_at_a_time_has_the_claim_to_a_key_and_others_to_other_keys():
    claims = Claims()
    mine = claims.claim("a")
    assert mine is not None
    assert claims.claim("a") is None
    assert claims.claim("b") is not None
    with mine:
        assert claims.claim("a") is None
    assert claims.claim("a") is not None


def test_a_claim_is_over_also_after_an_error():
    claims = Claims()
    with pytest.raises(ValueError), claims.claim("a"):  # type: ignore[union-attr]
        raise ValueError
    assert claims.claim("a") is not None


def test_who_waits_goes_on_when_the_claim_is_released():
    claims = Claims()
    mine = claims.claim("a")
    waiter = threading.Thread(target=claims.wait, args=("a", None))
    waiter.start()
    with mine:
        assert waiter.is_alive()
    waiter.join(5)
    assert not waiter.is_alive()


def test_nobody_waits_for_a_key_without_a_claim():
    Claims().wait("a", None)


def test_patience_ends():
    claims = Claims()
    claims.claim("a")
    with pytest.raises(TimeoutError):
        claims.wait("a", 0.01)


def test_an_idle_claim_is_not_waited_for_long(monkeypatch):
    monkeypatch.setattr(claims, "_IDLE_MOST", 0.01)
    held = Claims()
    held.claim("a").is_idle = True
    held.wait("a", None)


def test_a_claim_that_is_idle_no_more_is_waited_for(monkeypatch):
    monkeypatch.setattr(claims, "_IDLE_MOST", 0.05)
    held = Claims()
    mine = held.claim("a")
    mine.is_idle = True
    threading.Timer(0.01, setattr, (mine, "is_idle", False)).start()
    with pytest.raises(TimeoutError):
        held.wait("a", 0.01)
