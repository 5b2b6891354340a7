"""The source over HTTP: Departments API, REST twin of the stream, OAuth token endpoint."""

from __future__ import annotations

import json
import ssl
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, Self
from urllib.parse import quote

import aiohttp

from connector.config.secrets import read_secret
from connector.errors import ConfigError, SourceRejected, SourceUnavailable

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

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


class Department(NamedTuple):
    """One department of the account."""

    id: int
    name: str


class Reading(NamedTuple):
    """What the REST twin says of one series: a value (None: null), or that there is none yet."""

    computed: bool
    value: float | None = None


class NotFound(SourceRejected):
    """The source knows no such department, metric or window."""


def tls_context(url: str, ca_file: Path | None) -> ssl.SSLContext | None:
    """Verified TLS 1.2 or newer for wss and https; None for plain loopback.

    Raises:
        ConfigError: the CA file cannot be used.
    """
    if not url.startswith(("wss:", "https:")):
        return None
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"source.ca_file: {ca_file}: {error}; name a PEM file with CA certificates") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


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
        return [_department(one, self._settings.departments_url) for one in _list(answer)]

    async def department(self, department_id: int) -> Department:
        """One department by its id.

        Raises:
            NotFound, SourceRejected, SourceUnavailable
        """
        answer = await self._get_department(f"/{department_id}")
        return _department(answer, self._settings.departments_url)

    async def department_named(self, name: str) -> Department:
        """One department by its name.

        Raises:
            NotFound, SourceRejected, SourceUnavailable
        """
        answer = await self._get_department(f"/name/{quote(name, safe='')}")
        # Documented as one object; a list of one is taken as well.
        found = answer[0] if isinstance(answer, list) and answer else answer
        return _department(found, self._settings.departments_url)

    async def reading(self, series: Series) -> Reading:
        """What the REST twin says of one series now.

        Raises:
            NotFound, SourceRejected, SourceUnavailable
        """
        window = {} if series.window is None else {"window": str(series.window)}
        url = f"{self._settings.rest_url}/{series.family}/{series.metric}"
        answer = await self._get(url, {**_query(series.department_id), **window})
        return _reading(_data(answer, url), series, url)

    async def readings(self, series: Collection[Series]) -> dict[Series, Reading]:
        """What the REST twin says of series of one family and department: one request for all of them.

        Raises:
            NotFound, SourceRejected, SourceUnavailable
        """
        one = next(iter(series))
        url = f"{self._settings.rest_url}/{one.family}"
        data = _data(await self._get(url, _query(one.department_id)), url)
        return {each: _reading(data, each, url) for each in series}

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
        return _content(status, body, url, forbidden)

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
        token = _mapping(_content(status, body, oauth.token_url, None), oauth.token_url).get("access_token")
        if not isinstance(token, str) or not token.isprintable() or not token:
            raise SourceUnavailable(f"source {oauth.token_url}: the answer holds no access_token")
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
        wait = retry_after(response.headers.get("Retry-After"))
        if status == 429:
            if wait is not None:
                self._budget.pause(wait)
            text = f"source {url}: HTTP 429: too many requests for this account; lower source.requests_per_minute"
            raise SourceUnavailable(text, reason="throttled", retry_after=wait)
        if 300 <= status < 400:
            raise SourceRejected(f"source {url}: HTTP {status}: redirects are not followed; correct the URL")
        if status >= 500:
            raise SourceUnavailable(f"source {url}: HTTP {status}; try again later", retry_after=wait)


def retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, in either of its forms; None if it says nothing usable."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time())
    except ValueError:
        return None


async def _body(response: aiohttp.ClientResponse, url: str) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        body += chunk
        if len(body) > LARGEST:
            raise SourceUnavailable(f"source {url}: the answer is larger than {LARGEST >> 20} MiB; check the URL")
    return bytes(body)


def _content(status: int, body: bytes, url: str, forbidden: str | None) -> Any:
    """The decoded body of a usable answer."""
    if status == 401:
        raise SourceRejected(f"source {url}: HTTP 401: token refused; check source.token_file, it must be a Chat token")
    if status == 403:
        reason = forbidden or "this token's role does not allow it; use another token"
        raise SourceRejected(f"source {url}: HTTP 403: {reason}")
    if status in (400, 404):
        raise NotFound(f"source {url}: HTTP {status}: the source knows no such thing; check name, id and window")
    if status != 200:
        raise SourceUnavailable(f"source {url}: HTTP {status}")
    try:
        return json.loads(body)
    except ValueError as error:
        raise SourceUnavailable(f"source {url}: the answer is no JSON; check the URL") from error
    except RecursionError as error:
        raise SourceUnavailable(f"source {url}: the answer is nested too deeply; check the URL") from error


def _mapping(value: Any, url: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SourceUnavailable(f"source {url}: the answer has another form than documented; check the URL")
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _department(value: Any, url: str) -> Department:
    known = _mapping(value, url)
    department_id, name = known.get("id"), known.get("name")
    if isinstance(department_id, bool) or not isinstance(department_id, int) or not isinstance(name, str):
        raise SourceUnavailable(f"source {url}: a department without id and name; check source.departments_url")
    return Department(department_id, name)


def _query(department_id: int | None) -> dict[str, str]:
    return {} if department_id is None else {"department_id": str(department_id)}


def _data(answer: Any, url: str) -> dict[str, Any]:
    """Values by metric; empty if nothing is computed yet."""
    body = _mapping(answer, url)
    content, status = body.get("content"), body.get("status_code")
    if content is not None:
        return _mapping(_mapping(content, url).get("data"), url)
    if status != 200:
        raise SourceRejected(f"source {url}: status_code {status} in the answer; check metric, window, department")
    return {}


def _reading(data: dict[str, Any], series: Series, url: str) -> Reading:
    if series.metric not in data:
        return Reading(computed=False)
    value = data[series.metric]
    if series.window is not None and isinstance(value, dict):
        if str(series.window) not in value:
            return Reading(computed=False)
        value = value[str(series.window)]
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise SourceUnavailable(f"source {url}: the value is no number")
    return Reading(computed=True, value=value)


def _reason(error: Exception) -> str:
    """The cause in one line; aiohttp puts the operating system's words last."""
    cause = getattr(error, "os_error", None) or error
    text = getattr(cause, "strerror", None) or str(cause) or type(error).__name__
    return " ".join(str(text).split())
