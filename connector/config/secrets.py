"""Secrets come from files, are read when they are needed and are never kept in the configuration."""

import logging
import stat
from functools import cache
from pathlib import Path
from typing import Final

from connector.config.redaction import remember
from connector.errors import ConfigError

LARGEST: Final = 65536
"""Bytes; a larger file is no secret but a mistake."""

_log = logging.getLogger(__name__)


def read_secret(path: Path | str, place: str, *, lines: bool = False) -> str:
    """The content of a secret file without its last newline. ``lines``: it may have several lines, as PEM has.

    Raises:
        ConfigError: naming the place in the configuration and the path, never the content.
    """
    file = Path(path)
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"{place}: cannot read {path}: {reason}; check the path and its permissions") from None
    _warn(loose_mode(file, place))
    secret = _text(content, f"{place}: {path}", lines=lines)
    remember(secret)
    return secret


def loose_mode(path: Path, place: str) -> str | None:
    """A warning if more than the owner and its group can read the file; None if all is well."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & ~0o640 & 0o777:
        return f"{place}: {path} has mode {mode:04o}; run chmod 0640 {path}"
    return None


@cache
def _warn(warning: str | None) -> None:
    """Once for each file: a token is read at every connect."""
    if warning is not None:
        _log.warning(warning)


def _text(content: bytes, where: str, *, lines: bool) -> str:
    if len(content) > LARGEST:
        raise ConfigError(f"{where} is larger than {LARGEST // 1024} KiB; name the file that holds the secret alone")
    try:
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{where} is not UTF-8 text; write the secret as text") from None
    if not text.strip():
        raise ConfigError(f"{where} is empty; write the secret into it")
    if not lines and not text.isprintable():
        raise ConfigError(f"{where} has several lines or control characters; leave the secret alone in it")
    return text
