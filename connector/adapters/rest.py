"""The source over HTTP: Departments API, REST twin of the stream, OAuth token endpoint."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final, Protocol, Self
from urllib.parse import quote

import aiohttp

from connector.adapters import answers
from connector.adapters.reach import said
from connector.adapters.tls import verified
from connector.config.redaction import remember
from connector.config.secrets import read_secret
from connector.errors import ConfigError, SourceRejected, SourceUnavailable

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from connector.adapters.answers import Department, Reading
    from connector.config import Source
    from connector.domain.model import Series

LARGEST: Final = 16 * 2**20
"""Bytes of the longest answer that is read."""

_DEPARTMENTS_ROLE: Final = (
    "this token may not read departments, which needs an owner or administrator;"
    " use such a token, or configure departments by id"
)


class Budget(Protocol):
    """The limit on requests that this process shares between connects and REST."""

    async def acquire(self) -> None:
        """Wait for the right to send one request."""

    def pause(self, seconds: float) -> None:
        """Nothing goes out for so many seconds."""


def tls_context(url: str, ca_file: Path | None) -> ssl.SSLContext | None:
    """Verified TLS 1.2 or newer for wss and https; None for plain loopback.

    Raises:
        ConfigError: the CA file cannot be used.
    """
    if not url.startswith(("wss:", "https:")):
        return None
    try:
        return verified(ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"source.ca_file: {ca_file}: {error}; name a PEM file with CA certificates") from error


class RestClient:
    """Every request of this process to the source but the stream: ``async with RestClient(...) as client``.

    Each request waits for the budget; redirects are not followed, so that the token reaches no other host.
    """

    def __init__(self, settings: Source, budget: Budget) -> None:
        self._settings = settings
        self._budget = budget
        self._token: str | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open.

        Raises:
            ConfigError: source.ca_file cannot be used.
        """
        tls = tls_context("https:", self._settings.ca_file)
        assert tls is not None
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._settings.open_timeout),
            headers={"Accept": "application/json", "User-Agent": "zendesk-chat-kafka"},
        )
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def token(self) -> str:
        """The access token, read or asked for anew.

        Raises:
            ConfigError: its file cannot be read.
            SourceRejected: the client's credentials are refused.
            SourceUnavailable
        """
        settings = self._settings
        if settings.token_file is not None:
            self._token = read_secret(settings.token_file, "source.token_file")
        else:
            self._token = await self._grant()
        return self._token

    async def departments(self) -> list[Department]:
        """Every department of the account.

        Raises:
            SourceRejected: the token's role may not read them.
            SourceUnavailable
        """
        answer = await self._get_department("")
        return [answers.department(one, self._settings.departments_url) for one in answers.listed(answer)]

    async def department(self, department_id: int) -> Department:
        """One department by its id.

        Raises:
            NotFound, SourceRejected, SourceUnavailable
        """
        answer = await self._get_department(f"/{department_id}")
        return answers.department(answer, self._settings.departments_url)

    async def department_named(self, name: str) -> Department:
        """One department by its name.

        Raises:
            NotFound, SourceRejected, SourceUnavailable
        """
        answer = await self._get_department(f"/name/{quote(name, safe='')}")
        # Documented as one object; a list of one is taken as well.
        found = answer[0] if isinstance(answer, list) and answer else answer
        return answers.department(found, self._settings.departments_url)

    async def reading(self, series: Series) -> Reading:
        """What the REST twin says of one series now.

        Raises:
            NotFound, SourceRejected, SourceUnavailable
        """
        window = {} if series.window is None else {"window": str(series.window)}
        url = f"{self._settings.rest_url}/{series.family}/{series.metric}"
        answer = await self._get(url, {**_query(series.department_id), **window})
        return answers.reading(answers.values(answer, url), series, url)

    async def readings(self, series: Collection[Series]) -> dict[Series, Reading]:
        """What the REST twin says of series of one family and department: one request for all of them.

        Raises:
            NotFound, SourceRejected, SourceUnavailable
        """
        one = next(iter(series))
        url = f"{self._settings.rest_url}/{one.family}"
        data = answers.values(await self._get(url, _query(one.department_id)), url)
        return {each: answers.reading(data, each, url) for each in series}

    # Requests.

    async def _get_department(self, path: str) -> Any:
        url = f"{self._settings.departments_url}{path}"
        return await self._get(url, {}, forbidden=_DEPARTMENTS_ROLE)

    async def _get(self, url: str, params: dict[str, str], *, forbidden: str | None = None) -> Any:
        fresh = self._token is None or self._settings.token_file is not None
        token = await self.token() if fresh else self._token
        status, body = await self._request("GET", url, params=params, headers={"Authorization": f"Bearer {token}"})
        if status == 401 and not fresh:
            self._token = None
            return await self._get(url, params, forbidden=forbidden)
        return answers.content(status, body, url, forbidden)

    async def _grant(self) -> str:
        oauth = self._settings.oauth
        assert oauth is not None
        form = {
            "grant_type": "client_credentials",
            "client_id": oauth.client_id,
            "client_secret": read_secret(oauth.client_secret_file, "source.oauth.client_secret_file"),
            "scope": oauth.scope,
        }
        status, body = await self._request("POST", oauth.token_url, data=form)
        if status in (400, 401, 403):
            remedy = "check source.oauth; the client must be a confidential one"
            raise SourceRejected(f"source {oauth.token_url}: HTTP {status}: client credentials refused; {remedy}")
        token = answers.mapping(answers.content(status, body, oauth.token_url, None), oauth.token_url).get(
            "access_token"
        )
        if not isinstance(token, str) or not token.isprintable() or not token:
            raise SourceUnavailable(f"source {oauth.token_url}: the answer holds no access_token")
        remember(token)
        return token

    async def _request(self, method: str, url: str, **options: Any) -> tuple[int, bytes]:
        assert self._session is not None
        await self._budget.acquire()
        try:
            async with self._session.request(method, url, allow_redirects=False, **options) as response:
                self._check_availability(response, url)
                return response.status, await _body(response, url)
        except TimeoutError as error:
            raise SourceUnavailable(f"source {url}: no answer within source.open_timeout") from error
        except aiohttp.ClientSSLError as error:
            raise SourceUnavailable(f"source {url}: TLS: {_reason(error)}; check source.ca_file") from error
        except (aiohttp.ClientError, OSError) as error:
            raise SourceUnavailable(f"source {url}: {_reason(error)}; check source and network") from error

    def _check_availability(self, response: aiohttp.ClientResponse, url: str) -> None:
        status = response.status
        wait = answers.retry_after(response.headers.get("Retry-After"))
        if status == 429:
            if wait is not None:
                self._budget.pause(wait)
            text = f"source {url}: HTTP 429: too many requests for this account; lower source.requests_per_minute"
            raise SourceUnavailable(text, reason="throttled", retry_after=wait)
        if 300 <= status < 400:
            raise SourceRejected(f"source {url}: HTTP {status}: redirects are not followed; correct the URL")
        if status >= 500:
            raise SourceUnavailable(f"source {url}: HTTP {status}; try again later", retry_after=wait)


async def _body(response: aiohttp.ClientResponse, url: str) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        body += chunk
        if len(body) > LARGEST:
            raise SourceUnavailable(f"source {url}: the answer is larger than {LARGEST >> 20} MiB; check the URL")
    return bytes(body)


def _query(department_id: int | None) -> dict[str, str]:
    return {} if department_id is None else {"department_id": str(department_id)}


def _reason(error: Exception) -> str:
    """The cause in one line; aiohttp puts the operating system's words last."""
    text = said(error) if isinstance(error, OSError) else str(error) or type(error).__name__
    return " ".join(text.split())
