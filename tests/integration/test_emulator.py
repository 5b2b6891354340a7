"""The emulator over real sockets: every fault, every switch that concerns the connection, roles, limits, TLS."""

import asyncio
import base64
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from connector.domain.metrics import METRICS
from connector.emulator.behaviour import Behaviour
from connector.emulator.limits import Limits
from connector.emulator.server import Emulator
from connector.emulator.settings import EmulatorSettings
from connector.errors import ConfigError, LocalError

AUTH = {"status_code": 200, "message": {"authenticated": True}}
SERIES = "chats.active_chats||"
AGENT, OWNER = "agent-token", "owner-token"


def emulator(**settings):
    return Emulator(EmulatorSettings(**settings))


def paused(**settings):
    """An emulator whose world stands still, so that only the test makes frames."""
    made = emulator(**settings)
    made.pump.paused = True
    return made


@asynccontextmanager
async def session(source, *, token=AGENT, name=None, **more):
    headers = {"Authorization": f"Bearer {token}"} | ({"X-Session-Id": name} if name else {})
    async with connect(source.url, additional_headers=headers, proxy=None, ping_interval=None, **more) as opened:
        yield opened


async def receive(opened):
    return json.loads(await asyncio.wait_for(opened.recv(), 5))


async def subscribe(opened, topic="chats.active_chats", **more):
    await opened.send(json.dumps({"topic": topic, "action": "subscribe", **more}))
    return await receive(opened)


async def end_of(opened):
    """Close code and reason once the server has ended the session."""
    try:
        while True:
            await asyncio.wait_for(opened.recv(), 5)
    except ConnectionClosed as closed:
        return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


@asynccontextmanager
async def http(source, token=OWNER):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession(source.http_url, headers=headers) as client:
        yield client


async def call(client, path, **more):
    method = "POST" if more else "GET"
    async with client.request(method, path, **more) as response:
        text = await response.text()
        return response.status, json.loads(text) if "json" in response.content_type else text


def settled(condition):
    async def wait():
        for _ in range(500):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("did not settle")

    return wait()


# The conversation


def test_a_session_from_upgrade_to_unsubscribe():
    async def main():
        async with paused() as source, session(source) as opened:
            assert await receive(opened) == AUTH
            snapshot = await subscribe(opened)
            assert snapshot["content"]["topic"] == "chats"
            assert source.control("value", series=SERIES, value=-1) == {"frames": 1, "changes": 1}
            assert (await receive(opened))["content"]["data"] == {"active_chats": -1}
            source.control("value", series=SERIES, value=None)
            assert (await receive(opened))["content"]["data"] == {"active_chats": None}
            source.control("value", series=SERIES, raw="12.50")
            assert '"active_chats":12.50}' in await opened.recv()
            await opened.send("Hello, world!")
            assert (await receive(opened))["status_code"] == 500
            await opened.send(json.dumps({"topic": "chats.active_chats", "action": "unsubscribe"}))
            await opened.send("and again")
            assert (await receive(opened))["status_code"] == 500
            assert source.control("value", series=SERIES, value=5)["frames"] == 0

    asyncio.run(main())


def test_a_live_world_pushes_at_the_rate_asked_for():
    async def main():
        async with emulator(rate=400, departments=5) as source, session(source) as opened:
            for metric in METRICS:
                window = {"window": 30} if metric.windowed else {}
                message = {"topic": f"{metric.family}.{metric.key}", "action": "subscribe", **window}
                await opened.send(json.dumps(message))
            started = time.monotonic()
            for _ in range(400):
                await asyncio.wait_for(opened.recv(), 5)
            assert 0.5 < time.monotonic() - started < 3

    asyncio.run(main())


