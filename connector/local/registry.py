"""A schema registry inside this process, for the demo and for tests of a registry that misbehaves."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from connector.errors import LocalError
from connector.local.process import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Middleware

    Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"


@dataclass
class Faults:
    """How the registry misbehaves; every field may be changed while it runs."""

    status: int | None = None
    """Answer every request with this HTTP status."""
    delay: float = 0.0
    """Seconds before each answer."""
    body: bytes | None = None
    """Answer every request with 200 and these bytes."""
    authorization: str | None = None
    """The only accepted `Authorization` header, such as `Basic …` or `Bearer …`; others get 401."""


@dataclass
class Store:
    """Subjects and the schemas under them, as the Confluent REST interface tells them."""

    schemas: list[str] = field(default_factory=list)
    """By id, from 1."""
    subjects: dict[str, list[int]] = field(default_factory=dict)
    """Schema ids by subject, in the order of their versions."""
    levels: dict[str, str] = field(default_factory=lambda: {"": "BACKWARD"})
    """Compatibility level by subject, the registry's own under the empty name."""

    def register(self, subject: str, schema: str) -> int:
        """The id of the schema, which becomes the subject's newest version unless it has it already."""
        known = self.find(schema)
        schema_id = known or self._append(schema)
        versions = self.subjects.setdefault(subject, [])
        if schema_id not in versions:
            versions.append(schema_id)
        return schema_id

    def find(self, schema: str) -> int | None:
        """The id of an equal schema, if there is one."""
        wanted = _canonical(schema)
        return next((i for i, have in enumerate(self.schemas, 1) if _canonical(have) == wanted), None)

    def version(self, subject: str, schema_id: int) -> dict[str, Any]:
        """One version of a subject in full."""
        return {
            "subject": subject,
            "version": self.subjects[subject].index(schema_id) + 1,
            **self.schema(schema_id),
        }

    def schema(self, schema_id: int) -> dict[str, Any]:
        """A schema with its identifiers."""
        text = self.schemas[schema_id - 1]
        return {"id": schema_id, "guid": str(uuid.uuid5(uuid.NAMESPACE_OID, text)), "schema": text}

    def _append(self, schema: str) -> int:
        self.schemas.append(schema)
        return len(self.schemas)


