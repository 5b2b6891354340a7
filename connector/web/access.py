"""Who may read: the token, the cookie of the login form, and the names this server answers to."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from connector.config.secrets import read_secret
from connector.config.urls import is_loopback
from connector.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COOKIE: Final = "zck_session"
COOKIE_SECONDS: Final = 12 * 3600
SHORTEST: Final = 16
"""Characters of the shortest token: long enough that guessing is hopeless."""


class Access:
    """Checks every request against the token file; without one everybody may read.

    Raises:
        ConfigError: the file cannot be read, or its token is too short.
    """

    def __init__(self, token_file: Path | None, wall: Callable[[], float] = time.time) -> None:
        self._file = token_file
        self._wall = wall
        self._key = secrets.token_bytes(32)
        self._stamp: tuple[int, int, int] | None = None
        self._token = ""
        if token_file is not None:
            self._token = self._read(token_file)
            self._stamp = _stamp(token_file)

    @property
    def needed(self) -> bool:
        """True if there is a token."""
        return self._file is not None

    def allows(self, authorization: str, cookie: str) -> bool:
        """True if the Authorization header or the cookie is good."""
        if self._file is None:
            return True
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return self.knows(token.strip())
        return self._valid(cookie)

    def knows(self, token: str) -> bool:
        """True if this is the token; takes as long either way."""
        return hmac.compare_digest(token.encode(errors="replace"), self._current().encode())

    def cookie(self) -> str:
        """The value of a cookie that is good for 12 hours, or until the token or the process changes."""
        expires = str(int(self._wall()) + COOKIE_SECONDS)
        return f"{expires}.{self._seal(expires)}"

    def _valid(self, cookie: str) -> bool:
        expires, _, seal = cookie.partition(".")
        good = hmac.compare_digest(seal.encode(errors="replace"), self._seal(expires).encode())
        return good and int(expires) > self._wall()

    def _seal(self, expires: str) -> str:
        message = f"{expires}.{self._current()}".encode(errors="replace")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()

    def _current(self) -> str:
        """The token, read again if its file changed; while the file is missing or unusable the old one stays."""
        assert self._file is not None
        try:
            stamp = _stamp(self._file)
            if stamp != self._stamp:
                self._stamp = stamp
                self._token = self._read(self._file)
        except (OSError, ConfigError):
            return self._token
        return self._token

    def _read(self, file: Path) -> str:
        token = read_secret(file, "http.token_file")
        if len(token) < SHORTEST:
            raise ConfigError(f"http.token_file: {file}: shorter than {SHORTEST} characters; write a longer token")
        return token


def _stamp(file: Path) -> tuple[int, int, int]:
    found = file.stat()
    return found.st_mtime_ns, found.st_ino, found.st_size


def names_this_machine(host: str) -> bool:
    """True if a Host header names this machine: another name that leads here is an attempt at DNS rebinding."""
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
