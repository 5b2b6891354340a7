"""The adapter of the WebSocket, with each library that it can be given, against a server that does as it is told."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from http import HTTPStatus

import pytest
from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.http11 import Response

from connector.adapters import client as library
from connector.adapters.websocket import SESSION_HEADER, Endpoint, run_session
from connector.domain.events import Closed, Noticed, Opened, Ponged, Rejected, Updated
from connector.domain.model import Series
from connector.errors import ConfigError, SourceUnavailable
from connector.protocol.session import Session

SERIES = Series("chats", "incoming_chats")
AUTHENTICATED = '{"status_code":200,"message":{"authenticated":true}}'


@pytest.fixture(params=["websockets", "picows"])
def client(request):
    return request.param


def value(number):
    content = {"topic": "chats", "data": {"incoming_chats": number}, "type": "update", "department_id": None}
    return json.dumps({"content": content, "status_code": 200})


async def session(client, behave, *, answer=None, compression=False, url=None, series=(SERIES,)):
    """Run one session against a server; what was emitted, and the error that ended it."""
    events = []

    async def respond(connection, request):
        return answer(request) if answer is not None else None

    async with serve(
        behave, "127.0.0.1", 0, process_request=respond, compression="deflate" if compression else None
    ) as server:
        port = server.sockets[0].getsockname()[1]
        endpoint = Endpoint(
            url or f"ws://127.0.0.1:{port}/stream",
            open_timeout=5.0,
            ping_interval=5.0,
            ping_timeout=5.0,
            probe_interval=0.02,
            max_frame=65536,
            compression=compression,
            tls=None,
            client=client,
        )

        def make(now):
            return Session("s1", series, now=now)

        async def nothing():
            pass

        error = await run_session(
            endpoint, "secret", "s1", make, events.append, opened=lambda *_: None, take_over=nothing
        )
    return events, error


def run(*arguments, **options):
    return asyncio.run(asyncio.wait_for(session(*arguments, **options), 30))


def of(events, kind):
    return [event for event in events if type(event) is kind]


@pytest.mark.parametrize("compression", [False, True])
def test_it_subscribes_reads_in_order_and_tells_the_end(client, compression):
    heard = []

    async def behave(connection):
        heard.append((connection.request.headers["Authorization"], connection.request.headers[SESSION_HEADER]))
        await connection.send(AUTHENTICATED)
        heard.append(json.loads(await connection.recv()))
        for number in range(500):
            await connection.send(value(number))
        await connection.send("{")
        await connection.close(4001, "enough")

    events, error = run(client, behave, compression=compression)
    assert heard == [("Bearer secret", "s1"), {"topic": "chats.incoming_chats", "action": "subscribe"}]
    assert [event.value for event in of(events, Updated)] == list(range(500))
    assert [event.frame for event in of(events, Updated)] == list(range(2, 502))
    assert [event.payload for event in of(events, Rejected)] == [b"{"]
    assert (type(events[0]), type(events[-1])) == (Opened, Closed)
    assert "4001" in str(error)
    assert "enough" in str(error)


def test_all_that_was_sent_before_a_proof_is_heard_before_it(client):
    async def behave(connection):
        await connection.send(AUTHENTICATED)
        await connection.recv()
        ended = time.monotonic() + 1.0
        while time.monotonic() < ended:
            for _ in range(50):
                await connection.send(value(time.time_ns() // 1000))
            await asyncio.sleep(0.001)

    events, _ = run(client, behave)
    proofs = [at for at, event in enumerate(events) if type(event) is Ponged]
    assert len(proofs) > 5
    for at in proofs:
        late = [event for event in events[at:] if type(event) is Updated and event.value < events[at].sent_us]
        assert not late
    assert events[-1].through_us >= max(events[at].sent_us for at in proofs)


@pytest.mark.parametrize(("status", "reason"), [(401, "auth"), (403, "auth"), (429, "throttled"), (500, "disconnect")])
def test_a_refused_handshake_has_its_reason(client, status, reason):
    def answer(request):
        return Response(status, HTTPStatus(status).phrase, Headers({"Retry-After": "7"}), b"")

    with pytest.raises(SourceUnavailable) as caught:
        run(client, None, answer=answer)
    assert caught.value.reason == reason
    assert caught.value.retry_after == 7.0
    assert str(status) in str(caught.value)


def test_a_redirect_is_not_followed(client):
    asked = []

    def answer(request):
        asked.append(request.path)
        return Response(302, "Found", Headers({"Location": "/elsewhere"}), b"")

    with pytest.raises(SourceUnavailable, match="redirect"):
        run(client, None, answer=answer)
    assert asked == ["/stream"]


def test_a_token_refused_in_the_session(client):
    async def behave(connection):
        await connection.send('{"status_code":401,"message":"Unauthorized"}')
        await connection.wait_closed()

    with pytest.raises(SourceUnavailable) as caught:
        run(client, behave)
    assert caught.value.reason == "auth"


def test_the_source_closes_before_its_first_frame(client):
    async def behave(connection):
        await connection.close(1013, "later")

    with pytest.raises(SourceUnavailable, match="1013"):
        run(client, behave)


def test_without_an_authentication_frame_it_goes_on_after_the_deadline(client):
    async def behave(connection):
        await connection.recv()
        await connection.send(value(3))
        await connection.close()

    events, _ = run(client, behave)
    assert [event.kind for event in of(events, Noticed)] == ["unauthenticated"]
    assert [event.value for event in of(events, Updated)] == [3]


def test_a_frame_that_is_too_large_ends_the_session(client):
    async def behave(connection):
        await connection.send(AUTHENTICATED)
        await connection.recv()
        await connection.send(" " * 70_000)
        await connection.wait_closed()

    events, error = run(client, behave)
    assert "1009" in str(error)
    assert type(events[-1]) is Closed


def test_a_connection_that_breaks_ends_the_session(client):
    async def behave(connection):
        await connection.send(AUTHENTICATED)
        await connection.recv()
        connection.transport.abort()

    events, error = run(client, behave)
    assert type(error) is SourceUnavailable
    assert type(events[-1]) is Closed


def test_nobody_listens(client):
    with pytest.raises(SourceUnavailable, match=r"source ws://127\.0\.0\.1:1/"):
        run(client, None, url="ws://127.0.0.1:1/")


def test_no_websocket_there(client):
    with pytest.raises(SourceUnavailable, match=r"200|no WebSocket"):
        run(client, None, answer=lambda _: Response(200, "OK", Headers(), b"hello"))


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(library, "picows", library.exceptions)
    with pytest.raises(ConfigError, match=r"zendesk-chat-kafka\[fast\]"):
        library.opener("picows")
    with pytest.raises(ConfigError, match="fast"):
        library.event_loop("picows")


def test_an_event_loop_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with pytest.raises(ConfigError, match=r"uvloop.*zendesk-chat-kafka\[fast\]"):
        library.event_loop("picows")


def test_only_picows_brings_an_event_loop_of_its_own():
    assert library.event_loop("websockets") is None
    loop = library.event_loop("picows")()
    assert type(loop).__module__.startswith("uvloop")
    loop.close()
