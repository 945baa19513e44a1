"""The JSON face: all that the page shows and does, as `/api/v1/...`, from one table that is also its OpenAPI document.

Reads as the page does; changes need a bearer token, or a session with its X-CSRF-Token header.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import orjson
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from proxy import __version__
from proxy.admin.board import Row, Running, Totals
from proxy.admin.controls import (
    About,
    ArchiveInfo,
    BackendState,
    CacheSnapshot,
    Done,
    Echo,
    SpoolSnapshot,
    WorkerInfo,
)
from proxy.admin.facts import AdvisedStory, DestinationRow, Facts, Health, PipelineRow, Status
from proxy.admin.guard import may_change
from proxy.admin.stories import Problem
from proxy.config.process import LogLevel
from proxy.spool.whose import Whose

LEVELS: tuple[LogLevel, ...] = get_args(LogLevel)
Asked = Mapping[str, Any]  # path and query parameters, and the members of the JSON body


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path of the API. `parameters` maps a query or body name to its JSON schema; `role`: who alone may GET it.

    `act` finds who asks under "identity" where there is a role.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    summary: str
    answers: Any
    act: Callable[[Facts, Asked], Any]
    parameters: Mapping[str, dict[str, Any]]
    role: str = ""


class BadRequest(Exception):
    """Raised when a parameter is not usable; its text goes to the caller."""


def _get(path: str, summary: str, answers: Any, act: Callable[[Facts, Asked], Any], **parameters: Any) -> Endpoint:
    return Endpoint("GET", path, summary, answers, act, parameters)


def _set_level(facts: Facts, asked: Asked) -> Done:
    level = asked.get("level")
    if level not in LEVELS:
        raise BadRequest(f"level must be one of {', '.join(LEVELS)}")
    return facts.controls.set_log_level(level)


def _associations(facts: Facts, asked: Asked) -> list[AdvisedStory]:
    limit = str(asked.get("limit", "60"))
    if not limit.isdecimal() or not 1 <= int(limit) <= 500:
        raise BadRequest("limit must be a number from 1 to 500")
    return facts.associations(int(limit))


def _history(facts: Facts, asked: Asked) -> dict[str, list[float | None]]:
    span = asked.get("span", "hour")
    if span not in ("hour", "day"):
        raise BadRequest("span must be hour or day")
    return facts.board.history.columns(span)


_LEVEL = {"type": "string", "enum": list(LEVELS)}
ENDPOINTS = (
    _get("/status", "Everything at once", Status, lambda f, _: f.status()),
    _get("/about", "Version, address, start", About, lambda f, _: f.controls.about()),
    _get("/health", "Ready or not, with reasons; always 200 (see /readyz)", Health, lambda f, _: f.health()),
    _get("/totals", "Sums since the start", Totals, lambda f, _: f.board.totals()),
    _get("/pipelines", "Our AE titles with their counts", list[PipelineRow], lambda f, _: f.pipelines()),
    _get("/requestors", "Calling AE titles with their counts", list[Row], lambda f, _: f.board.callers()),
    _get(
        "/associations", "Associations now and lately, refusals explained", list[AdvisedStory], _associations,
        limit={"type": "integer", "minimum": 1, "maximum": 500},
    ),
    _get("/transfers", "Operations under way", list[Running], lambda f, _: f.board.running()),
    _get("/errors", "Recent troubles", list[Problem], lambda f, _: f.board.problems()),
    _get("/spool", "What waits for delivery, and dead letters", SpoolSnapshot, lambda f, _: f.controls.spool()),
    _get("/cache", "What the cache holds", CacheSnapshot, lambda f, _: f.controls.cache()),
    _get("/backends", "Orthancs", tuple[BackendState, ...], lambda f, _: f.controls.backends()),
    _get("/archives", "Orthanc's own archives", tuple[ArchiveInfo, ...], lambda f, _: f.controls.archives()),
    _get("/destinations", "Move Destinations", list[DestinationRow], lambda f, _: f.destinations()),
    _get("/workers", "Worker processes", tuple[WorkerInfo, ...], lambda f, _: f.controls.workers()),
    _get("/configuration", "Effective, without secrets", dict[str, Any], lambda f, _: f.configuration()),
    _get(
        "/history", "Columns for plots", dict[str, list[float | None]], _history,
        span={"type": "string", "enum": ["hour", "day"]},
    ),
    _get("/log-level", "What is logged", dict[str, str], lambda f, _: {"level": f.controls.log_level()}),
    Endpoint("POST", "/log-level", "Log more or less, until the next start", Done, _set_level, {"level": _LEVEL}),
    Endpoint("POST", "/reload", "Read the configuration again", Done, lambda f, _: f.controls.reload(), {}),
    Endpoint("POST", "/destinations/{name}/echo", "C-ECHO", Echo, lambda f, a: f.echo(a["name"]), {}),
    Endpoint(
        "POST", "/spool/dead-letters/retry", "Try all again", Done, lambda f, _: f.controls.retry_all_dead_letters(), {}
    ),
    Endpoint(
        "POST", "/spool/dead-letters/{id}/retry", "Try again", Done,
        lambda f, a: f.controls.retry_dead_letter(a["id"]), {},
    ),
    Endpoint(
        "DELETE", "/spool/dead-letters/{id}", "Delete for good", Done,
        lambda f, a: f.controls.drop_dead_letter(a["id"]), {},
    ),
    Endpoint(
        "GET", "/spool/dead-letters/{id}/patient", "Whose it is; role admin only", Whose,
        lambda f, a: f.whose(a["id"], a["identity"]), {}, "admin",
    ),
    Endpoint("POST", "/cache/clear", "Drop all cached instances", Done, lambda f, _: f.controls.clear_cache(), {}),
)  # fmt: skip


def routes(facts: Facts) -> list[BaseRoute]:
    """All of `ENDPOINTS`, and the document about them."""
    made: list[BaseRoute] = [_route(facts, endpoint) for endpoint in ENDPOINTS]
    document = orjson.dumps(openapi(), option=orjson.OPT_INDENT_2)

    async def describe(_request: Request) -> Response:
        return Response(document, media_type="application/json")

    return [*made, Route("/api/v1/openapi.json", describe, methods=["GET"])]


def _route(facts: Facts, endpoint: Endpoint) -> Route:
    async def answer(request: Request) -> Response:
        asked: dict[str, Any] = {**request.query_params, **request.path_params}
        identity = request.state.identity
        if endpoint.role:
            if identity is None or not identity.may(endpoint.role):
                words = f"only for users with the role {endpoint.role}"
                return as_json({"error": words}, 403 if identity else 401)
            asked["identity"] = identity
        if endpoint.method != "GET":
            verdict = may_change(request, identity, request.headers.get("x-csrf-token", ""))
            if verdict == "log in":
                return as_json({"error": "a bearer token or a session is needed"}, 401)
            if verdict == "forbidden":
                return as_json({"error": "not allowed: role viewer, or a missing or wrong X-CSRF-Token"}, 403)
            body = await _body(request)
            if body is None:
                return as_json({"error": "the body must be a JSON object"}, 400)
            asked = body | asked
        try:
            return as_json(await run_in_threadpool(endpoint.act, facts, asked))
        except BadRequest as error:
            return as_json({"error": str(error)}, 400)
        except LookupError:
            return as_json({"error": "no such name or id"}, 404)

    return Route("/api/v1" + endpoint.path, answer, methods=[endpoint.method])


async def _body(request: Request) -> dict[str, Any] | None:
    try:
        raw = await request.body()
        parsed = orjson.loads(raw) if raw else {}
    except (orjson.JSONDecodeError, ClientDisconnect):
        return None
    return parsed if isinstance(parsed, dict) else None


def as_json(thing: Any, status: int = 200) -> Response:
    """Dataclasses, deques and all, as a JSON response."""
    return Response(orjson.dumps(thing, default=_plain), status, media_type="application/json")


def _plain(thing: Any) -> Any:
    return list(thing) if isinstance(thing, deque | set | frozenset) else str(thing)


def openapi() -> dict[str, Any]:
    """The OpenAPI 3.1 document, made from the table above and the types it names."""
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for endpoint in ENDPOINTS:
        schema = TypeAdapter(endpoint.answers).json_schema(
            mode="serialization", ref_template="#/components/schemas/{model}"
        )
        schemas |= schema.pop("$defs", {})
        if "title" in schema and schema.get("type") == "object" and "properties" in schema:
            name = schema["title"]
            schemas[name] = schema
            schema = {"$ref": f"#/components/schemas/{name}"}
        paths.setdefault("/api/v1" + endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schema)
    return {
        "openapi": "3.1.0",
        "info": {"title": "orthanc-proxy", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "orthanc_proxy_session"},
            },
        },
    }


def _operation(endpoint: Endpoint, schema: dict[str, Any]) -> dict[str, Any]:
    named = [part[1:-1] for part in endpoint.path.split("/") if part.startswith("{")]
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in named]
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}},
    }
    if endpoint.method == "GET":
        parameters += [{"name": name, "in": "query", "schema": kind} for name, kind in endpoint.parameters.items()]
    if endpoint.role:
        operation["security"] = [{"session": []}]
        operation["responses"]["403"] = {"description": f"only for the role {endpoint.role}"}
    if endpoint.method != "GET":
        operation["security"] = [{"bearer": []}, {"session": []}]
        operation["responses"] |= {
            str(code): {"description": words} for code, words in ((401, "who are you?"), (403, "not allowed"))
        }
        if endpoint.parameters:
            body = {"type": "object", "properties": dict(endpoint.parameters), "required": list(endpoint.parameters)}
            operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    if parameters:
        operation["parameters"] = parameters
    return operation
