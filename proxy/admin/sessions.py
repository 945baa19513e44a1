"""Who is asking: signed session cookies, bearer tokens, and a brake on guessing passwords.

The signing key is drawn anew at each start, so a restart logs everybody out.
"""

import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from itsdangerous import BadSignature, URLSafeTimedSerializer

from proxy.admin.passwords import NOBODY, verify_password
from proxy.config.admin import AdminSettings

COOKIE = "orthanc_proxy_session"
LIFETIME = 8 * 3600
ROLES = ("viewer", "operator", "admin")


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who proved who they are. `csrf` is "" for a bearer token, which no browser sends by itself."""

    name: str
    role: str
    csrf: str = ""

    def may(self, role: str) -> bool:
        """True when their role includes `role`."""
        return ROLES.index(self.role) >= ROLES.index(role)


class TooManyAttempts(Exception):
    """Raised when somebody guesses passwords; `wait` in seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__(f"too many wrong passwords: wait {wait:.0f} s")
        self.wait = wait


class Sessions:
    """Logs in and out, and recognizes who has logged in. `settings()` is asked each time: a reload counts at once."""

    def __init__(self, settings: Callable[[], AdminSettings], clock: Callable[[], float]) -> None:
        self._settings, self._clock = settings, clock
        key = secrets.token_hex(32)
        self._cookie = URLSafeTimedSerializer(key, salt="session")
        self._csrf_key = secrets.token_bytes(32)
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._attempts = _Brake(clock)
        self._one_at_a_time = threading.Lock()  # scrypt takes 32 MB: guesses must not multiply it

    def log_in(self, name: str, password: str, address: str) -> str | None:
        """The cookie's value, or None for a wrong name or password. Raises TooManyAttempts."""
        self._attempts.check(address)
        user = self._settings().users.get(name)
        with self._one_at_a_time:
            right = verify_password(password, user.password_hash.get_secret_value() if user else NOBODY)
        if user is None or not right:
            self._attempts.failed(address)
            return None
        self._attempts.forget(address)
        return str(self._cookie.dumps([name, secrets.token_hex(16)]))

    def log_out(self, cookie: str) -> None:
        """This cookie is worth nothing from now on."""
        self._ended[cookie] = None
        while len(self._ended) > 1000:
            self._ended.popitem(last=False)

    def by_cookie(self, cookie: str) -> Identity | None:
        """Who that cookie was given to, if it is ours, not too old, and the user still exists."""
        if not cookie or cookie in self._ended:
            return None
        try:
            name, nonce = self._cookie.loads(cookie, max_age=LIFETIME)
        except (BadSignature, ValueError, TypeError):
            return None
        user = self._settings().users.get(name)
        if user is None:
            return None
        csrf = hmac.new(self._csrf_key, str(nonce).encode(), "sha256").hexdigest()
        return Identity(str(name), user.role, csrf)

    def by_token(self, token: str) -> Identity | None:
        """Who that bearer token belongs to."""
        found = None
        for name, secret in self._settings().tokens.items():  # all of them, so that time tells nothing
            if secret.get_secret_value() and hmac.compare_digest(secret.get_secret_value().encode(), token.encode()):
                found = Identity(name, "operator")
        return found


class _Brake:
    """Five wrong passwords from one address: wait half a minute, and twice as long with each further one."""

    FREE, PAUSE, LONGEST = 5, 30.0, 3600.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, address: str) -> None:
        with self._lock:
            _, free_at = self._failures.get(address, (0, 0.0))
        if (wait := free_at - self._clock()) > 0:
            raise TooManyAttempts(wait)

    def failed(self, address: str) -> None:
        with self._lock:
            count = self._failures.pop(address, (0, 0.0))[0] + 1
            over = count - self.FREE
            pause = min(self.PAUSE * 2.0 ** min(over, 20), self.LONGEST) if over >= 0 else 0.0
            self._failures[address] = (count, self._clock() + pause)
            while len(self._failures) > 1000:
                self._failures.popitem(last=False)

    def forget(self, address: str) -> None:
        with self._lock:
            self._failures.pop(address, None)