class LocalRegistry:
    """A registry on a free loopback port, served by a thread of its own. It judges no compatibility."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.store = Store()
        self.requests: list[str] = []
        """Method and path of every request, in order."""
        self._port = free_port()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._failure: Exception | None = None
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="local-registry", daemon=True)

    @property
    def url(self) -> str:
        """Base address for a schema registry client."""
        return f"http://{HOST}:{self._port}"

    def start(self) -> Self:
        """Serve; LocalError if it cannot."""
        self._thread.start()
        self._started.wait()
        if self._failure:
            raise LocalError(f"the local registry cannot serve {self.url}: {self._failure}")
        return self

    def stop(self) -> None:
        """Close the port; the schemas stay readable in `store`."""
        if self._loop and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001  (a thread's error is told by `start`)
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        app = web.Application(middlewares=[_as_middleware(self._misbehave)])
        app.add_routes(_routes(self.store))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, self._port).start()
            self._started.set()
            await self._stopping.wait()
        finally:
            await runner.cleanup()

    async def _misbehave(self, request: web.Request, serve: Serve) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        faults = self.faults
        await asyncio.sleep(faults.delay)
        if faults.authorization not in (None, request.headers.get("Authorization")):
            return _error(401, 401, "User cannot access the resource.")
        if faults.status is not None:
            return _error(faults.status, faults.status * 100 + 1, "fault switched on")
        if faults.body is not None:
            return web.Response(body=faults.body, content_type=CONTENT_TYPE)
        try:
            return await serve(request)
        except web.HTTPClientError as error:
            return _error(error.status, error.status, f"HTTP {error.status} {error.reason}")


def _as_middleware(around: Callable[[web.Request, Serve], Awaitable[web.StreamResponse]]) -> Middleware:
    # aiohttp marks middlewares with an attribute, which a bound method cannot carry, and names this argument.
    @web.middleware
    async def middleware(request: web.Request, handler: Serve) -> web.StreamResponse:
        return await around(request, handler)

    return middleware


def _routes(store: Store) -> list[web.RouteDef]:
    requests = _Requests(store)
    return [
        web.get("/subjects", requests.subjects),
        web.get("/subjects/{subject}/versions", requests.versions),
        web.post("/subjects/{subject}/versions", requests.register),
        web.get("/subjects/{subject}/versions/{version}", requests.version),
        web.post("/subjects/{subject}", requests.look_up),
        web.get("/schemas/ids/{id}", requests.schema),
        web.get("/schemas/ids/{id}/versions", requests.schema_versions),
        web.get("/config", requests.level),
        web.put("/config", requests.set_level),
        web.get("/config/{subject}", requests.level),
        web.put("/config/{subject}", requests.set_level),
        web.post("/compatibility/subjects/{subject}/versions", requests.compatible),
        web.post("/compatibility/subjects/{subject}/versions/{version}", requests.compatible),
    ]


class _Requests:
    """The REST calls; whatever is not among them (associations, modes) is 404, as on older registries."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def subjects(self, _request: web.Request) -> web.Response:
        return _answer(sorted(self._store.subjects))

    async def versions(self, request: web.Request) -> web.Response:
        ids = self._store.subjects.get(request.match_info["subject"])
        return _answer(list(range(1, len(ids) + 1))) if ids else _no_subject(request)

    async def register(self, request: web.Request) -> web.Response:
        schema = await _schema_of(request)
        if schema is None:
            return _error(422, 42201, "Invalid schema")
        return _answer(self._store.schema(self._store.register(request.match_info["subject"], schema)))

    async def version(self, request: web.Request) -> web.Response:
        subject, wanted = request.match_info["subject"], request.match_info["version"]
        ids = self._store.subjects.get(subject)
        if not ids:
            return _no_subject(request)
        number = len(ids) if wanted in ("latest", "-1") else int(wanted) if wanted.isdecimal() else 0
        if not 1 <= number <= len(ids):
            return _error(404, 40402, f"Version {wanted} not found.")
        return _answer(self._store.version(subject, ids[number - 1]))

    async def look_up(self, request: web.Request) -> web.Response:
        subject = request.match_info["subject"]
        if subject not in self._store.subjects:
            return _no_subject(request)
        schema_id = self._store.find(await _schema_of(request) or "")
        if schema_id is None or schema_id not in self._store.subjects[subject]:
            return _error(404, 40403, "Schema not found")
        return _answer(self._store.version(subject, schema_id))

    async def schema(self, request: web.Request) -> web.Response:
        schema_id = self._known_id(request)
        return _answer(self._store.schema(schema_id)) if schema_id else _error(404, 40403, "Schema not found")

    async def schema_versions(self, request: web.Request) -> web.Response:
        schema_id = self._known_id(request)
        holders = [subject for subject, ids in self._store.subjects.items() if schema_id in ids]
        found = [{"subject": s, "version": self._store.subjects[s].index(schema_id or 0) + 1} for s in holders]
        return _answer(found) if schema_id else _error(404, 40403, "Schema not found")

    async def level(self, request: web.Request) -> web.Response:
        subject = request.match_info.get("subject", "")
        level = self._store.levels.get(subject)
        if level is None and request.query.get("defaultToGlobal", "").lower() == "true":
            level = self._store.levels[""]
        if level is None:
            return _error(404, 40408, f"Subject '{subject}' does not have subject-level compatibility configured")
        return _answer({"compatibilityLevel": level})

    async def set_level(self, request: web.Request) -> web.Response:
        level = (await request.json())["compatibility"]
        self._store.levels[request.match_info.get("subject", "")] = level
        return _answer({"compatibility": level})

    async def compatible(self, _request: web.Request) -> web.Response:
        return _answer({"is_compatible": True})

    def _known_id(self, request: web.Request) -> int | None:
        text = request.match_info["id"]
        number = int(text) if text.isdecimal() else 0
        return number if 1 <= number <= len(self._store.schemas) else None


async def _schema_of(request: web.Request) -> str | None:
    try:
        schema = (json.loads(await request.text()))["schema"]
        json.loads(schema)
    except (ValueError, KeyError, TypeError):
        return None
    return str(schema)


def _canonical(schema: str) -> str:
    try:
        return json.dumps(json.loads(schema), separators=(",", ":"))
    except ValueError:
        return ""


def _answer(content: object) -> web.Response:
    return web.json_response(content, content_type=CONTENT_TYPE)


def _no_subject(request: web.Request) -> web.Response:
    return _error(404, 40401, f"Subject '{request.match_info['subject']}' not found.")


def _error(status: int, code: int, message: str) -> web.Response:
    content = {"error_code": code, "message": message}
    return web.json_response(content, status=status, content_type=CONTENT_TYPE)