def test_the_pace_can_be_changed_and_real_time_passes():
    async def main():
        async with emulator() as source:
            before = source.world.now
            await asyncio.sleep(0.3)
            assert 200 < source.world.now - before < 2000
            source.control("pace", speed=1000)
            before = source.world.now
            await asyncio.sleep(0.3)
            assert source.world.now - before > 100_000
            source.control("pause")
            await asyncio.sleep(0.05)
            before = source.world.now
            await asyncio.sleep(0.1)
            assert source.world.now == before
            assert source.control("advance", seconds=60)["now"] == (before + 60_000) / 1000
            with pytest.raises(ConfigError, match="above 0"):
                source.control("pace", rate=0)

    asyncio.run(main())


@pytest.mark.parametrize("token", ["nobody", ""])
def test_a_bad_token_is_told_in_band_then_an_empty_close(token):
    async def main():
        async with paused() as source, session(source, token=token) as opened:
            assert (await receive(opened))["status_code"] == 401
            assert await end_of(opened) == (1005, "")

    asyncio.run(main())


def refused_upgrade(source, **more):
    async def attempt():
        with pytest.raises(InvalidStatus) as raised:
            async with session(source, **more):
                pass
        return raised.value.response

    return attempt()


def test_switch_unauthorised_by_http():
    async def main():
        async with paused(behaviour=Behaviour(unauthorised="http")) as source:
            response = await refused_upgrade(source, token="nobody")
            assert response.status_code == 401

    asyncio.run(main())


# Faults on command


@pytest.mark.parametrize(
    ("how", "seen"),
    [
        ({"mode": "close", "code": 1012, "reason": "restart"}, (1012, "restart")),
        ({"mode": "close", "code": 1005}, (1005, "")),
        ({"mode": "fin"}, (1006, "")),
        ({"mode": "reset"}, (1006, "")),
    ],
)
@pytest.mark.parametrize("tls", [False, True])
def test_drop_one_session(how, seen, tls, tmp_path):
    async def main():
        async with paused(tls=tmp_path if tls else None) as source:
            trust = {"ssl": ssl.create_default_context(cafile=tmp_path / "ca.pem")} if tls else {}
            async with session(source, name="a", **trust) as dropped, session(source, name="b", **trust) as kept:
                assert await receive(dropped) == await receive(kept) == AUTH
                assert source.control("drop", session="a", **how) == {"sessions": 1}
                assert await end_of(dropped) == seen
                await subscribe(kept)
                await settled(lambda: len(source.connections) == 1)

    asyncio.run(main())


def test_a_reset_is_a_real_rst():
    async def main():
        async with paused() as source:
            reader, writer = await raw_upgrade(source)
            await reader.readuntil(b"true}}")
            source.control("drop", mode="reset")
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()

    asyncio.run(main())


async def raw_upgrade(source):
    reader, writer = await asyncio.open_connection("127.0.0.1", source.port)
    key = base64.b64encode(os.urandom(16)).decode()
    lines = ["GET /anything HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "Authorization: Bearer agent-token"]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def test_half_open_neither_answers_nor_ends():
    async def main():
        async with paused() as source, session(source, name="a", close_timeout=0.1) as opened:
            await receive(opened)
            await subscribe(opened)
            source.control("drop", mode="half-open")
            source.control("value", series=SERIES, value=77)
            pong = await opened.ping()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pong, 0.3)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(opened.recv(), 0.1)
            shown = source.control("stats")["sessions"][0]
            assert (shown["half_open"], shown["frames"]) == (True, 2)
            assert source.gate.limits.sessions["agent-token"] == 1
            source.control("drop")
            await settled(lambda: not source.connections)

    asyncio.run(main())


def test_delay_keeps_the_order():
    async def main():
        async with paused() as source, session(source) as opened:
            await receive(opened)
            await subscribe(opened)
            source.control("delay", ms=150)
            started = time.monotonic()
            for value in range(20):
                source.control("value", series=SERIES, value=value)
            got = [(await receive(opened))["content"]["data"]["active_chats"] for _ in range(20)]
            assert got == list(range(20))
            assert 0.1 < time.monotonic() - started < 2

    asyncio.run(main())


