"""Settings of what is pushed to an OpenTelemetry collector."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from connector.config.section import Section, problem
from connector.config.units import Duration
from connector.config.urls import is_loopback, split_url


class Otlp(Section):
    """Metrics and traces by OTLP over HTTP; needs pip install 'zendesk-chat-kafka[otel]'."""

    endpoint: str = Field(description="Base URL of the collector; /v1/metrics and /v1/traces are added")
    token_file: Path | None = Field(default=None, description="File with a bearer token for the collector")
    ca_file: Path | None = Field(default=None, description="CA certificates (PEM) to trust instead of the system's")
    interval: Duration = Field(default=30.0, ge=1, description="How often the metrics are pushed")
    traces: bool = Field(default=True, description="A span for each transaction, session and takeover too")

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            parts = split_url(self.endpoint, ("https", "http"))
        except ValueError as error:
            raise problem(str(error), "endpoint") from None
        if parts.scheme == "http" and self.token_file is not None and not is_loopback(parts.hostname or ""):
            raise problem("would send the token unencrypted; use https://", "endpoint")
        return self
