"""The source over HTTP, against the emulator and against servers that misbehave."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from connector.adapters.answers import NotFound, Reading, retry_after
from connector.adapters.rest import RestClient
from connector.adapters.source import Access, resolve_departments
from connector.config import Config, OAuth, Source
from connector.domain.model import Series
from connector.emulator.server import Emulator
from connector.emulator.settings import EmulatorSettings
from connector.errors import ConfigError, SourceRejected, SourceUnavailable


class Counter:
    """A budget that only counts."""

    def __init__(self):
        self.requests = 0
        self.paused = []

    async def acquire(self):
        self.requests += 1

    def pause(self, seconds):
        self.paused.append(seconds)


@pytest.fixture
def secret(tmp_path):
    def write(text):
        file = tmp_path / "secret"
        file.write_text(text)
        file.chmod(0o600)
        return file

    return write


def source(port, **settings):
    return Source.model_validate(
        {
            "url": f"ws://127.0.0.1:{port}/stream",
            "departments_url": f"http://127.0.0.1:{port}/api/v2/departments",
            "allow_plain_loopback": True,
            "open_timeout": 2,
            **settings,
        }
    )


def configured(settings, *departments):
    return Config.model_validate(
        {
            "account": "acme",
            "source": settings.model_dump(),
            "subscriptions": [{"metrics": ["chats.active_chats"], "departments": list(departments)}],
            "kafka": {"bootstrap_servers": "x"},
            "registry": {"urls": ["http://localhost"]},
        }
    )


@asynccontextmanager
async def served(answer):
    """A server that gives one answer to everything; the answered requests."""
    seen = []

    async def handle(request):
        seen.append(request)
        return answer(request)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1], seen
    finally:
        await runner.cleanup()


def emulated(check, **settings):
    async def run():
        async with Emulator(EmulatorSettings(**settings)) as emulator:
            return await check(emulator)

    return asyncio.run(run())


def against(answer, check, secret, **settings):
    """``check(client, requests)`` with a client of a server that always answers so."""

    async def run():
        async with served(answer) as (port, seen):
            budget = Counter()
            async with RestClient(source(port, token_file=secret("t"), **settings), budget) as client:
                return await check(client, seen, budget)

    return asyncio.run(run())


# The emulator.


def test_departments_by_list_id_and_name(secret):
    async def check(emulator):
        budget = Counter()
        async with RestClient(source(emulator.port, token_file=secret("owner-token")), budget) as client:
            known = await client.departments()
            assert len(known) == 4
            assert await client.department(known[1].id) == known[1]
            assert await client.department_named(known[2].name) == known[2]
            with pytest.raises(NotFound, match="HTTP 404"):
                await client.department_named("No such/department?")
            assert budget.requests == 4

    emulated(check, departments=4)


def test_readings(secret):
    async def check(emulator):
        async with RestClient(source(emulator.port, token_file=secret("agent-token")), Counter()) as client:
            windows = [Series("chats", "missed_chats", 30, 1), Series("chats", "missed_chats", 60, 1)]
            readings = await client.readings(windows)
            assert set(readings) == set(windows)
            assert all(reading.computed for reading in readings.values())
            assert await client.reading(windows[0]) == readings[windows[0]]
            assert (await client.reading(Series("agents", "agents_online"))).computed
            with pytest.raises(NotFound, match="HTTP 400"):
                await client.reading(Series("agents", "agents_online", None, 999))

    emulated(check)


def test_cold_source(secret):
    async def check(emulator):
        async with RestClient(source(emulator.port, token_file=secret("owner-token")), Counter()) as client:
            assert await client.reading(Series("chats", "active_chats")) == Reading(computed=False)

    emulated(check, cold=True)


def test_role_that_may_not_list(secret):
    async def check(emulator):
        settings = source(emulator.port, token_file=secret("agent-token"))
        async with Access(configured(settings, "*"), Counter()) as access:
            with pytest.raises(SourceRejected, match=r"HTTP 403: .*owner or administrator; .*by id"):
                await access.series()
        async with Access(configured(settings, 2, "all"), Counter()) as access:
            assert [one.department_id for one in await access.series()] == [None, 2]

    emulated(check)


def test_resolution_and_what_is_gone_later(secret):
    async def check(emulator):
        settings = source(emulator.port, token_file=secret("owner-token"))
        names = [one.name for one in emulator.world.departments.values()]
        config = configured(settings, names[0], "*")
        async with Access(config, Counter()) as access:
            assert [one.department_id for one in await access.series()] == sorted(emulator.world.departments)
        budget = Counter()
        async with Access(configured(settings, names[0]), budget) as access:
            assert len(await access.series()) == 1
            assert budget.requests == 1
            gone = emulator.world.departments.pop(min(emulator.world.departments))
            assert await access.series() == ()
            emulator.world.departments[gone.id] = gone
            settings.token_file.write_text("agent-token")
            with pytest.raises(SourceUnavailable, match="HTTP 403"):
                await access.series()

    emulated(check)


def test_unknown_name(secret):
    async def check(emulator):
        settings = source(emulator.port, token_file=secret("owner-token"))
        async with Access(configured(settings, "Nope"), Counter()) as access:
            with pytest.raises(ConfigError) as caught:
                await access.series()
        assert str(caught.value) == (
            "subscriptions: the account has no department named 'Nope';"
            " check its spelling; an id is written without quotes"
        )

    emulated(check)


def test_many_names_cost_one_request(secret):
    async def check(emulator):
        settings = source(emulator.port, token_file=secret("owner-token"))
        names = [one.name for one in emulator.world.departments.values()]
        budget = Counter()
        async with RestClient(settings, budget) as client:
            found = await resolve_departments(configured(settings, *names, "Nope"), client)
        assert len(found.names) == 5
        assert found.missing == ("Nope",)
        assert budget.requests == 1

    emulated(check, departments=5)


def test_oauth_token_is_renewed_after_a_refusal(secret):
    async def check(emulator):
        port = emulator.port
        url = f"http://127.0.0.1:{port}/oauth2/token"
        oauth = OAuth(token_url=url, client_id="emulator", client_secret_file=secret("emulator-secret"))
        async with RestClient(source(port, oauth=oauth), Counter()) as client:
            first = await client.token()
            assert await client.departments()
            emulator.gate.accounts.tokens.pop(first)
            assert await client.departments()
            assert await client.token() != first
        oauth.client_secret_file.write_text("canary")
        async with RestClient(source(port, oauth=oauth), Counter()) as client:
            with pytest.raises(SourceRejected, match=r"client credentials refused; check source\.oauth") as caught:
                await client.token()
        assert "canary" not in str(caught.value)

    emulated(check)


def test_token_file_is_read_again(secret):
    async def check(emulator):
        settings = source(emulator.port, token_file=secret("nobody"))
        async with RestClient(settings, Counter()) as client:
            with pytest.raises(SourceRejected, match=r"HTTP 401: token refused; check source\.token_file"):
                await client.departments()
            settings.token_file.write_text("owner-token")
            assert await client.departments()

    emulated(check)


# Servers that misbehave.


async def departments(client, seen, budget):
    return await client.departments()


@pytest.mark.parametrize(
    ("status", "kind", "what"),
    [
        (403, SourceRejected, "may not read departments"),
        (404, NotFound, "knows no such thing"),
        (418, SourceUnavailable, "HTTP 418"),
        (500, SourceUnavailable, "HTTP 500; try again later"),
        (301, SourceRejected, "redirects are not followed"),
    ],
)
def test_statuses(secret, status, kind, what):
    with pytest.raises(kind, match=what):
        against(lambda _: web.Response(status=status, headers={"Location": "/x"}), departments, secret)


def test_throttled(secret):
    budgets = []

    async def check(client, seen, budget):
        budgets.append(budget)
        await client.departments()

    with pytest.raises(SourceUnavailable) as caught:
        against(lambda _: web.Response(status=429, headers={"Retry-After": "93"}), check, secret)
    assert caught.value.reason == "throttled"
    assert caught.value.retry_after == 93
    assert budgets[0].paused == [93]


def test_redirect_gets_no_token(secret):
    async def check(client, seen, budget):
        with pytest.raises(SourceRejected):
            await client.departments()
        return len(seen)

    assert against(lambda _: web.Response(status=302, headers={"Location": "/elsewhere"}), check, secret) == 1


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"<html>", "no JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[1]", "another form than documented"),
        (b'[{"id": "x", "name": "a"}]', "without id and name"),
        (b'[{"id": true, "name": "a"}]', "without id and name"),
        (b'[{"id": 1}]', "without id and name"),
    ],
)
def test_bodies(secret, body, what):
    with pytest.raises(SourceUnavailable, match=what):
        against(lambda _: web.Response(body=body), departments, secret)


def test_huge_answer(secret, monkeypatch):
    monkeypatch.setattr("connector.adapters.rest.LARGEST", 1 << 20)
    with pytest.raises(SourceUnavailable, match="larger than 1 MiB"):
        against(lambda _: web.Response(body=b" " * (2 << 20)), departments, secret)


@pytest.mark.parametrize(
    ("content", "reading"),
    [
        ({"data": {"missed_chats": {"30": -1}}}, Reading(computed=True, value=-1)),
        ({"data": {"missed_chats": {"30": None}}}, Reading(computed=True, value=None)),
        ({"data": {"missed_chats": 2}}, Reading(computed=True, value=2)),
        ({"data": {"missed_chats": {"60": 1}}}, Reading(computed=False)),
        ({"data": {}}, Reading(computed=False)),
    ],
)
def test_reading(secret, content, reading):
    async def check(client, seen, budget):
        answer = await client.reading(Series("chats", "missed_chats", 30, 5))
        return answer, seen[0].path_qs

    body = {"content": content, "status_code": 200}
    expected = (reading, "/stream/chats/missed_chats?department_id=5&window=30")
    assert against(lambda _: web.json_response(body), check, secret) == expected


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"status_code": 500, "message": "x"}, SourceRejected),
        ({"content": []}, SourceUnavailable),
        ({"content": {"data": 1}}, SourceUnavailable),
        ({"content": {"data": {"missed_chats": {"30": "1"}}}}, SourceUnavailable),
        ({"content": {"data": {"missed_chats": {"30": True}}}}, SourceUnavailable),
    ],
)
def test_reading_of_another_form(secret, body, kind):
    async def check(client, seen, budget):
        await client.reading(Series("chats", "missed_chats", 30))

    with pytest.raises(kind):
        against(lambda _: web.json_response(body), check, secret)


def test_nobody_there_and_no_answer(secret):
    async def refused():
        async with RestClient(source(1, token_file=secret("t")), Counter()) as client:
            await client.departments()

    with pytest.raises(SourceUnavailable, match="check source and network"):
        asyncio.run(refused())

    async def hold(reader, writer):
        await reader.read()
        writer.close()

    async def silent():
        server = await asyncio.start_server(hold, "127.0.0.1", 0)
        settings = source(server.sockets[0].getsockname()[1], token_file=secret("t"), open_timeout=0.2)
        async with server:
            try:
                async with RestClient(settings, Counter()) as client:
                    await client.departments()
            finally:
                await asyncio.sleep(0.05)

    with pytest.raises(SourceUnavailable, match=r"no answer within source\.open_timeout"):
        asyncio.run(silent())


def test_oauth_answer_without_a_token(secret):
    async def check():
        async with served(lambda _: web.json_response({"nothing": 1})) as (port, _):
            oauth = OAuth(token_url=f"http://127.0.0.1:{port}/t", client_id="a", client_secret_file=secret("s"))
            async with RestClient(source(port, oauth=oauth), Counter()) as client:
                await client.token()

    with pytest.raises(SourceUnavailable, match="holds no access_token"):
        asyncio.run(check())


def test_ca_file_that_is_none(secret):
    async def check():
        async with RestClient(source(1, token_file=secret("t"), ca_file=secret("no certificate")), Counter()):
            pass

    with pytest.raises(ConfigError, match=r"source\.ca_file: .*; name a PEM file"):
        asyncio.run(check())


def test_certificates_are_checked(secret, tmp_path):
    async def check(emulator):
        url = f"https://127.0.0.1:{emulator.port}/api/v2/departments"
        settings = {"url": f"wss://127.0.0.1:{emulator.port}/stream", "departments_url": url}
        token = secret("owner-token")
        async with RestClient(source(1, token_file=token, **settings), Counter()) as client:
            with pytest.raises(SourceUnavailable, match=r"TLS: .*check source\.ca_file"):
                await client.departments()
        ca_file = tmp_path / "tls" / "ca.pem"
        async with RestClient(source(1, token_file=token, ca_file=ca_file, **settings), Counter()) as client:
            assert await client.departments()

    emulated(check, tls=tmp_path / "tls")


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [("5", 5, 5), ("Thu, 01 Jan 2015 00:00:00 GMT", 0, 0), ("Fri, 01 Jan 2100 00:00:00 GMT", 1e9, 1e10)],
)
def test_retry_after(header, low, high):
    assert low <= retry_after(header) <= high


@pytest.mark.parametrize("header", [None, "soon", "-5", "1.5"])
def test_retry_after_that_says_nothing(header):
    assert retry_after(header) is None


def test_names_are_quoted_in_the_path(secret):
    async def check(client, seen, budget):
        await client.department_named("A/B ?")
        return seen[0].raw_path

    body = json.dumps([{"id": 7, "name": "A/B ?"}])
    answer = against(lambda _: web.Response(text=body), check, secret)
    assert answer == "/api/v2/departments/name/A%2FB%20%3F"
