"""The admin server: status page, API, metrics and health over HTTP, by uvicorn in a thread of its own."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from proxy.admin import api
from proxy.admin.board import Board
from proxy.admin.controls import Controls
from proxy.admin.facts import Facts
from proxy.admin.gauges import StateCollector
from proxy.admin.guard import Guard, check_exposure
from proxy.admin.pages import Pages, environment
from proxy.admin.sessions import Sessions
from proxy.config.admin import AdminSettings
from proxy.config.ports import why_not_opened
from proxy.errors import ConfigError
from proxy.metrics import MetricsSubscriber

TICK = 2.0
REQUEST_SECONDS = 10.0


class AdminServer:
    """`start` binds and serves; `stop` ends it. Raises ConfigError or OSError from `start`, nothing later.

    `settings` may be replaced by `use` after a reload: users, tokens and hosts count at once, the address does not.
    """

    def __init__(
        self,
        settings: AdminSettings,
        board: Board,
        metrics: MetricsSubscriber,
        controls: Controls,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._board, self._controls, self._clock = board, controls, clock
        metrics.registry.register(StateCollector(controls))
        self.app = application(lambda: self._settings, Facts(board, controls, clock), metrics, time.monotonic)
        self._server: uvicorn.Server | None = None
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self.address: tuple[str, int] = (settings.bind_address, settings.bind_port)

    def use(self, settings: AdminSettings) -> None:
        """Take new settings. Raises ConfigError where they would leave an open door, and keeps the old ones."""
        unmoved = {"bind_address": self._settings.bind_address, "bind_port": self._settings.bind_port}
        settings = settings.model_copy(update=unmoved)
        check_exposure(settings)
        self._settings = settings

    def start(self) -> None:
        """Bind, serve, and return once it answers. Raises ConfigError."""
        check_exposure(self._settings)
        listener = _bind(self._settings.bind_address, self._settings.bind_port)
        self.address = listener.getsockname()[:2]
        config = uvicorn.Config(
            self.app, http=_Impatient, ws="none", lifespan="off", log_config=None, access_log=False,
            server_header=False, date_header=True, proxy_headers=False, timeout_keep_alive=10, backlog=128,
            h11_max_incomplete_event_size=32 << 10,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        serving = threading.Thread(target=self._server.run, args=([listener],), name="admin", daemon=True)
        ticking = threading.Thread(target=self._tick, name="admin-history", daemon=True)
        self._threads = [serving, ticking]
        for thread in self._threads:
            thread.start()
        while not self._server.started and serving.is_alive():
            time.sleep(0.005)

    def stop(self, timeout: float = 5.0) -> None:
        """End within `timeout` seconds, whoever may still be reading."""
        self._stopping.set()
        if self._server is not None:
            self._server.should_exit = True
            self._threads[0].join(timeout / 2)
            self._server.force_exit = True
        for thread in self._threads:
            thread.join(timeout / 2)

    def _tick(self) -> None:
        while not self._stopping.wait(TICK):
            with contextlib.suppress(Exception):
                self._board.tick(self._clock(), self._gauges)

    def _gauges(self) -> dict[str, float]:
        return {"spooled": self._controls.spool().waiting, "cached": self._controls.cache().bytes}


def application(
    settings: Callable[[], AdminSettings],
    facts: Facts,
    metrics: MetricsSubscriber,
    monotonic: Callable[[], float],
) -> Starlette:
    """The ASGI application, which tests call without a socket."""
    sessions = Sessions(settings, monotonic)

    async def alive(_request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def ready(_request: Request) -> Response:
        health = await run_in_threadpool(facts.health)
        return api.as_json(health, 200 if health.ready else 503)

    async def scrape(request: Request) -> Response:
        text, kind = await run_in_threadpool(metrics.exposition, request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": kind})

    return Starlette(
        routes=[
            Route("/livez", alive, methods=["GET"]),
            Route("/readyz", ready, methods=["GET"]),
            Route("/metrics", scrape, methods=["GET"]),
            *api.routes(facts),
            *Pages(facts, sessions, environment()).routes(),
        ],
        middleware=[Middleware(Guard, settings=settings, sessions=sessions)],
    )


def _bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        raise ConfigError([f"admin.bind_port: {why_not_opened(error, address, port)}"]) from error
    return listener


class _Impatient(H11Protocol):
    """Closes a connection that sends no whole request head in time: uvicorn itself would wait for ever."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._give_up)

    def _give_up(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)
