"""Settings of the status page, the metrics and the probes."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from connector.config.section import Section, problem
from connector.config.units import Count
from connector.config.urls import is_loopback


class Http(Section):
    """Status page, metrics and probes: read only, and on this machine only unless told otherwise."""

    enabled: bool = Field(default=True, description="Serve /livez, /readyz, /metrics, /api/status and the status page")
    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen on; any but this machine's own needs token_file or allow_unauthenticated",
    )
    port: Count = Field(default=8090, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    token_file: Path | None = Field(
        default=None,
        description="File with the token (16 characters or more) that everything but /livez and /readyz asks for:"
        " Authorization: Bearer, or the login form of the page; read again when it changes",
    )
    allow_unauthenticated: bool = Field(
        default=False, description="Let everybody who reaches the address read the status and the metrics"
    )
    series_metrics: Count = Field(
        default=0, ge=0, le=10_000, description="Most series with metrics of their own in /metrics; 0 = none"
    )

    @model_validator(mode="after")
    def _check_access(self) -> Self:
        if self.token_file is not None and self.allow_unauthenticated:
            raise problem("stands beside http.token_file; remove one of the two", "allow_unauthenticated")
        if self.token_file is None and not self.allow_unauthenticated and not is_loopback(self.host):
            text = "is not this machine's own; set http.token_file, or http.allow_unauthenticated: true"
            raise problem(text, "host")
        return self