def test_raw_frames_arrive_byte_for_byte():
    async def main():
        async with paused() as source, session(source) as opened:
            await receive(opened)
            source.control("raw", text='{"status_code":200,"content":{"topic":"chats","data":{"x":NaN}}}')
            assert (await opened.recv()).endswith("NaN}}}")
            source.control("raw", base64=base64.b64encode(b"\xff\xfe").decode(), binary=True)
            assert await opened.recv() == b"\xff\xfe"
            source.control("raw", text="x" * 70_000)
            assert len(await opened.recv()) == 70_000
            source.control("raw", base64=base64.b64encode(b"\xff\xfe").decode())
            assert (await end_of_local(opened)) == 1007

    asyncio.run(main())


async def end_of_local(opened):
    with pytest.raises(ConnectionClosed) as raised:
        await asyncio.wait_for(opened.recv(), 5)
    return raised.value.sent.code


def test_flood_ends_by_itself():
    async def main():
        async with paused() as source, session(source) as opened:
            await receive(opened)
            await subscribe(opened)
            source.control("flood", rate=5000, seconds=0.3, size=7)
            await settled(lambda: not source.pump.blasts)
            frames = source.control("stats")["frames"]
            assert 300 < frames < 3000
            got = [(await receive(opened))["content"]["data"]["active_chats"] for _ in range(frames - 2)]
            assert set(got) == set(range(7))
            assert all((after - before) % 7 == 1 for before, after in pairwise(got))

    asyncio.run(main())


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_refuse_for_a_while(status):
    async def main():
        async with paused() as source, http(source) as client:
            source.control("refuse", status=status, seconds=0.3, retry_after=4)
            response = await refused_upgrade(source)
            assert (response.status_code, response.headers["Retry-After"]) == (status, "4")
            assert (await call(client, "/stream/chats"))[0] == 200
            await asyncio.sleep(0.35)
            async with session(source) as opened:
                assert await receive(opened) == AUTH
            source.control("refuse", status=status, where="all", body="maintenance")
            for path in ("/stream/agents", "/api/v2/departments"):
                assert await call(client, path) == (status, "maintenance")
            assert (await call(client, "/oauth2/token", data={}))[0] == status
            source.control("accept")
            assert (await call(client, "/stream/agents"))[0] == 200

    asyncio.run(main())


@pytest.mark.parametrize("revocation", ["close", "keep"])
def test_switch_revocation(revocation):
    async def main():
        behaviour = Behaviour(revocation=revocation, close_code=4401)
        async with paused(behaviour=behaviour) as source:
            async with session(source, close_timeout=1) as opened:
                await receive(opened)
                assert source.control("revoke", token="agent-token") == {"revoked": True, "sessions": 1}
                if revocation == "close":
                    assert await end_of(opened) == (4401, "token revoked")
                else:
                    await subscribe(opened)
            async with session(source) as late:
                assert (await receive(late))["status_code"] == 401
            source.control("token", token="fresh", role="agent")
            async with session(source, token="fresh") as again:
                assert await receive(again) == AUTH

    asyncio.run(main())


# Switches of the connection


@pytest.mark.parametrize("switch", ["max_age", "idle_timeout"])
def test_switches_max_age_idle_timeout_close_code(switch):
    async def main():
        behaviour = Behaviour(**{switch: 0.3}, close_code=4000)
        async with paused(behaviour=behaviour) as source, session(source) as opened:
            started = time.monotonic()
            for _ in range(3):
                await asyncio.sleep(0.1)
                if switch == "idle_timeout":
                    await (await opened.ping())
            assert (await end_of(opened))[0] == 4000
            lived = time.monotonic() - started
            assert lived > 0.55 if switch == "idle_timeout" else lived > 0.25

    asyncio.run(main())


def test_switch_ping_interval():
    async def main():
        async with paused(behaviour=Behaviour(ping_interval=0.1)) as source:
            reader, writer = await raw_upgrade(source)
            await reader.readuntil(b"true}}")
            assert await asyncio.wait_for(reader.readexactly(4), 2) == b"\x89\x00\x89\x00"
            writer.close()

    asyncio.run(main())


