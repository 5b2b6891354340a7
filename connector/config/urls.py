"""Which URLs the configuration accepts: encrypted, without credentials, to a place that makes sense."""

import ipaddress
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

PLAIN: Final = frozenset({"ws", "http"})
METADATA: Final = frozenset({"100.100.100.200", "192.0.0.192", "fd00:ec2::254", "metadata", "metadata.google.internal"})
"""Where clouds tell a machine its own credentials; the other such addresses are link-local."""

_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LONGEST: Final = 253


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
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("contains blanks; write it as scheme://host:port/path")
    if not url.isascii():
        raise ValueError("contains other letters than ASCII; write the host as xn--…, and the path as %XX")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is no URL; write it as scheme://host:port/path") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("contains credentials; remove them, secrets are read from files")
    if parts.scheme not in schemes:
        raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if not host:
        raise ValueError("names no host; write it as scheme://host:port/path")
    if "?" in url or "#" in url:
        raise ValueError("must not contain ? or #; remove what follows")
    if port == 0:
        raise ValueError("has port 0; name the port, or leave it out")
    _check_host(host)
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


def _check_host(host: str) -> None:
    """A name of the DNS, or an address in its usual form: whatever else a resolver may understand is refused."""
    if host in METADATA or host.rstrip(".") in METADATA:
        raise ValueError("is where a cloud keeps this machine's credentials; name the server")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        _check_name(host)
        return
    if address.version == 6 and not address.is_loopback:
        _check_ipv6(address)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        raise ValueError("is a link-local, multicast or unspecified address; name the server")
    if (address.is_reserved and not address.is_loopback) or host.startswith("0."):
        raise ValueError("is a reserved address; name the server")


def _check_ipv6(address: ipaddress.IPv6Address) -> None:
    if address.ipv4_mapped or address.sixtofour or address.teredo:
        raise ValueError("is an IPv4 address in IPv6 form; write it as IPv4, or name the server")


def _check_name(host: str) -> None:
    labels = host.removesuffix(".").split(".")
    if len(host) > _LONGEST or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("has a host that is no name of the DNS; write it as scheme://host:port/path")
    if _NUMBER.fullmatch(labels[-1]):
        raise ValueError("has a host in numbers that is no usual IPv4 address; write four decimal numbers")
