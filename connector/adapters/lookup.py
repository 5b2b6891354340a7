"""The schema registry as a running connector asks it: once, at start, and for nothing but what is registered.

`registry.py` can register, too, but its client brings libraries that would be a fifth of the connector's memory.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from connector.adapters.canonical import Versions, registered
from connector.adapters.reach import said
from connector.adapters.schema_files import by_subject, schema_text
from connector.adapters.tls import verified
from connector.config.secrets import read_secret
from connector.errors import ConfigError, ConnectorError, RegistryUnavailable, SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.config import Registry

LARGEST: Final = 16 * 2**20
"""Bytes of the longest answer that is read."""

TRIES: Final = 2
"""How often each address is asked while it says that it is busy or broken."""
PAUSE: Final = 0.2
"""Seconds between two tries."""

_NOT_FOUND: Final = 404


class _Version(msgspec.Struct):
    id: int
    schema: str


class _Refusal(msgspec.Struct):
    message: str = ""


class Lookup:
    """One registry with one or more addresses: ``async with Lookup(settings) as lookup``.

    Raises:
        ConfigError: a secret or CA file cannot be used.
    """

    def __init__(self, settings: Registry) -> None:
        self._urls = [url.rstrip("/") for url in settings.urls]
        self._where = f"registry {settings.urls[0]}"
        self._headers = _credentials(settings)
        self._timeout = settings.timeout
        self._tls: ssl.SSLContext | bool = True
        if settings.ca_file is not None:
            try:
                self._tls = verified(settings.ca_file)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(f"registry.ca_file: {settings.ca_file}: {error}; name a PEM file") from error
        self._known: dict[int, str] = {}
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=10),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            headers={"Accept": "application/vnd.schemaregistry.v1+json", **self._headers},
        )
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._session.close()

    async def verify_registered(self, by_topic: Mapping[str, str]) -> dict[str, int]:
        """The schema id of each subject, if every one holds our schema; learns every version for later reading.

        Raises:
            SchemaError: a subject is missing or holds other schemas only.
            RegistryUnavailable
        """
        wanted = by_subject(by_topic)
        answers = await asyncio.gather(*(self._versions(subject) for subject in wanted), return_exceptions=True)
        ids = {}
        for (subject, name), versions in zip(wanted.items(), answers, strict=True):
            if isinstance(versions, BaseException):
                raise versions
            ids[subject] = registered(subject, name, schema_text(name), versions)
        return ids

    def schema_of(self, schema_id: int) -> str:
        """The text of a schema that was learned.

        Raises:
            SchemaError: none of its subjects had it at start.
        """
        if schema_id not in self._known:
            text = f"{self._where}: schema {schema_id} was in none of our subjects at start"
            raise SchemaError(f"{text}; restart, or find the program that writes with it")
        return self._known[schema_id]

    async def _versions(self, subject: str) -> Versions:
        """Versions of a subject, oldest first; empty if there is no such subject."""
        path = f"/subjects/{quote(subject, safe='')}/versions"
        numbers = await self._get(path, list[int], subject)
        texts = [await self._get(f"{path}/{number}", _Version, subject) for number in numbers or ()]
        versions = [(one.id, one.schema) for one in texts if one is not None]
        self._known.update(versions)
        return versions

    async def _get(self, path: str, form: Any, subject: str) -> Any:
        """The answer of the first address that gives one; None: it knows nothing of that path."""
        error: ConnectorError | None = None
        for url in self._urls:
            for left in reversed(range(TRIES)):
                try:
                    status, body = await self._ask(url + path)
                except (aiohttp.ClientError, OSError, TimeoutError) as failure:
                    text = said(failure, "registry.timeout") if isinstance(failure, OSError) else str(failure)
                    error = RegistryUnavailable(f"{self._where}: subject {subject}: {text}; check registry.urls")
                    break
                if status == _NOT_FOUND:
                    return None
                if status == 200:
                    return self._read(body, form, subject)
                error = self._refused(status, body, subject)
                if isinstance(error, SchemaError):
                    raise error
                await asyncio.sleep(PAUSE if left else 0)
        assert error is not None
        raise error

    async def _ask(self, url: str) -> tuple[int, bytes]:
        async with self._session.get(URL(url, encoded=True), allow_redirects=False) as response:
            body = bytearray()
            async for part in response.content.iter_any():
                body += part
                if len(body) > LARGEST:
                    raise aiohttp.ClientPayloadError(f"an answer of more than {LARGEST} bytes")
            return response.status, bytes(body)

    def _read(self, body: bytes, form: Any, subject: str) -> Any:
        try:
            return msgspec.json.decode(body, type=form)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            text = f"{self._where}: subject {subject}: no registry's answer: {error}"
            raise RegistryUnavailable(f"{text}; check registry.urls") from error

    def _refused(self, status: int, body: bytes, subject: str) -> ConnectorError:
        text = f"{self._where}: subject {subject}: HTTP {status}"
        if status in (401, 403):
            return SchemaError(f"{text}: refused; check registry.basic or registry.token_file and their permissions")
        try:
            message = " ".join(msgspec.json.decode(body, type=_Refusal).message.split())[:300]
        except (msgspec.DecodeError, UnicodeDecodeError):
            message = "without a reason"
        if status == 429 or status >= 500:
            return RegistryUnavailable(f"{text}: {message}; try again later")
        return SchemaError(f"{text}: {message}; check registry.urls")


def _credentials(settings: Registry) -> dict[str, str]:
    if settings.basic is not None:
        password = read_secret(settings.basic.password_file, "registry.basic.password_file")
        return {"Authorization": aiohttp.encode_basic_auth(settings.basic.username, password, "utf-8")}
    if settings.token_file is not None:
        return {"Authorization": f"Bearer {read_secret(settings.token_file, 'registry.token_file')}"}
    return {}
