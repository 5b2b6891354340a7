"""The WebSocket library, a choice of one word: `websockets`, or `picows` with the same interface and less work."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from websockets import exceptions
from websockets.asyncio.client import connect

from connector.adapters.reach import ENDED
from connector.errors import ConfigError

picows: Any = exceptions
with suppress(ImportError):
    from picows.websockets import exceptions as picows

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from websockets.asyncio.client import ClientConnection

# At DEBUG the libraries print the handshake, bearer token included.
for _name in ("websockets", "picows"):
    logging.getLogger(_name).setLevel(logging.WARNING)

# Each library raises errors of its own, under the same names.
CONNECTION_CLOSED: Final[tuple[type[exceptions.ConnectionClosed], ...]] = (
    exceptions.ConnectionClosed,
    picows.ConnectionClosed,
)
INVALID_STATUS: Final[tuple[type[exceptions.InvalidStatus], ...]] = (exceptions.InvalidStatus, picows.InvalidStatus)
HANDSHAKE_FAILED: Final = (
    *(exceptions.InvalidHandshake, exceptions.InvalidURI, exceptions.SecurityError),
    *(picows.InvalidHandshake, picows.InvalidURI, picows.SecurityError),
)


def opener(client: str) -> Callable[..., Awaitable[ClientConnection]]:
    """What opens a connection with this library, following no redirect.

    Raises:
        ConfigError: it is not installed.
    """
    return _with_picows if client == "picows" and _installed() else _with_websockets


def event_loop(client: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop: picows comes with uvloop, which wakes up at less cost; None is asyncio's own."""
    if client != "picows" or not _installed():
        return None
    try:
        import uvloop  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigError("source.client: picows needs uvloop: pip install 'zendesk-chat-kafka[fast]'") from None
    return cast("Callable[[], asyncio.AbstractEventLoop]", uvloop.new_event_loop)


def _installed() -> bool:
    if picows is exceptions:
        raise ConfigError("source.client: picows is not installed: pip install 'zendesk-chat-kafka[fast]'")
    return True


async def _with_websockets(url: str, **options: Any) -> ClientConnection:
    connecting = connect(url, **options)
    connecting.process_redirect = lambda error: error  # type: ignore[method-assign, assignment]
    return await connecting


async def _with_picows(url: str, **options: Any) -> ClientConnection:
    from picows.websockets.asyncio.client import connect as connect_fast  # noqa: PLC0415 - an extra

    try:
        return cast("ClientConnection", await connect_fast(url, max_redirects=0, **options))
    except AssertionError as error:
        # What it raises when the other side ends the connection before it answers (2.3).
        raise ConnectionResetError(ENDED) from error
