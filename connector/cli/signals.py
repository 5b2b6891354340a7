"""The signals of a running connector."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Signals:
    """SIGHUP reads the configuration again; the first SIGINT or SIGTERM ends in order, a second one at once.

    Args:
        most: seconds after which an end in order is given up, so that nothing can hang for ever.
    """

    def __init__(self, most: float) -> None:
        self.stopping = False
        self._most = most
        starting = asyncio.current_task()
        assert starting is not None
        self._stop: Callable[[], object] = starting.cancel
        self._reload: Callable[[], object] = lambda: None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end, number)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def lead_to(self, *, stop: Callable[[], object], reload: Callable[[], object]) -> None:
        """What the signals do from now on; until then the first one ends the start."""
        self._stop = stop
        self._reload = reload

    def _hang_up(self) -> None:
        self._reload()

    def _end(self, number: int) -> None:
        self.stopping = True
        loop = asyncio.get_running_loop()
        for one in (signal.SIGINT, signal.SIGTERM):
            # From now on without the event loop, which may be what hangs, and until the process is gone.
            loop.remove_signal_handler(one)
            signal.signal(one, _leave)
        late = threading.Timer(self._most, _leave, (number, None))
        late.daemon = True
        late.start()
        self._stop()


def _leave(number: int, _frame: object) -> None:
    os._exit(128 + number)
