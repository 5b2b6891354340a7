"""Framed Avro to dictionaries, by the schema that the frame names. Times stay milliseconds."""

from __future__ import annotations

import base64
import io
import json
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final

import fastavro

from connector.config import read_secret
from connector.errors import ConfigError, RegistryUnavailable, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.config import Registry

_FRAME: Final = 5
_MAGIC: Final = 0


class SchemaById:
    """Asks the registry for schemas by their id. Its errors name no URL with credentials, since there are none."""

    def __init__(self, settings: Registry) -> None:
        self._urls = [url.rstrip("/") for url in settings.urls]
        self._timeout = settings.timeout
        self._headers = {"Accept": "application/vnd.schemaregistry.v1+json", **_authorization(settings)}
        self._opener = urllib.request.build_opener(_NoRedirect, *_tls(settings))

    def __call__(self, schema_id: int) -> dict[str, Any]:
        """The schema.

        Raises:
            SchemaError: the registry does not know it.
            RegistryUnavailable: no address answers.
        """
        problem = ""
        for url in self._urls:
            request = urllib.request.Request(f"{url}/schemas/ids/{schema_id}", headers=self._headers)  # noqa: S310
            try:
                with self._opener.open(request, timeout=self._timeout) as answer:
                    found: dict[str, Any] = json.loads(json.load(answer)["schema"])
                    return found
            except urllib.error.HTTPError as error:
                error.close()
                if error.code == 404:
                    raise SchemaError(f"registry {url}: no schema {schema_id}; is it the writer's registry?") from None
                problem = f"registry {url}: HTTP {error.code}"
            except (OSError, ValueError, KeyError, TypeError) as error:
                problem = f"registry {url}: {error}"
        raise RegistryUnavailable(f"{problem}; start it, or correct registry in the configuration")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the credentials elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


def _tls(settings: Registry) -> list[urllib.request.BaseHandler]:
    if settings.ca_file is None:
        return []
    try:
        context = ssl.create_default_context(cafile=str(settings.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"registry.ca_file: {settings.ca_file}: {error}; name a PEM file") from None
    return [urllib.request.HTTPSHandler(context=context)]


def _authorization(settings: Registry) -> dict[str, str]:
    if settings.basic is not None:
        password = read_secret(settings.basic.password_file, "registry.basic.password_file")
        pair = f"{settings.basic.username}:{password}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    if settings.token_file is not None:
        return {"Authorization": f"Bearer {read_secret(settings.token_file, 'registry.token_file')}"}
    return {}


class Decoder:
    """Decodes values; ``fetch`` gives a schema by its id and is asked once for each."""

    def __init__(self, fetch: Callable[[int], dict[str, Any]]) -> None:
        self._fetch = fetch
        self._schemas: dict[int, Any] = {}

    def __call__(self, framed: bytes) -> dict[str, Any]:
        """The record.

        Raises:
            ValueError: these bytes are no framed Avro of a record.
        """
        if len(framed) <= _FRAME or framed[0] != _MAGIC:
            raise ValueError("it does not begin with a zero byte and a schema id")
        schema_id = int.from_bytes(framed[1:_FRAME], "big")
        schema = self._schemas.get(schema_id)
        if schema is None:
            schema = self._schemas[schema_id] = fastavro.parse_schema(_plain(self._fetch(schema_id)))
        rest = io.BytesIO(framed)
        rest.seek(_FRAME)
        try:
            record = fastavro.schemaless_reader(rest, schema, None)
        except Exception as error:  # noqa: BLE001 - fastavro raises whatever the bytes lead to
            raise ValueError(f"its bytes are not those of schema {schema_id}: {error}") from None
        if rest.read(1) or not isinstance(record, dict):
            raise ValueError(f"its bytes are not those of schema {schema_id}: they go on behind the record")
        return record


def _plain(schema: Any) -> Any:
    """The schema without logical types: instants are wanted as the numbers they are."""
    if isinstance(schema, dict):
        return {name: _plain(part) for name, part in schema.items() if name != "logicalType"}
    if isinstance(schema, list):
        return [_plain(part) for part in schema]
    return schema
