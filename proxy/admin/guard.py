"""The door of the admin server: Host header, who may read and change, body limits, security headers.

Reading is for loopback and for those who logged in, unless the settings open it; changing is for operators only,
never by GET, and from a browser only with the token that our own page carries.
"""

import asyncio
import hmac
import ipaddress
from collections.abc import Callable
from typing import Literal
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.admin.sessions import COOKIE, Identity, Sessions
from proxy.config.admin import AdminSettings
from proxy.errors import ConfigError

MAX_BODY = 64 << 10
BODY_SECONDS = 10.0
_OPEN = frozenset({"/livez", "/readyz", "/metrics"})
_SAFE = frozenset({"GET", "HEAD"})
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

Verdict = Literal["ok", "log in", "forbidden"]


def is_loopback(address: str) -> bool:
    """True for 127.0.0.0/8 and ::1, and for these written as IPv4-mapped IPv6."""
    try:
        parsed = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def check_exposure(settings: AdminSettings) -> None:
    """Raises ConfigError where others than this machine could reach the page and nobody has a password or token."""
    if settings.enabled and not (is_loopback(settings.bind_address) or settings.bind_address == "localhost"):
        usable = settings.users or any(token.get_secret_value() for token in settings.tokens.values())
        if not usable:
            raise ConfigError(
                [
                    f"admin.bind_address: {settings.bind_address} can be reached from elsewhere, "
                    "and there is neither a user nor a token. Add one under [admin.users.NAME] "
                    "(`orthanc-proxy hash-password`) or [admin.tokens], or bind to 127.0.0.1"
                ]
            )


def host_allowed(host: str, extra: list[str]) -> bool:
    """Addresses, localhost and configured names. Any other name could be DNS rebinding: a foreign page using ours."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name in {known.lower() for known in extra}:
        return True
    try:
        ipaddress.ip_address(name.split("%")[0])
    except ValueError:
        return False
    return True


def may_read(path: str, local: bool, identity: Identity | None, settings: AdminSettings) -> bool:
    """Whether this page may be shown."""
    if identity is not None or local or settings.read_from_anywhere:
        return True
    if path in _OPEN:
        return settings.metrics_from_anywhere
    return path == "/login" or path.startswith("/static/")


def may_change(request: Request, identity: Identity | None, csrf: str) -> Verdict:
    """Whether this request may change something; `csrf` is what came in the form or the X-CSRF-Token header."""
    if identity is None:
        return "log in"
    if not identity.may("operator") or not same_origin(request):
        return "forbidden"
    right = not identity.csrf or hmac.compare_digest(csrf.encode(), identity.csrf.encode())
    return "ok" if right else "forbidden"


def same_origin(request: Request) -> bool:
    """False where the browser says that another site sent this."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host", "")


def identify(request: Request, sessions: Sessions) -> Identity | None:
    """Who asks: by bearer token, else by cookie."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return sessions.by_token(token.strip())
    return sessions.by_cookie(request.cookies.get(COOKIE, ""))


class Guard:
    """ASGI middleware that does all this but for changes, which the routes guard with `may_change`.

    `request.state.identity` tells the routes who asks, `request.state.local` whether from this machine.
    """

    def __init__(self, app: ASGIApp, settings: Callable[[], AdminSettings], sessions: Sessions) -> None:
        self._app, self._settings, self._sessions = app, settings, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, _with_headers(send, scope))
            return
        await self._app(scope, _bounded(receive), _with_headers(send, scope))

    def _refusal(self, scope: Scope) -> Response | None:
        request, settings = Request(scope), self._settings()
        # who scrapes calls us by any name, and what is open to everybody needs no protection from a foreign page
        public = request.url.path in _OPEN and settings.metrics_from_anywhere
        if not public and not host_allowed(request.headers.get("host", ""), settings.hosts):
            words = "This name is not known here: use the address, or add the name to [admin] hosts.\n"
            return PlainTextResponse(words, 421)
        if _too_long(request.headers):
            return PlainTextResponse("The body is too long.\n", 413)
        identity = identify(request, self._sessions)
        client = request.client.host if request.client else ""
        # behind a reverse proxy on this machine everybody seems to be local: then nobody is
        forwarded = "x-forwarded-for" in request.headers or "forwarded" in request.headers
        local = is_loopback(client) and not forwarded
        scope.setdefault("state", {}).update(identity=identity, local=local)
        path = request.url.path
        if may_read(path, local, identity, settings):
            return None
        words = "Log in first: reading from elsewhere than this machine needs a user or a token."
        if request.method in _SAFE and "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/login", 303)
        return JSONResponse({"error": words}, 401, {"WWW-Authenticate": "Bearer"})


def _too_long(headers: Headers) -> bool:
    length = headers.get("content-length", "0")
    return not length.isdecimal() or int(length) > MAX_BODY


def _bounded(receive: Receive) -> Receive:
    """A body without a length is counted; one that does not come in time, or grows too long, ends the request."""
    taken, over = 0, False

    async def bounded() -> Message:
        nonlocal taken, over
        if over:
            return await receive()  # only waits for the disconnect now
        try:
            message = await asyncio.wait_for(receive(), BODY_SECONDS)
        except TimeoutError:
            return {"type": "http.disconnect"}
        taken += len(message.get("body", b""))
        over = message["type"] == "http.request" and not message.get("more_body", False)
        return {"type": "http.disconnect"} if taken > MAX_BODY else message

    return bounded


def _with_headers(send: Send, scope: Scope) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if not scope["path"].startswith("/static/"):
                headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending
