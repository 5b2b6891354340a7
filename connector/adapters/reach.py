"""Whether a server can be found and speaks TLS as it should, before any secret is sent to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from connector.adapters.tls import verified

if TYPE_CHECKING:
    from pathlib import Path


ENDED: Final = "the other side ended the connection before it was made"


def said(error: OSError, limit: str = "source.open_timeout") -> str:
    """What is wrong with a connection, in words: asyncio says nothing of one that ends in the handshake.

    ``limit``: the setting that a TimeoutError stands for.
    """
    if isinstance(error, TimeoutError):
        return f"no answer within {limit}"
    cause = getattr(error, "os_error", error)
    return cause.strerror or str(cause) or ENDED


class Encryption(NamedTuple):
    """What a TLS handshake agreed on."""

    version: str
    days_left: float
    """Until the server's certificate expires."""


async def addresses(host: str, port: int) -> list[str]:
    """The addresses of a host.

    Raises:
        OSError: it has none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


async def encryption(host: str, port: int, ca_file: Path | None, *, timeout: float) -> Encryption:  # noqa: ASYNC109
    """One TLS handshake, verified as every connection of ours is.

    Raises:
        OSError: nobody answers, or the certificate is refused (ssl.SSLError).
        TimeoutError
    """
    context = verified(ca_file)
    async with asyncio.timeout(timeout):
        _, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        certificate: dict[str, Any] = writer.get_extra_info("peercert")
        expires = ssl.cert_time_to_seconds(certificate["notAfter"])
        return Encryption(writer.get_extra_info("ssl_object").version(), (expires - time.time()) / 86400)
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await writer.wait_closed()