def test_switch_close_on_500():
    async def main():
        behaviour = Behaviour(close_on_500=True, close_code=1003)
        async with paused(behaviour=behaviour) as source, session(source) as opened:
            await opened.send("nonsense")
            assert await end_of(opened) == (1003, "")

    asyncio.run(main())


@pytest.mark.parametrize("deflate", [True, False])
def test_switch_deflate(deflate):
    async def main():
        async with paused(behaviour=Behaviour(deflate=deflate)) as source, session(source) as opened:
            assert bool(opened.protocol.extensions) is deflate
            assert await receive(opened) == AUTH
            await subscribe(opened)
            for value in range(50):
                source.control("value", series=SERIES, value=value)
                assert (await receive(opened))["content"]["data"] == {"active_chats": value}

    asyncio.run(main())


def test_switch_send_buffer():
    async def main():
        async with paused(behaviour=Behaviour(send_buffer=1)) as source:
            _, writer = await raw_upgrade(source)
            await settled(lambda: source.connections)
            for _ in range(200):
                source.control("raw", text="x" * 100_000)
            await settled(lambda: not source.connections)
            writer.close()

    asyncio.run(main())


def test_switches_ageing_negatives_float_averages_reach_the_world():
    async def main():
        async with paused() as source:
            source.control("behaviour", ageing=True, negatives="0.5", float_averages="on")
            assert (source.world.push_ageing, source.world.negatives, source.world.float_averages) == (True, 0.5, True)
            with pytest.raises(ConfigError, match="did you mean 'ageing'"):
                source.control("behaviour", agein=True)

    asyncio.run(main())


def test_cold_then_warm():
    async def main():
        async with paused(cold=True) as source, session(source) as opened, http(source) as client:
            await receive(opened)
            assert await subscribe(opened) == {"status_code": 200, "message": "Not Computed!"}
            assert "content" not in (await call(client, "/stream/chats"))[1]
            assert source.control("cold", on=False) == {"frames": 1}
            assert "active_chats" in (await receive(opened))["content"]["data"]
            assert source.control("cold") == {"frames": 0}

    asyncio.run(main())


# REST, roles, limits


def test_rest_twin_and_departments_over_http():
    async def main():
        async with paused() as source, http(source) as client:
            status, body = await call(client, "/stream/chats?department_id=2&window=30")
            assert (status, body["content"]["department_id"]) == (200, 2)
            assert set(body["content"]["data"]["missed_chats"]) == {"30"}
            assert list((await call(client, "/stream/agents/agents_online"))[1]["content"]["data"]) == ["agents_online"]
            for root in ("/api/v2/departments", "/api/v2/chat/departments"):
                assert [one["id"] for one in (await call(client, root))[1]] == [1, 2, 3]
                assert (await call(client, f"{root}/2"))[1]["name"] == "Sales"
                assert (await call(client, f"{root}/name/Sales"))[1]["id"] == 2
                assert (await call(client, f"{root}/9"))[0] == 404
            source.control("add-department", department_id=13388700431505, name="Día & Noche")
            assert (await call(client, "/api/v2/departments/name/D%C3%ADa%20%26%20Noche"))[1]["id"] == 13388700431505
            source.control("rename-department", department_id=1, name="Help")
            source.control("enable-department", department_id=1, enabled=False)
            source.control("remove-department", department_id=2)
            shown = (await call(client, "/api/v2/departments"))[1]
            assert [(one["id"], one["enabled"]) for one in shown] == [(1, 0), (3, 1), (13388700431505, 1)]
            assert shown[0]["name"] == "Help"
            assert (await call(client, "/nowhere"))[0] == 404
            assert (await call(client, "/stream"))[0] == 426
            assert (await call(client, "/stream/chats", json={}))[0] == 404

    asyncio.run(main())


@pytest.mark.parametrize(("role", "departments"), [("owner", 200), ("administrator", 200), ("agent", 403)])
def test_roles_over_http(role, departments):
    async def main():
        async with paused() as source, http(source, f"{role}-token") as client:
            assert (await call(client, "/stream/chats"))[0] == 200
            assert (await call(client, "/api/v2/departments"))[0] == departments
            async with session(source, token=f"{role}-token") as opened:
                assert await receive(opened) == AUTH

    asyncio.run(main())


