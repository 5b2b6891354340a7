"""Settings of the source: where it is, how to log in, how politely to treat it."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from connector.config.section import Section, problem
from connector.config.units import Count, Duration, Rate, Size
from connector.config.urls import check_plain, split_url

ACCOUNT_REQUESTS = 200
"""Requests a minute that the source allows one account, opened connections included."""

AGENT_SESSIONS = 10
"""Connections that the source allows one agent at a time."""


class OAuth(Section):
    """OAuth client credentials; needs a confidential client."""

    token_url: str = Field(default="https://www.zopim.com/oauth2/token", description="Token endpoint")
    client_id: str = Field(min_length=1, description="Client id")
    client_secret_file: Path = Field(description="File with the client secret")
    scope: str = Field(default="read", description="Scopes, separated by blanks")


class Backoff(Section):
    """Full-jitter delays between attempts to connect."""

    initial: Duration = Field(default=0.5, gt=0, description="Upper bound of the first delay")
    maximum: Duration = Field(default=60.0, gt=0, description="Upper bound of every delay")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.maximum < self.initial:
            raise problem("is less than initial; raise it", "maximum")
        return self


def _rest_url(data: dict[str, Any]) -> str:
    scheme, _, rest = str(data.get("url", "")).partition("://")
    return f"{'http' if scheme == 'ws' else 'https'}://{rest}"


class Source(Section):
    """The Streaming API, its REST twin and the Departments API."""

    url: str = Field(default="wss://rtm.zopim.com/stream", description="WebSocket endpoint of the Streaming API")
    rest_url: str = Field(
        default_factory=_rest_url, description="REST twin of the stream; by default https with url's host and path"
    )
    departments_url: str = Field(
        default="https://www.zopim.com/api/v2/departments", description="Departments API (owner or administrator)"
    )
    token_file: Path | None = Field(
        default=None, description="File with the OAuth access token; read again at each connect"
    )
    oauth: OAuth | None = Field(default=None, description="OAuth client credentials, instead of token_file")
    ca_file: Path | None = Field(default=None, description="CA certificates (PEM) to trust instead of the system's")
    allow_plain_loopback: bool = Field(
        default=False, description="Accept ws:// and http:// to this machine, for the emulator"
    )
    open_timeout: Duration = Field(default=10.0, gt=0, description="Longest time to open a connection")
    auth_timeout: Duration = Field(
        default=2.0, gt=0, description="How long to wait for the authentication frame before subscribing without it"
    )
    ping_interval: Duration = Field(default=5.0, gt=0, description="Distance of keepalive pings")
    ping_timeout: Duration = Field(default=5.0, gt=0, description="A connection without a pong for so long is dead")
    probe_interval: Duration = Field(
        default=1.0, gt=0, description="Distance of the pings that prove how far the session is complete"
    )
    max_frame: Size = Field(default=65536, ge=1024, le=16 * 2**20, description="Largest frame that is accepted")
    subscribe_rate: Rate = Field(default=200.0, gt=0, description="Subscribe messages per second")
    requests_per_minute: Count = Field(
        default=60, ge=1, description="Connects and REST requests of this process per minute"
    )
    max_sessions: Count = Field(default=5, ge=1, description="Connections of this process at a time")
    backoff: Backoff = Field(default=Backoff(), description="Delays between attempts to connect")
    auth_backoff: Duration = Field(default=30.0, gt=0, description="Delay after a refused token")
    unsubscribe: Literal["polite", "exact"] = Field(
        default="polite",
        description="polite: a removed variant of a metric that stays subscribed is discarded here until the next"
        " session; exact: it is unsubscribed at once",
    )
    compression: bool = Field(default=True, description="Offer permessage-deflate")
    department_refresh: Duration = Field(
        default=60.0, ge=1, description="How often '*' looks for new and vanished departments"
    )
    client: Literal["websockets", "picows"] = Field(
        default="websockets", description="WebSocket library; picows is faster and comes with the extra [fast]"
    )

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if self.requests_per_minute > ACCOUNT_REQUESTS:
            text = f"is above the {ACCOUNT_REQUESTS} a minute of the whole account; lower it, other clients share them"
            raise problem(text, "requests_per_minute")
        if self.max_sessions > AGENT_SESSIONS:
            raise problem(f"is above the {AGENT_SESSIONS} connections of one agent; lower it", "max_sessions")
        return self

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        if self.token_file is None and self.oauth is None:
            raise problem("missing; name the file with the access token, or set source.oauth", "token_file")
        if self.token_file is not None and self.oauth is not None:
            raise problem("stands beside source.token_file; remove one of the two", "oauth")
        return self

    @model_validator(mode="after")
    def _check_urls(self) -> Self:
        web = ("https", "http")
        self._check_url(self.url, ("wss", "ws"), "url")
        self._check_url(self.rest_url, web, "rest_url")
        self._check_url(self.departments_url, web, "departments_url")
        if self.oauth is not None:
            self._check_url(self.oauth.token_url, web, "oauth", "token_url")
        return self

    def _check_url(self, url: str, schemes: tuple[str, ...], *path: str) -> None:
        try:
            check_plain(split_url(url, schemes), allowed=self.allow_plain_loopback)
        except ValueError as error:
            raise problem(str(error), *path) from None
