"""Which URLs the configuration accepts: encrypted, without credentials, to a place that makes sense."""

import ipaddress
from urllib.parse import SplitResult, urlsplit

PLAIN = frozenset({"ws", "http"})


def is_loopback(host: str) -> bool:
    """True for localhost and the addresses that never leave this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def split_url(url: str, schemes: tuple[str, ...]) -> SplitResult:
    """The parts of a URL that may be used. The URL itself is never part of the error: it may hold a password.

    Raises:
        ValueError: a wrong scheme, no host, credentials, a query, or an address that is no server's.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is no URL; write it as scheme://host:port/path") from None
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("contains blanks; write it as scheme://host:port/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("contains credentials; remove them, secrets are read from files")
    if parts.scheme not in schemes:
        raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if not host:
        raise ValueError("names no host; write it as scheme://host:port/path")
    if parts.query or parts.fragment:
        raise ValueError("must not contain ? or #; remove what follows")
    _check_address(host)
    return parts


def check_plain(parts: SplitResult, *, allowed: bool) -> None:
    """Refuse an unencrypted URL, but to this machine where that is allowed.

    Raises:
        ValueError
    """
    if parts.scheme not in PLAIN:
        return
    encrypted = "wss" if parts.scheme == "ws" else "https"
    if not is_loopback(parts.hostname or ""):
        raise ValueError(f"is not encrypted; use {encrypted}:// (plain {parts.scheme}:// only to this machine)")
    if not allowed:
        raise ValueError(f"is not encrypted; use {encrypted}://, or set source.allow_plain_loopback: true")


def _check_address(host: str) -> None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        raise ValueError("is a link-local, multicast or unspecified address; name the server")