def test_limits_before_the_upgrade_and_never_on_open_sessions():
    async def main():
        async with paused(limits=Limits(per_minute=5, per_agent=2)) as source, http(source) as client:
            async with session(source) as first:
                async with session(source):
                    response = await refused_upgrade(source)
                    assert response.status_code == 429
                    assert b"per agent exceeded (2)" in response.body
                for _ in range(3):
                    assert (await call(client, "/stream/chats"))[0] == 200
                status, body = await call(client, "/stream/chats")
                assert (status, body["error"]) == (429, "APIRateLimitExceeded")
                response = await refused_upgrade(source, token="owner-token")
                assert b"per minute exceeded (5)" in response.body
                assert int(response.headers["Retry-After"]) > 50
                await receive(first)
                for _ in range(300):
                    await subscribe(first)
            source.control("limits", per_minute=0)
            async with session(source) as opened:
                assert await receive(opened) == AUTH
            with pytest.raises(ConfigError, match="per_hour does not exist"):
                source.control("limits", per_hour=1)

    asyncio.run(main())


def test_tokens_from_the_token_endpoint_work():
    async def main():
        async with paused() as source, http(source, None) as client:
            form = {"grant_type": "client_credentials", "client_id": "emulator", "client_secret": "emulator-secret"}
            status, body = await call(client, "/oauth2/token", data=form)
            assert (status, body["token_type"]) == (200, "Bearer")
            async with session(source, token=body["access_token"]) as opened:
                assert await receive(opened) == AUTH
            assert (await call(client, "/oauth2/token", data=form | {"client_secret": "x"}))[0] == 401

    asyncio.run(main())


# Control over HTTP


def test_control_over_http():
    async def main():
        async with paused() as source, http(source, None) as client, session(source, name="mine") as opened:
            await receive(opened)
            await subscribe(opened)
            body = {"series": SERIES, "value": 41}
            assert await call(client, "/_control/value", json=body) == (200, {"frames": 1, "changes": 1})
            assert (await receive(opened))["content"]["data"] == {"active_chats": 41}
            stats = (await call(client, "/_control/stats"))[1]
            assert (stats["frames"], stats["connects"], stats["sessions"][0]["session"]) == (3, 1, "mine")
            assert (await call(client, "/_control/drop", json={"session": "mine"}))[1] == {"sessions": 1}
            assert (await call(client, "/_control/shutdown", json={}))[0] == 200
            assert source.finished.is_set()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("command", "body", "message"),
    [
        ("nonsense", {}, "command 'nonsense' does not exist: use accept, "),
        ("obey", {}, "command 'obey' does not exist"),
        ("_pushed", {}, "command '_pushed' does not exist"),
        ("value", {}, "value: missing a required argument: 'series'"),
        ("value", {"series": "chats.active_chats||99", "value": 1}, "value: 'chats.active_chats||99' does not exist"),
        ("value", {"series": "chats"}, "value: not enough values to unpack"),
        ("drop", {"mode": "gently"}, "drop: mode 'gently' does not exist: use close, fin, reset, half-open"),
        ("delay", {"ms": "long"}, "delay: could not convert"),
        ("raw", {}, "raw: give text or base64"),
        ("refuse", {"status": 500, "where": "here"}, "refuse: where 'here' does not exist"),
        ("add-department", {"department_id": 1, "name": "x"}, "add-department: department 1 exists"),
        ("remove-department", {"department_id": 99}, "remove-department: 99 does not exist"),
        ("token", {"token": "x", "role": "boss"}, "role 'boss' does not exist: use owner, administrator, agent"),
        ("pause", [], "body: send a JSON object, for instance {}"),
    ],
)
def test_control_says_what_is_wrong(command, body, message):
    async def main():
        async with paused() as source, http(source, None) as client:
            status, answer = await call(client, f"/_control/{command}", json=body)
            assert status == 400
            assert answer["error"].startswith(message)

    asyncio.run(main())


