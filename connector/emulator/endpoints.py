"""HTTP of the emulator: which path leads where, and the upgrade to a session."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from connector.emulator.rest import Answer, DepartmentsApi, RestTwin, api_error, json_answer
from connector.errors import ConfigError

if TYPE_CHECKING:
    from connector.emulator.control import Control
    from connector.emulator.server import Emulator

SESSION_HEADER = "X-Session-Id"
MAX_MESSAGE = 1 << 20
"""Bytes of the longest message that a client may send."""

NOT_FOUND = api_error(404, "NotFound", "There is nothing at this address")


class Endpoints:
    """Serves every request that reaches the port. Any path may be upgraded to a session."""

    def __init__(self, emulator: Emulator, control: Control) -> None:
        self._emulator = emulator
        self._control = control
        self._twin = RestTwin(emulator.world, emulator.hub, emulator.behaviour)
        self._departments = DepartmentsApi(emulator.world, emulator.behaviour)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        parts = request.path.strip("/").split("/")
        if parts[0] == "_control":
            return _response(await self._steer(request, parts[1:]))
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._stream(request)
        if request.path.rstrip("/").endswith("/oauth2/token"):
            return _response(await self._token(request))
        if request.method != "GET":
            return _response(NOT_FOUND)
        return _response(self._rest(request, parts))

    def _rest(self, request: web.Request, parts: list[str]) -> Answer:
        match parts:
            case ["stream", family] | ["stream", family, _]:
                refused = self._admit("rest", request)
                key = parts[2] if len(parts) == 3 else None
                return refused or self._twin.answer(family, key, request.query)
            case ["api", "v2", "departments", *rest] | ["api", "v2", "chat", "departments", *rest]:
                return self._admit("departments", request) or self._department(rest)
            case ["stream"]:
                return json_answer(426, {"status_code": 426, "message": "Upgrade to a WebSocket"})
            case _:
                return NOT_FOUND

    def _department(self, rest: list[str]) -> Answer:
        match rest:
            case []:
                return self._departments.all()
            case ["name", name]:
                return self._departments.by_name(name)
            case [department_id]:
                return self._departments.by_id(department_id)
            case _:
                return NOT_FOUND

    def _admit(self, place: str, request: web.Request) -> Answer | None:
        now = asyncio.get_running_loop().time()
        return self._emulator.gate.request(place, request.headers.get("Authorization", ""), now)

    async def _token(self, request: web.Request) -> Answer:
        refused = self._emulator.gate.refused("token", asyncio.get_running_loop().time())
        if refused is not None or request.method != "POST":
            return refused or NOT_FOUND
        status, body = self._emulator.gate.accounts.grant(await request.post())
        return json_answer(status, body)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        emulator = self._emulator
        now = asyncio.get_running_loop().time()
        admission = emulator.gate.session(request.headers.get("Authorization", ""), now)
        if admission.answer is not None:
            return _response(admission.answer)
        websocket = web.WebSocketResponse(
            autoping=False, autoclose=False, compress=emulator.behaviour.deflate, max_msg_size=MAX_MESSAGE
        )
        try:
            await websocket.prepare(request)
            await self._converse(request, websocket, admission.token)
        finally:
            if admission.token is not None:
                emulator.gate.limits.release_session(admission.token)
        return websocket

    async def _converse(self, request: web.Request, websocket: web.WebSocketResponse, token: str | None) -> None:
        transport = request.transport
        if transport is None:
            return
        connection = self._emulator.enter(request.headers.get(SESSION_HEADER, ""), transport, token)
        if websocket.compress:
            connection.window_bits = int(websocket.compress)
        try:
            await connection.serve(self._emulator.hub, websocket)
        finally:
            self._emulator.leave(connection)

    async def _steer(self, request: web.Request, parts: list[str]) -> Answer:
        if not _local(request):
            return api_error(403, "Forbidden", "The control API answers this machine only")
        try:
            arguments = json.loads(await request.text() or "{}") if request.method == "POST" else {}
            result = self._control.obey("/".join(parts), _keywords(arguments))
        except ConfigError as error:
            return json_answer(400, {"error": str(error)})
        except ValueError as error:
            return json_answer(400, {"error": f"body: {error}"})
        return json_answer(200, result)


def _keywords(arguments: Any) -> dict[str, Any]:
    if not isinstance(arguments, dict):
        raise ConfigError("body: send a JSON object, for instance {}")
    return arguments


def _local(request: web.Request) -> bool:
    # A page in a browser on this machine could reach the port, too: browsers name themselves.
    remote = ipaddress.ip_address(request.remote or "::")
    return remote.is_loopback and "Origin" not in request.headers


def _response(answer: Answer) -> web.Response:
    headers = {} if answer.retry_after is None else {"Retry-After": str(answer.retry_after)}
    return web.Response(status=answer.status, text=answer.body, content_type=answer.content_type, headers=headers)
