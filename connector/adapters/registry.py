"""The schema registry: it is asked by `provision` and at start, then never needed again."""

from __future__ import annotations

import logging
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self
from urllib.parse import quote

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from connector.adapters.canonical import Versions, changes, find, registered
from connector.adapters.framing import Decoder, Encoder
from connector.adapters.schema_files import REMEDY, schema_text, subject_of
from connector.config.secrets import read_secret
from connector.errors import ConfigError, ConnectorError, RegistryUnavailable, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from connector.config import Registry

# The HTTP library prints URLs at INFO and headers at DEBUG.
for _name in ("httpx", "httpx2", "httpcore", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)

LEVEL: Final = "FULL_TRANSITIVE"
_NOT_FOUND: Final = 404


class Registration(NamedTuple):
    """What `provision` found or did for one subject."""

    subject: str
    schema: str
    action: str
    """registered | unchanged | to register | refused"""
    schema_id: int | None
    level: str | None
    """Compatibility level of the subject before; None: it had none of its own."""
    messages: tuple[str, ...] = ()
    """Why the registry refuses the schema."""


class SchemaRegistry:
    """One registry with one or more addresses. Its methods block.

    Raises:
        ConfigError: a secret or CA file cannot be used.
    """

    def __init__(self, settings: Registry) -> None:
        self._where = f"registry {settings.urls[0]}"
        self._known: dict[int, str] = {}
        try:
            self._client = SchemaRegistryClient(_client_settings(settings))
            _forget_proxies(self._client)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"registry.ca_file: {settings.ca_file}: {error}; name a PEM file") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def register_all(self, by_topic: Mapping[str, str], *, dry_run: bool = False) -> list[Registration]:
        """Set the level of each subject, register its schema, read it back. ``by_topic``: topic -> schema name.

        Raises:
            SchemaError: the registry refuses a schema, or gives back another one.
            RegistryUnavailable
        """
        judge = self._judge if dry_run else self._register
        return [judge(subject_of(topic), name) for topic, name in by_topic.items()]

    def register_versions(self, subject: str, texts: Iterable[str]) -> list[int]:
        """The id of each version, oldest first, registered where it is missing; the subject's level becomes ours.

        Raises:
            SchemaError: the registry refuses one.
            RegistryUnavailable
        """
        ids = []
        for text in texts:
            if find(self._versions(subject), text) is None:
                self._add(subject, text, f"subject {subject}")
            self._set_level(subject)
            schema_id = find(self._versions(subject), text)
            if schema_id is None:
                raise SchemaError(f"subject {subject}: the registry does not keep what was registered")
            ids.append(schema_id)
        return ids

    def verify_registered(self, by_topic: Mapping[str, str]) -> dict[str, int]:
        """The schema id of each subject, if every one holds our schema; learns every version for later reading.

        Raises:
            SchemaError: a subject is missing or holds other schemas only.
            RegistryUnavailable
        """
        return {subject_of(topic): self._verify(subject_of(topic), name) for topic, name in by_topic.items()}

    def encoders(self, by_topic: Mapping[str, str]) -> dict[str, Encoder]:
        """A new encoder for each schema, for use in one thread, after `verify_registered`.

        Raises:
            SchemaError: see `verify_registered`; or two subjects of one schema disagree about its id.
        """
        ids = self.verify_registered(by_topic)
        found: dict[str, int] = {}
        for topic, name in by_topic.items():
            schema_id = ids[subject_of(topic)]
            if found.setdefault(name, schema_id) != schema_id:
                raise SchemaError(f"subject {subject_of(topic)}: {name}.avsc has another id than elsewhere; {REMEDY}")
        return {name: Encoder(name, schema_id) for name, schema_id in found.items()}

    def decoder(self, name: str | None = None) -> Decoder:
        """Reads values of any registered version, as the schema ``name`` or as they were written."""
        return Decoder(self.schema_of, name)

    def schema_of(self, schema_id: int) -> str:
        """The text of a schema by its id, asked for once.

        Raises:
            SchemaError: no such schema.
            RegistryUnavailable
        """
        if schema_id not in self._known:
            with self._asking(f"schema {schema_id}"):
                self._known[schema_id] = str(self._client.get_schema(schema_id).schema_str)
        return self._known[schema_id]

    def level(self, subject: str) -> str | None:
        """The compatibility level of a subject; None if it has none of its own.

        Raises:
            SchemaError, RegistryUnavailable
        """
        return self._level(subject)

    # One subject.

    def _register(self, subject: str, name: str) -> Registration:
        level = self._level(subject)
        # Some registries give a level only to a subject that exists.
        exists = bool(self._versions(subject))
        if exists:
            self._set_level(subject)
        found = self._judge(subject, name)
        if found.action != "unchanged":
            # A refused one too: what the registry says then is the best explanation there is.
            self._add(subject, schema_text(name), f"subject {subject}, {name}.avsc")
            found = found._replace(action="registered")
        if not exists:
            self._set_level(subject)
        return found._replace(schema_id=self._verify(subject, name), level=level)

    def _add(self, subject: str, text: str, about: str) -> None:
        self._write(
            about,
            lambda: self._client.register_schema(subject, Schema(text, "AVRO")),
            lambda: find(self._versions(subject), text) is not None,
        )

    def _set_level(self, subject: str) -> None:
        if self._level(subject) == LEVEL:
            return
        self._write(
            f"subject {subject}",
            lambda: self._client.set_compatibility(subject, LEVEL),
            lambda: self._level(subject) == LEVEL,
        )
        if self._level(subject) != LEVEL:
            raise SchemaError(f"subject {subject}: the registry does not keep level {LEVEL}; set it there")

    def _write(self, about: str, write: Callable[[], object], written: Callable[[], bool]) -> None:
        """Write, unless another replica, which provisions at the same moment, has been quicker.

        Some registries refuse the slower one of two that write the same (Apicurio: 409, the rule already exists).
        """
        try:
            with self._asking(about):
                write()
        except (SchemaError, RegistryUnavailable):
            if not written():
                raise

    def _judge(self, subject: str, name: str) -> Registration:
        versions = self._versions(subject)
        level = self._level(subject) if versions else None
        if (schema_id := find(versions, schema_text(name))) is not None:
            return Registration(subject, name, "unchanged", schema_id, level)
        messages = self._incompatibilities(subject, name, versions) if versions else ()
        return Registration(subject, name, "refused" if messages else "to register", None, level, messages)

    def _verify(self, subject: str, name: str) -> int:
        return registered(subject, name, schema_text(name), self._versions(subject))

    def _versions(self, subject: str) -> Versions:
        """Versions of a subject, oldest first; empty if there is no such subject."""
        with self._asking(f"subject {subject}"):
            try:
                numbers = self._client.get_versions(subject)
            except SchemaRegistryError as error:
                if error.http_status_code == _NOT_FOUND:
                    return []
                raise
            versions = [self._client.get_version(subject, number) for number in numbers]
        found = [(int(version.schema_id or 0), str(version.schema.schema_str)) for version in versions]
        self._known.update(found)
        return found

    def _level(self, subject: str) -> str | None:
        with self._asking(f"subject {subject}"):
            try:
                return str(self._client.get_compatibility(subject))
            except SchemaRegistryError as error:
                if error.http_status_code == _NOT_FOUND:
                    return None
                raise

    def _incompatibilities(self, subject: str, name: str, versions: Versions) -> tuple[str, ...]:
        path = f"compatibility/subjects/{quote(subject, safe='')}/versions?verbose=true"
        body = {"schema": schema_text(name), "schemaType": "AVRO"}
        with self._asking(f"subject {subject}"):
            # The client's own method drops the messages.
            answer = self._client._rest_client.post(path, body=body)  # noqa: SLF001
        if answer["is_compatible"]:
            return ()
        messages = answer.get("messages") or [changes(versions[-1][1], schema_text(name))]
        return tuple(" ".join(str(message).split()) for message in messages)

    @contextmanager
    def _asking(self, about: str) -> Iterator[None]:
        """Translate the library's errors; the only place that knows them."""
        try:
            yield
        except ConnectorError:
            raise
        except SchemaRegistryError as error:
            raise self._refused(error, about) from error
        except Exception as error:
            # Its HTTP library, whichever it is, raises errors of its own; so does a body that is no JSON.
            text = f"{self._where}: {about}: {type(error).__name__}: {error}"
            raise RegistryUnavailable(f"{text}; check registry.urls") from error

    def _refused(self, error: SchemaRegistryError, about: str) -> ConnectorError:
        status = error.http_status_code
        text = f"{self._where}: {about}: HTTP {status}"
        if status in (401, 403):
            return SchemaError(f"{text}: refused; check registry.basic or registry.token_file and their permissions")
        message = " ".join(str(error.error_message).split())[:300]
        if status == 429 or status >= 500:
            return RegistryUnavailable(f"{text}: {message}; try again later")
        return SchemaError(f"{text}: {message}")


def _forget_proxies(client: SchemaRegistryClient) -> None:
    """The HTTP library would send the credentials through whatever proxy the environment names."""
    client._rest_client.session._mounts.clear()  # noqa: SLF001 - there is no setting for it


def _client_settings(settings: Registry) -> dict[str, Any]:
    given: dict[str, Any] = {
        "url": ",".join(settings.urls),
        "timeout": settings.timeout,
        "max.retries": 1,
        "retries.wait.ms": 100,
        "retries.max.wait.ms": 500,
    }
    if settings.ca_file is not None:
        given["ssl.ca.location"] = str(settings.ca_file)
    if settings.basic is not None:
        password = read_secret(settings.basic.password_file, "registry.basic.password_file")
        given["basic.auth.user.info"] = f"{settings.basic.username}:{password}"
    if settings.token_file is not None:
        given["bearer.auth.credentials.source"] = "STATIC_TOKEN"
        given["bearer.auth.token"] = read_secret(settings.token_file, "registry.token_file")
        # The client insists on this one of Confluent Cloud; other registries ignore its header.
        given["bearer.auth.logical.cluster"] = "none"
    return given