def test_control_is_closed_to_browsers_and_survives_bad_json():
    async def main():
        async with paused() as source, http(source, None) as client:
            assert (await call(client, "/_control/stats", headers={"Origin": "http://x"}, data=""))[0] == 403
            assert (await call(client, "/_control/pause", data="{"))[0] == 400

    asyncio.run(main())


# The journal


async def read_all(opened, messages):
    try:
        async for message in opened:
            messages.append(message)
    except ConnectionClosed:
        pass


async def subscribe_all(opened, departments):
    for department in departments:
        for metric in METRICS:
            window = {"window": 60} if metric.windowed else {}
            topic = {"topic": f"{metric.family}.{metric.key}", "department_id": department}
            await opened.send(json.dumps({**topic, "action": "subscribe", **window}))


def journal_of_a_lively_second(path):
    """Two sessions of which the first hears everything: what they received, and the journal's lines."""
    one, two = [], []

    async def main():
        async with emulator(rate=3000, journal=path, journal_all=True, departments=4) as source:
            async with session(source, name="one") as first, session(source, name="two") as second:
                readers = asyncio.gather(read_all(first, one), read_all(second, two))
                await subscribe_all(first, (None, 1, 2, 3, 4))
                await second.send('{"topic":"chats.active_chats","action":"subscribe"}')
                await asyncio.sleep(1)
                source.control("raw", text="{broken", session="two")
                await asyncio.sleep(0.2)
                source.control("drop")
                await readers
            await settled(lambda: not source.connections)
            assert source.control("stats")["frames"] == len(one) + len(two)

    asyncio.run(main())
    return {"one": one, "two": two}, [json.loads(line) for line in path.read_text().splitlines()]


def test_the_journal_is_what_the_sessions_received(tmp_path):
    received, lines = journal_of_a_lively_second(tmp_path / "journal")
    assert len(received["one"]) > 2000
    for name, messages in received.items():
        mine = [line for line in lines if line["event"] == "frame" and line["session"] == name]
        assert [line["text"] for line in mine] == messages
        assert [line["frame"] for line in mine] == list(range(1, len(messages) + 1))
        assert [line["at"] for line in mine] == sorted(line["at"] for line in mine)
        kinds = {line["kind"] for line in mine}
        assert kinds == ({"auth", "update"} if name == "one" else {"auth", "update", "malformed"})
    closed = {line["session"]: line["frames"] for line in lines if line["event"] == "close"}
    assert closed == {name: len(messages) for name, messages in received.items()}


def test_the_journal_tells_the_values_of_every_update_and_all_that_was_published(tmp_path):
    _, lines = journal_of_a_lively_second(tmp_path / "journal")
    published, delivered = defaultdict(list), defaultdict(list)
    for line in lines:
        if line["event"] == "value":
            published[line["series"]].append(line["value"])
        elif line.get("session") == "one":
            assert len(line.get("values", [])) == (line.get("kind") == "update")
            for series, value in line.get("values", []):
                delivered[series].append(value)
    assert len(delivered) == 15 * 5
    for series, (_, *updates) in delivered.items():
        assert contains(published[series], updates)


def contains(values, part):
    """Whether `part` occurs in `values` without interruption."""
    return any(values[start : start + len(part)] == part for start in range(len(values) + 1))


# Starting and ending


def test_a_busy_port_is_one_line():
    async def main():
        async with paused() as source:
            with pytest.raises(LocalError, match=r"port \d+ on 127.0.0.1: .*choose another with --port"):
                async with paused(port=source.port):
                    pass

    asyncio.run(main())


def test_stopping_tells_every_session():
    async def main():
        async with paused() as source, session(source) as opened:
            await receive(opened)
            stopped = asyncio.create_task(source.stop())
            assert await end_of(opened) == (1001, "emulator stops")
            await stopped
            assert not source.connections

    asyncio.run(main())


