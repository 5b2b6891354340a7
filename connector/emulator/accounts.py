"""Who may do what: bearer tokens, their roles, and the OAuth clients that get tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from connector.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROLES: Final = ("owner", "administrator", "agent")

DEFAULT_TOKENS: Final = {
    "owner-token": "owner",
    "administrator-token": "administrator",
    "agent-token": "agent",
}
DEFAULT_CLIENTS: Final = {"emulator": "emulator-secret"}


class Accounts:
    """The tokens of the account. Each token is an agent of its own for the limits."""

    def __init__(self, tokens: Mapping[str, str], clients: Mapping[str, str]) -> None:
        self.tokens = dict(tokens)
        """Role by token."""
        self._clients = dict(clients)
        self._issued = 0

    def token(self, authorization: str) -> str | None:
        """The valid token in an ``Authorization`` header, which must read ``Bearer <token>``."""
        scheme, _, token = authorization.partition(" ")
        return token if scheme.lower() == "bearer" and token in self.tokens else None

    def may_list_departments(self, token: str) -> bool:
        """The Departments API is for owners and administrators only."""
        return self.tokens[token] != "agent"

    def add(self, token: str, role: str) -> None:
        """Make a token valid.

        Raises:
            ConfigError: there is no such role.
        """
        if role not in ROLES:
            raise ConfigError(f"role {role!r} does not exist: use {', '.join(ROLES)}")
        self.tokens[token] = role

    def revoke(self, token: str) -> bool:
        """Make a token invalid; False if it was not valid."""
        return self.tokens.pop(token, None) is not None

    def grant(self, form: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """HTTP status and body of a token request (grant ``client_credentials``)."""
        if form.get("grant_type") != "client_credentials":
            return 400, {"error": "unsupported_grant_type"}
        known = self._clients.get(str(form.get("client_id")))
        if known is None or known != form.get("client_secret"):
            return 401, {"error": "invalid_client", "error_description": "Client authentication failed"}
        self._issued += 1
        token = f"issued-token-{self._issued}"
        self.tokens[token] = "owner"
        return 200, {"access_token": token, "token_type": "Bearer", "scope": form.get("scope", "read write")}


def parse_tokens(pairs: Iterable[str]) -> dict[str, str]:
    """Roles by token from ``ROLE=TOKEN`` texts; the defaults if there are none.

    Raises:
        ConfigError: a text is not of that form, or names no role.
    """
    accounts = Accounts({}, {})
    for pair in pairs:
        role, equals, token = pair.partition("=")
        if not equals or not token:
            raise ConfigError("token: write ROLE=TOKEN, for instance agent=my-token")
        accounts.add(token, role)
    return accounts.tokens or dict(DEFAULT_TOKENS)
