"""One kill of the owner, by chance or at a named instant of its commit."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from faults.proxy import END_TXN
from waiting import wait_until

if TYPE_CHECKING:
    import random

    from faults.results import Run


def kill_once(run: Run, instant: str, chance: random.Random) -> None:
    """Kill the owner, wait for the standby, start the dead one again.

    before-commit: when it has produced everything and asks for the commit, which Kafka never hears.
    after-commit: when the request for the commit is on its way, and arrives.
    """
    pair = run.pair
    owner, standby = pair.owner(), pair.standby()
    time.sleep(chance.uniform(0.5, 1.5))
    if instant == "random":
        run.fault()
        pair.kill(owner)
    else:
        kill_at_commit(run, owner, forward=instant == "after-commit")
    run.recovered(owner=standby)
    pair.start(owner)
    pair.wait_joined(owner)


def kill_at_commit(run: Run, owner: str, *, forward: bool) -> None:
    """SIGKILL in the instant in which the owner's next EndTxn passes the proxy."""
    process = run.pair.processes[owner]
    dead = threading.Event()

    def tap(_link, key):
        if key != END_TXN or dead.is_set():
            return None
        os.kill(process.pid, signal.SIGKILL)
        dead.set()
        return None if forward else "drop"

    run.fault()
    for proxy in run.pair.cluster.proxies(owner):
        proxy.tap = tap
    wait_until(dead.is_set, what="a commit")
    process.wait()
    for proxy in run.pair.cluster.proxies(owner):
        proxy.tap = None
