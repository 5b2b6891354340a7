"""Settings of Kafka, the topics and the schema registry."""

from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import Field, PlainValidator, WithJsonSchema, field_validator, model_validator

from connector.config.librdkafka import check_property, check_property_file, property_text
from connector.config.secrets import read_secret
from connector.config.section import Section, problem
from connector.config.units import Count, Duration
from connector.config.urls import is_loopback, split_url
from connector.domain.topics import PLACES, check_template

DAY: Final = 86400.0

Property = Annotated[str, PlainValidator(property_text), WithJsonSchema({"type": ["string", "number", "boolean"]})]


class Kafka(Section):
    """The cluster that is written to."""

    bootstrap_servers: str = Field(min_length=1, description="Brokers to begin with: host:port, separated by commas")
    properties: dict[str, Property] = Field(
        default={}, description="Any setting of librdkafka, for example security.protocol: SASL_SSL"
    )
    property_files: dict[str, Path] = Field(
        default={}, description="Settings of librdkafka that are secret, each with the file that holds it"
    )
    partitions: Count = Field(
        default=12,
        ge=1,
        le=10000,
        description="Partitions of metrics, gaps, dead letters and heartbeats; fixed once provisioned",
    )
    latest_partitions: Count = Field(
        default=1,
        ge=1,
        le=10000,
        description="Partitions of latest; each that a transaction touches costs a request; fixed once provisioned",
    )
    shards: Count = Field(
        default=1, ge=1, description="Units of ownership, at most one per partition; fixed once provisioned"
    )
    replication_factor: Count = Field(default=3, ge=1, le=32767, description="Replicas of each topic")
    min_insync_replicas: Count = Field(default=2, ge=1, description="Replicas that must have a record before it counts")
    transaction_timeout: Duration = Field(
        default=15.0, ge=1, le=900, description="After it the broker aborts the transaction of a dead owner"
    )
    slow_commit: Duration = Field(
        default=1.0, gt=0, description="A commit that took longer makes the connector replace its producer"
    )
    check_interval: Duration = Field(
        default=300.0, ge=1, description="How often it is looked whether the topics still keep the promise"
    )
    session_timeout: Duration = Field(
        default=6.0, ge=1, description="A replica that is silent for so long loses its shards"
    )

    @field_validator("properties")
    @classmethod
    def _check_properties(cls, properties: dict[str, str]) -> dict[str, str]:
        for name, value in properties.items():
            try:
                check_property(name, value)
            except ValueError as error:
                raise problem(str(error), name) from None
        return properties

    @field_validator("property_files")
    @classmethod
    def _check_property_files(cls, files: dict[str, Path]) -> dict[str, Path]:
        for name in files:
            try:
                check_property_file(name)
            except ValueError as error:
                raise problem(str(error), name) from None
        return files

    @model_validator(mode="after")
    def _check_counts(self) -> Self:
        if self.shards > self.partitions:
            raise problem(f"is more than partitions ({self.partitions}); lower it", "shards")
        if self.min_insync_replicas > self.replication_factor:
            raise problem(
                f"is more than replication_factor ({self.replication_factor}); lower it", "min_insync_replicas"
            )
        both = set(self.properties) & set(self.property_files)
        if both:
            raise problem("stands in kafka.properties too; remove one of the two", "property_files", min(both))
        return self

    def connection(self) -> dict[str, Any]:
        """Settings that every librdkafka client of this process needs; the secrets are read now.

        Raises:
            ConfigError: a secret file cannot be read.
        """
        secrets = {
            name: read_secret(path, f"kafka.property_files.{name}", lines=True)
            for name, path in self.property_files.items()
        }
        return {
            "client.id": "zendesk-chat-kafka",
            "bootstrap.servers": self.bootstrap_servers,
            # Producers do by default: a topic that somebody deletes would come back with the broker's own settings.
            "allow.auto.create.topics": False,
            **self.properties,
            **secrets,
        }


class Retention(Section):
    """How long the topics that are not compacted keep their records."""

    metrics: Duration = Field(default=7 * DAY, gt=0, description="Metric updates")
    gaps: Duration = Field(default=30 * DAY, gt=0, description="Gaps")
    dead_letters: Duration = Field(default=30 * DAY, gt=0, description="Dead letters")
    heartbeats: Duration = Field(default=DAY, gt=0, description="Heartbeats")
    control: Duration = Field(default=3600.0, gt=0, description="The group's topic, which stays empty")


class TopicNames(Section):
    """Names of the topics, as templates of {prefix} and {account}; in metrics {family} and {department} too."""

    prefix: str = Field(default="zendesk.chat", description="Put for {prefix}; also begins group and transactional ids")
    metrics: str = Field(default="{prefix}.metrics", description="Metric updates; {family}, {department} split it")
    latest: str = Field(default="{prefix}.latest", description="Newest value of each series, compacted")
    gaps: str = Field(default="{prefix}.gaps", description="Declared gaps")
    dead_letters: str = Field(default="{prefix}.dead-letters", description="What could not become a record")
    heartbeats: str = Field(default="{prefix}.{account}.heartbeats", description="Heartbeats of this account")
    offsets: str = Field(default="{prefix}.{account}.offsets", description="Progress of this account, compacted")
    control: str = Field(default="{prefix}.{account}.control", description="Where the replicas' group lives")
    latest_enabled: bool = Field(default=True, description="Write the latest topic")
    retention: Retention = Field(default=Retention(), description="Retention of the topics that are not compacted")

    @model_validator(mode="after")
    def _check_templates(self) -> Self:
        for key, places in PLACES.items():
            try:
                check_template(getattr(self, key), places)
            except ValueError as error:
                raise problem(str(error), key) from None
        seen: dict[str, str] = {}
        for key in PLACES:
            name = getattr(self, key).replace("{prefix}", self.prefix)
            if name in seen:
                raise problem(f"is the same topic as topics.{seen[name]}; each needs its own", key)
            seen[name] = key
        return self


class Basic(Section):
    """HTTP basic authentication."""

    username: str = Field(min_length=1, description="User name")
    password_file: Path = Field(description="File with the password")


class Registry(Section):
    """The schema registry; it is asked at start and never again."""

    urls: list[str] = Field(min_length=1, description="Base URLs, tried in this order")
    basic: Basic | None = Field(default=None, description="HTTP basic authentication")
    token_file: Path | None = Field(default=None, description="File with a bearer token, instead of basic")
    ca_file: Path | None = Field(default=None, description="CA certificates (PEM) to trust instead of the system's")
    timeout: Duration = Field(default=5.0, gt=0, description="Longest wait for one answer")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.basic is not None and self.token_file is not None:
            raise problem("stands beside registry.basic; remove one of the two", "token_file")
        for at, url in enumerate(self.urls):
            try:
                self._check_url(url)
            except ValueError as error:
                raise problem(str(error), "urls", at) from None
        return self

    def _check_url(self, url: str) -> None:
        parts = split_url(url, ("https", "http"))
        credentials = self.basic is not None or self.token_file is not None
        if parts.scheme == "http" and credentials and not is_loopback(parts.hostname or ""):
            raise ValueError("would send credentials unencrypted; use https://")
