"""The HTTP server: probes, metrics, status page. Read only."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web

from connector.config.urls import is_loopback
from connector.errors import LocalError
from connector.web.access import COOKIE, COOKIE_SECONDS, Access, names_this_machine
from connector.web.live import Live
from connector.web.model import SCHEMA

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from connector.config.http import Http
    from connector.web.around import Surroundings
    from connector.web.observer import Pulse, StatusObserver
    from connector.web.view import Identity

STALL: Final = 120.0
"""Seconds without a sign of a publisher after which the process is not alive: longer than Kafka's slowest call."""

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "zendesk-chat-kafka",
}
PUBLIC: Final = frozenset({"/livez", "/readyz", "/login", "/static/login.css", "/static/icon.svg"})
STATIC: Final = Path(__file__).parent / "static"
TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".html": "text/html"}

Answer = web.StreamResponse


class Site:
    """The pages of one replica.

    Args:
        metrics: renders /metrics.
        ready: True if the replica has joined and could take over.
        stall: seconds without a sign of a publisher that are too long.
    """

    def __init__(
        self,
        settings: Http,
        *,
        observer: StatusObserver,
        identity: Identity,
        surroundings: Surroundings,
        pulse: Pulse,
        metrics: Callable[[], bytes],
        ready: Callable[[], bool],
        stall: float = STALL,
    ) -> None:
        self.live = Live(observer.status, identity, surroundings)
        self.tasks: list[asyncio.Task[None]] = []
        self._beating = (pulse.run, surroundings.run)
        self._access = Access(settings.token_file)
        self._check_host = is_loopback(settings.host) and not self._access.needed
        self._observer = observer
        self._metrics = metrics
        self._ready = ready
        self._stall = stall

    def application(self) -> web.Application:
        """Everything that is served."""
        application = web.Application(middlewares=[self._guard], client_max_size=4096)
        application.on_response_prepare.append(_secure)
        application.on_shutdown.append(self._shut)
        application.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._prometheus),
                web.get("/api/status", self._status),
                web.get("/api/status/schema", self._schema),
                web.get("/api/events", self.live.stream, allow_head=False),
                web.get("/", _page),
                web.post("/login", self._login),
                web.post("/logout", _logout),
                *(web.get(f"/static/{path.name}", _static) for path in sorted(STATIC.glob("*.*"))),
            ]
        )
        return application

    def start(self) -> None:
        """Begin to measure and to ask around."""
        self.tasks = [asyncio.create_task(run(), name="status page") for run in self._beating]

    async def stop(self) -> None:
        """The inverse of `start`."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _shut(self, _: web.Application) -> None:
        self.live.close()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Callable[[web.Request], Awaitable[Answer]]) -> Answer:
        if self._check_host and not names_this_machine(request.headers.get("Host", "")):
            return web.Response(status=421, text="this server answers to localhost only\n")
        if request.path not in PUBLIC and not self._allows(request):
            if request.path == "/":
                return _form(refused=False)
            return web.Response(status=401, text="token needed\n", headers={"WWW-Authenticate": "Bearer"})
        return await handler(request)

    def _allows(self, request: web.Request) -> bool:
        return self._access.allows(request.headers.get("Authorization", ""), request.cookies.get(COOKIE, ""))

    # Probes: the status code says it all.

    async def _livez(self, _: web.Request) -> web.Response:
        alive = self._observer.silent() < self._stall and not any(_broken(task) for task in self.tasks)
        return web.Response(status=200 if alive else 503)

    async def _readyz(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self._ready() else 503)

    # For machines.

    async def _prometheus(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": METRICS_TYPE})

    async def _status(self, request: web.Request) -> web.Response:
        brief = request.query.get("series") == "none"
        return _json(self.live.summary() if brief else self.live.report())

    async def _schema(self, _: web.Request) -> web.Response:
        return _json(SCHEMA)

    # For people.

    async def _login(self, request: web.Request) -> web.Response:
        token = (await request.post()).get("token")
        if not self._access.needed or not isinstance(token, str) or not self._access.knows(token.strip()):
            return _form(refused=True)
        response = web.Response(status=303, headers={"Location": "/"})
        encrypted = request.headers.get("X-Forwarded-Proto") == "https"
        response.set_cookie(
            COOKIE, self._access.cookie(), max_age=COOKIE_SECONDS, httponly=True, samesite="Strict", secure=encrypted
        )
        return response


async def _logout(_: web.Request) -> web.Response:
    response = web.Response(status=303, headers={"Location": "/"})
    response.del_cookie(COOKIE, httponly=True, samesite="Strict")
    return response


def _form(*, refused: bool) -> web.Response:
    """The login form; after a wrong token it says so."""
    text = (STATIC / "login.html").read_text()
    shown = text.replace(' role="alert" hidden', ' role="alert"') if refused else text
    return web.Response(text=shown, status=401, content_type="text/html")


async def _page(_: web.Request) -> web.Response:
    return _file("page.html")


async def _static(request: web.Request) -> web.Response:
    return _file(request.path.removeprefix("/static/"))


def _file(name: str, status: int = 200) -> web.Response:
    path = STATIC / name
    return web.Response(body=path.read_bytes(), status=status, content_type=TYPES[path.suffix], charset="utf-8")


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


async def _secure(_: web.Request, response: Answer) -> None:
    response.headers.update(HEADERS)


def _broken(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None


@asynccontextmanager
async def serve(settings: Http, site: Site) -> AsyncIterator[str]:
    """Serve until the context ends; gives the address.

    Raises:
        LocalError: the address cannot be listened on.
    """
    runner = web.AppRunner(site.application(), access_log=None, handler_cancellation=True, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await _listen(runner, settings)
        site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        await site.stop()
        await runner.cleanup()


async def _listen(runner: web.AppRunner, settings: Http) -> None:
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as error:
        where = f"http: {settings.host}:{settings.port}"
        reason = error.strerror or str(error)
        raise LocalError(f"{where}: {reason}; set another http.host or http.port, or http.enabled: false") from error
