"""What watching costs, and how soon a changed configuration is in force."""

from __future__ import annotations

import json
import signal
import statistics
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from bench.rig import Run
from bench.series import subscriptions
from connector.local.process import free_port

if TYPE_CHECKING:
    from bench.rig import Rig

PAIRS = 5
RELOADS = 10


class Watchers:
    """What watches a connector in earnest: Prometheus, fifteen times as often as usual, and one open status page."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._scrape, self._look)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _scrape(self) -> None:
        while not self._stop.wait(1.0):
            with urllib.request.urlopen(f"{self._url}/metrics", timeout=10) as answer:  # noqa: S310 - the connector's
                answer.read()

    def _look(self) -> None:
        with urllib.request.urlopen(f"{self._url}/api/events", timeout=10) as answer:  # noqa: S310 - the connector's
            while not self._stop.is_set():
                answer.readline()


def watching(rig: Rig, updates: int) -> list[dict[str, Any]]:
    """The same bursts with and without metrics and page, in turn."""
    return [_watched(rig, series, updates) for series in (108, 3000)]


def _watched(rig: Rig, series: int, updates: int) -> dict[str, Any]:
    port = free_port()
    with (
        Run(rig, series=series, every=1000, config={"http": {"port": port}}) as on,
        Run(rig, series=series, every=1000, config={"http": {"enabled": False}}) as off,
    ):
        for run in (on, off):
            run.burst(5000)
        ratios, costs = [], []
        for _ in range(PAIRS):
            with Watchers(port):
                watched = on.burst(updates)
            alone = off.burst(updates)
            ratios.append(watched["updates_per_second"] / alone["updates_per_second"])
            costs.append(watched["cpu_us_per_update"] - alone["cpu_us_per_update"])
        return {
            "series": series,
            "ratio_to_unwatched": statistics.median(ratios),
            "more_cpu_us_per_update": statistics.median(costs),
            "clean": on.verify() and off.verify(),
        }


def reloads(rig: Rig) -> list[dict[str, Any]]:
    """One series less and more again: from the changed file to the difference applied, by the connector's clock."""
    return [_reloaded(rig, count) for count in (10, 3000)]


def _reloaded(rig: Rig, series: int) -> dict[str, Any]:
    port = free_port()
    with Run(rig, series=series, config={"http": {"port": port}}) as run:
        ways = {"sighup_ms": True, "changed_file_ms": False}
        found = {
            name: [_reload(run, port, series - at % 2, hang_up=hang_up) for at in range(1, RELOADS + 1)]
            for name, hang_up in ways.items()
        }
        clean = run.verify()
    return {"series": series, **{name: statistics.median(times) for name, times in found.items()}, "clean": clean}


def _reload(run: Run, port: int, series: int, *, hang_up: bool) -> float:
    config: dict[str, Any] = yaml.safe_load(run.config_file.read_text())
    config["subscriptions"] = subscriptions(series)
    new = Path(f"{run.config_file}.new")
    new.write_text(yaml.safe_dump(config))
    began = time.time() * 1000
    new.replace(run.config_file)
    if hang_up:
        run.process.send_signal(signal.SIGHUP)
    for _ in range(1200):
        url = f"http://127.0.0.1:{port}/api/status?series=none"
        with urllib.request.urlopen(url, timeout=30) as answer:
            newest = json.load(answer)["reload"]
        if newest is not None and newest["message"].startswith(f"{series} series"):
            if not newest["applied"]:
                raise RuntimeError(newest["message"])
            return float(newest["at_ms"] - began)
        time.sleep(0.05)
    raise RuntimeError(f"no reload with {series} series within 60 s")
