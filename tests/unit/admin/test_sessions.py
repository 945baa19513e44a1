import pytest
from pydantic import SecretStr

from proxy.admin.sessions import Identity, Sessions, TooManyAttempts
from proxy.config.admin import AdminSettings, User
from tests.unit.admin.conftest import HASH


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sessions(clock):
    settings = AdminSettings(users={"anna": User(password_hash=SecretStr(HASH))}, tokens={"robot": SecretStr("tök")})
    return Sessions(lambda: settings, clock)


def test_who_logs_in_is_known_by_the_cookie_until_they_log_out(sessions):
    cookie = sessions.log_in("anna", "secret", "192.0.2.1")
    identity = sessions.by_cookie(cookie)
    assert (identity.name, identity.role) == ("anna", "operator")
    assert len(identity.csrf) == 64
    sessions.log_out(cookie)
    assert sessions.by_cookie(cookie) is None


def test_wrong_names_and_passwords_are_told_apart_for_nobody(sessions):
    assert sessions.log_in("anna", "wrong", "192.0.2.1") is None
    assert sessions.log_in("nobody", "secret", "192.0.2.1") is None


@pytest.mark.parametrize("cookie", ["", "x", "WyJhbm5hIiwieCJd.aaaa.bbbb", "é"])
def test_forged_cookies_are_nobody(sessions, cookie):
    assert sessions.by_cookie(cookie) is None


def test_cookies_of_another_process_are_nobody(sessions, clock):
    cookie = sessions.log_in("anna", "secret", "192.0.2.1")
    other = Sessions(lambda: AdminSettings(users={"anna": User(password_hash=SecretStr(HASH))}), clock)
    assert other.by_cookie(cookie) is None


def test_a_user_who_was_removed_is_out_at_once(clock):
    settings = [AdminSettings(users={"anna": User(password_hash=SecretStr(HASH))})]
    sessions = Sessions(lambda: settings[0], clock)
    cookie = sessions.log_in("anna", "secret", "192.0.2.1")
    settings[0] = AdminSettings()
    assert sessions.by_cookie(cookie) is None


def test_each_login_has_a_csrf_token_of_its_own(sessions):
    first, second = (sessions.by_cookie(sessions.log_in("anna", "secret", "192.0.2.1")) for _ in range(2))
    assert first.csrf != second.csrf


def test_tokens_are_operators_without_csrf(sessions):
    assert sessions.by_token("tök") == Identity("robot", "operator")
    assert sessions.by_token("tok") is None
    assert sessions.by_token("") is None


def test_guessing_is_braked_per_address_and_longer_each_time(sessions, clock):
    for _ in range(5):
        assert sessions.log_in("anna", "wrong", "192.0.2.1") is None
    with pytest.raises(TooManyAttempts) as caught:
        sessions.log_in("anna", "secret", "192.0.2.1")
    assert caught.value.wait == 30.0
    assert sessions.log_in("anna", "secret", "192.0.2.2") is not None
    clock.now += 31
    assert sessions.log_in("anna", "wrong", "192.0.2.1") is None
    with pytest.raises(TooManyAttempts) as caught:
        sessions.log_in("anna", "secret", "192.0.2.1")
    assert caught.value.wait == 60.0
    clock.now += 61
    assert sessions.log_in("anna", "secret", "192.0.2.1") is not None


def test_roles_include_the_lower_ones():
    assert Identity("a", "admin").may("operator")
    assert Identity("o", "operator").may("viewer")
    assert not Identity("v", "viewer").may("operator")