def test_wss_with_the_test_ca_which_is_kept(tmp_path):
    async def main():
        trust = None
        for _ in range(2):
            async with paused(tls=tmp_path / "tls") as source:
                assert source.url.startswith("wss://")
                trust = trust or ssl.create_default_context(cafile=tmp_path / "tls" / "ca.pem")
                async with session(source, ssl=trust) as opened:
                    assert await receive(opened) == AUTH
                async with aiohttp.ClientSession() as client:
                    headers = {"Authorization": "Bearer owner-token"}
                    async with client.get(f"{source.http_url}/stream/chats", ssl=trust, headers=headers) as response:
                        assert response.status == 200

    asyncio.run(main())
    assert (tmp_path / "tls" / "server.pem").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("make", ["file", "rubbish"])
def test_a_tls_directory_that_cannot_be_used_is_one_line(tmp_path, make):
    directory = tmp_path / "tls"
    if make == "file":
        directory.write_text("not a directory")
    else:
        directory.mkdir()
        (directory / "server.pem").write_text("not a certificate")

    async def main():
        async with paused(tls=directory):
            pass

    with pytest.raises(LocalError, match="tls "):
        asyncio.run(main())


PROGRAM = "import typer; from connector.cli.emulate import emulate; app = typer.Typer(); app.command()(emulate); app()"


@contextmanager
def program(*arguments):
    command = [sys.executable, "-c", PROGRAM, "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_the_command_starts_serves_and_ends_with_a_summary():
    with program("--json", "--token", "agent=mine", "--switch", "auth_frame=off", "--departments", "50") as process:
        ready = json.loads(process.stdout.readline())
        assert ready["tokens"] == {"agent": "mine"}
        assert len(ready["departments"]) == 50

        async def main():
            headers = {"Authorization": "Bearer mine"}
            async with connect(ready["url"], additional_headers=headers, proxy=None) as opened:
                assert "content" in await subscribe(opened)

        asyncio.run(main())
        process.send_signal(signal.SIGINT)
        summary = json.loads(process.communicate(timeout=10)[0].splitlines()[-1])["summary"]
        assert process.returncode == 0
        assert summary["connects"] == 1


def test_the_command_for_people():
    with program("--duration", "0.2") as process:
        out, err = process.communicate(timeout=10)
        assert (process.returncode, err) == (0, "")
        for part in ("stream   ws://127.0.0.1:", "token    owner-token (owner)", "Try: curl", "Ended: 0 frames"):
            assert part in out


def test_the_command_lists_its_switches():
    with program("--list-switches") as process:
        out, _ = process.communicate(timeout=10)
        assert process.returncode == 0
        assert all(name in out for name in vars(Behaviour()))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--switch", "snapshot=perhaps"], 2, "error: switch snapshot=perhaps: expected on or off"),
        (["--token", "boss=x"], 2, "error: role 'boss' does not exist: use owner, administrator, agent"),
        (["--rate", "0"], 2, "error: --rate 0.0: must be above 0"),
        (["--journal", "/proc/none/j"], 6, "error: journal /proc/none/j: "),
    ],
)
def test_errors_of_the_command_are_one_line(arguments, code, message):
    with program(*arguments) as process:
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out) == (code, "")
        assert err.startswith(message)
        assert err.count("\n") == 1


def test_a_blast_is_fast_enough(tmp_path):
    """60,000 frames a second to one session, journaled, read by a bare socket."""
    with program("--json", "--blast", "1000", "--journal", str(tmp_path / "j")) as process:
        port = json.loads(process.stdout.readline())["port"]
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(upgrade_and_subscribe())
            started, frames = time.monotonic(), 0
            while time.monotonic() - started < 1:
                frames += raw.recv(1 << 20).count(b'"status_code"')
        print(f"{frames:,} frames/s")
        # Ten times less than what one core gives, so that a busy machine does not fail it.
        assert frames > 20_000


def upgrade_and_subscribe():
    message = b'{"topic":"chats.active_chats","action":"subscribe"}'
    mask = b"\0\0\0\0"
    lines = ["GET /stream HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"]
    lines += ["Authorization: Bearer agent-token"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + bytes((0x81, 0x80 | len(message))) + mask + message
