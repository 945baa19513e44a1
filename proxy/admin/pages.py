"""The status page: rendered on the server, refreshed by htmx, and usable without any script."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from proxy.admin import present
from proxy.admin.api import LEVELS
from proxy.admin.controls import Done
from proxy.admin.facts import Facts
from proxy.admin.guard import may_change, same_origin
from proxy.admin.lanes import bars
from proxy.admin.sessions import COOKIE, LIFETIME, Identity, Sessions, TooManyAttempts

SERVICES = ("C-ECHO", "C-FIND", "C-GET", "C-MOVE", "C-STORE")


@dataclass(frozen=True, slots=True)
class Pages:
    """Renders the page and does what its buttons say."""

    facts: Facts
    sessions: Sessions
    environment: Environment

    def routes(self) -> list[BaseRoute]:
        """All paths of the page."""
        return [
            Route("/", self._index, methods=["GET"]),
            Route("/live", self._live, methods=["GET"]),
            Route("/configuration", self._configuration, methods=["GET"]),
            Route("/login", self._login_form, methods=["GET"]),
            Route("/login", self._login, methods=["POST"]),
            Route("/logout", self._logout, methods=["POST"]),
            Route("/actions/{verb}", self._act, methods=["POST"]),
            Mount("/static", StaticFiles(directory=str(files("proxy.admin") / "static"))),
        ]

    async def _render(self, request: Request, template: str, code: int = 200, **more: Any) -> Response:
        identity = request.state.identity

        def render() -> str:
            needs_status = template in ("index.html", "live.html")
            known = {"status": self.facts.status()} if needs_status else {}
            return self.environment.get_template(template).render(
                known
                | {"identity": identity}
                | {role: bool(identity and identity.may(role)) for role in ("operator", "admin")}
                | more
            )

        return HTMLResponse(await run_in_threadpool(render), code)

    async def _index(self, request: Request) -> Response:
        return await self._render(request, "index.html", notice=None)

    async def _live(self, request: Request) -> Response:
        return await self._render(request, "live.html")

    async def _configuration(self, request: Request) -> Response:
        settings = await run_in_threadpool(self.facts.configuration)
        about = await run_in_threadpool(self.facts.controls.about)
        return await self._render(request, "configuration.html", settings=settings, about=about)

    async def _login_form(self, request: Request) -> Response:
        return await self._render(request, "login.html", wrong="")

    async def _login(self, request: Request) -> Response:
        form = await _form(request)
        if form is None or not same_origin(request):
            return await self._render(request, "login.html", 400, wrong="This did not come from the login page.")
        name, password = str(form.get("name", "")), str(form.get("password", ""))
        address = request.client.host if request.client else ""
        try:
            cookie = await run_in_threadpool(self.sessions.log_in, name, password, address)
        except TooManyAttempts as error:
            words = f"Too many wrong passwords from your address: wait {error.wait:.0f} seconds."
            return await self._render(request, "login.html", 429, wrong=words)
        if cookie is None:
            return await self._render(request, "login.html", 401, wrong="The name or the password is wrong.")
        response = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, cookie, LIFETIME, httponly=True, samesite="strict", secure=secure)
        return response

    async def _logout(self, request: Request) -> Response:
        form = await _form(request)
        identity = request.state.identity
        if identity is not None and form is not None and form.get("csrf") == identity.csrf:
            self.sessions.log_out(request.cookies.get(COOKIE, ""))
        response = RedirectResponse("/", 303)
        response.delete_cookie(COOKIE)
        return response

    async def _act(self, request: Request) -> Response:
        form = await _form(request)
        identity, verb = request.state.identity, request.path_params["verb"]
        verdict = may_change(request, identity, str(form.get("csrf", "")) if form else "")
        if verdict == "ok" and verb == "patient" and not identity.may("admin"):
            verdict = "forbidden"
        if verdict != "ok" or form is None:
            refusal = Done(False, ("Log in first.",) if verdict == "log in" else ("You may not do that.",))
            return await self._noticed(request, refusal, 401 if verdict == "log in" else 403)
        try:
            done = await run_in_threadpool(self._do, verb, form, identity)
        except LookupError:
            done = Done(False, ("That is no longer there.",))
        return await self._noticed(request, done)

    def _do(self, verb: str, form: FormData, identity: Identity) -> Done:
        controls, name = self.facts.controls, str(form.get("name", ""))
        match verb:
            case "echo":
                echo = self.facts.echo(name)
                answer = "answers" if echo.ok else "does not answer"
                took = f", {present.duration(echo.seconds)}" if echo.ok else ""
                return Done(echo.ok, (f"{name} {answer}: {echo.words}{took}",))
            case "retry":
                return _or(controls.retry_dead_letter(name), "Put back into the queue.")
            case "drop":
                return _or(controls.drop_dead_letter(name), "Deleted.")
            case "patient":
                return Done(True, (present.whose(self.facts.whose(name, identity)),))
            case "retry-all":
                return _or(controls.retry_all_dead_letters(), "All put back into the queue.")
            case "clear-cache":
                return _or(controls.clear_cache(), "The cache is empty.")
            case "reload":
                return _or(controls.reload(), "Read again; nothing changed.")
            case "log-level":
                level = next((level for level in LEVELS if level == name), None)
                return _or(controls.set_log_level(level), f"Logging at {level} from now on.") if level else Done(False)
        raise LookupError(verb)

    async def _noticed(self, request: Request, done: Done, code: int = 200) -> Response:
        if request.headers.get("hx-request") == "true":
            # htmx shows answers of any code; a refusal must be read, too
            return await self._render(request, "notice.html", code, notice=done)
        return await self._render(request, "index.html", code, notice=done)


def _or(done: Done, words: str) -> Done:
    return done if done.words else Done(done.ok, (words if done.ok else "That did not work; the log says why.",))


async def _form(request: Request) -> FormData | None:
    """The form, or None where there is none to be had; files are not taken."""
    try:
        return await request.form(max_files=0, max_fields=20)
    except (ClientDisconnect, ValueError):
        return None
    except Exception as error:
        if type(error).__name__ in ("HTTPException", "MultiPartException"):
            return None
        raise


@cache
def environment() -> Environment:
    """Templates with the filters of `proxy.admin.present`; everything is escaped."""
    made = Environment(
        loader=PackageLoader("proxy.admin"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    for name in ("size", "rate", "number", "counted", "duration", "ago", "clock", "moment", "percent"):
        made.filters[name] = getattr(present, name)
    made.globals.update(services=SERVICES, levels=LEVELS, bars=bars)
    return made
