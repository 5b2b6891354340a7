"""``demo``: the whole flow on this machine, watched by an independent consumer."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

import typer

from connector.demo.brokers import PARTITIONS, BrokerKind
from connector.errors import ConfigError, LocalError

if TYPE_CHECKING:
    from types import FrameType
    from typing import TextIO

    from connector.demo.brokers import Broker
    from connector.demo.comparison import Comparison
    from connector.demo.deployment import Deployment
    from connector.demo.reader import Reader, Seen
    from connector.demo.screen import Screen
    from connector.domain.topics import Topics

_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_FIRST_ROW: Final = 60.0
"""Seconds after which a demo without a record has failed."""
_SETTLE: Final = 15.0
"""Seconds that the heartbeats get to vouch for the last update."""


def demo(
    *,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="End so long after the first record, as 15s or 2m.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON summary on standard output.")] = False,
    rate: Annotated[float, typer.Option(help="Updates a second that the emulated account sends, about.")] = 100.0,
    departments: Annotated[int, typer.Option(min=0, max=1000, help="Departments of the emulated account.")] = 3,
    seed: Annotated[int, typer.Option(help="Same seed, same world.")] = 1,
    broker: Annotated[
        BrokerKind,
        typer.Option(help="embedded: nothing but Python packages; kafka: a real one, needs Java 17 and Maven."),
    ] = BrokerKind.embedded,
    bootstrap: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Use this cluster, with topics of its own.")
    ] = None,
) -> None:
    """Watch live chat metrics arrive in Kafka: emulator, connector and broker on this machine."""
    # What ran until here was the interpreter and its imports, which belong to the time until the first row.
    began = time.monotonic() - time.process_time()
    seconds = None if duration is None else _seconds(duration)
    if rate <= 0:
        raise ConfigError(f"--rate {rate:g}: must be above 0")
    _forget_settings(keep_client=bootstrap is not None)
    with _Signals() as signals, ExitStack() as stack:
        run = _Demo(stack, signals, began, sys.stderr if as_json else sys.stdout)
        try:
            run.start(broker, bootstrap, rate=rate, departments=departments, seed=seed)
            summary = run.watch(seconds)
        finally:
            # From here on everything is ended, in order and quickly, whoever is impatient.
            signals.ignore()
    _print(summary, as_json=as_json)
    if not summary["ok"]:
        raise typer.Exit(1)


class _Signals:
    """ctrl-C ends the start at once; while the table is shown the first one ends the demo in order."""

    _NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.showing = False
        self.asked = False
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        self._before = [signal.signal(number, self._received) for number in self._NUMBERS]
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in zip(self._NUMBERS, self._before, strict=True):
            signal.signal(number, before)

    def ignore(self) -> None:
        """Nothing interrupts any more."""
        for number in self._NUMBERS:
            signal.signal(number, signal.SIG_IGN)

    def _received(self, _number: int, _frame: FrameType | None) -> None:
        if not self.showing or self.asked:
            raise KeyboardInterrupt
        self.asked = True


class _Demo:
    """Start, watch, end, compare."""

    def __init__(self, stack: ExitStack, signals: _Signals, began: float, out: TextIO) -> None:
        self._stack = stack
        self._signals = signals
        self._began = began
        self._out = out
        self._gaps = 0
        self._broker: Broker
        self._deployment: Deployment
        self._reader: Reader
        self._screen: Screen

    def start(self, kind: BrokerKind, bootstrap: str | None, *, rate: float, departments: int, seed: int) -> None:
        """Everything at once, for each part loads slowly."""
        from connector.demo import brokers
        from connector.demo.deployment import ACCOUNT, Deployment
        from connector.domain.topics import Topics

        prefix = "zendesk.chat" if bootstrap is None else f"demo-{uuid.uuid4().hex[:8]}"
        names = Topics(account=ACCOUNT, prefix=prefix)
        kind = brokers.chosen(kind)
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="zendesk-chat-kafka-demo-")))
        if bootstrap is not None:
            self._stack.callback(self._return_cluster, prefix)
        self._deployment = Deployment(
            folder,
            self._stack,
            prefix=prefix,
            options=(f"--rate={rate}", f"--departments={departments}", f"--seed={seed}"),
            topics_exist=kind is BrokerKind.mock and bootstrap is None,
        )
        print("Starting emulator, connector, registry and broker …", file=self._out, flush=True)
        self._broker = brokers.start(kind, bootstrap, names, self._stack)
        self._connect(names)
        head = [
            ("Source", f"the emulator: {departments} departments, {rate:g} updates/s, seed {seed}"),
            ("Broker", f"{self._broker.bootstrap}: {self._broker.caveat}"),
            ("Reader", "a consumer of its own, read_committed, decoding with the registry's schemas"),
        ]
        self._screen = self._stack.enter_context(_screen(self._out, head))

    def _connect(self, names: Topics) -> None:
        from connector.local.registry import LocalRegistry

        registry = self._stack.enter_context(LocalRegistry())
        self._deployment.configure(self._broker, registry.url)

        from connector.demo.reader import Reader

        self._reader = Reader(self._connection(), names, registry.url, PARTITIONS)
        self._stack.callback(self._reader.close)

    def _connection(self) -> dict[str, Any]:
        """Settings of librdkafka; those of another's cluster may come from the environment, as for `run`."""
        if not self._broker.borrowed:
            return {"bootstrap.servers": self._broker.bootstrap}
        from connector.config import load

        return load(self._deployment.config_file, os.environ).kafka.connection()

    def _return_cluster(self, prefix: str) -> None:
        """Leave nothing behind; the connector, which makes the topics, has ended by now."""
        from connector.cli.console import print_error

        if self._deployment.config_file.exists():
            failure = _delete_topics(self._connection(), prefix)
            if failure is not None and self._signals.showing:
                print_error(failure)

    def watch(self, seconds: float | None) -> dict[str, Any]:
        """Show records for so long, or until ctrl-C; then end in order. The summary."""
        self._await_first_row()
        first_row = time.monotonic()
        while not self._signals.asked and (seconds is None or time.monotonic() < first_row + seconds):
            self._step()
        watched = time.monotonic() - first_row
        self._finish()
        return {
            **self._compared(),
            "gaps": self._gaps,
            "broker": self._broker.name,
            "seconds": round(watched, 3),
            "first_row_seconds": round(first_row - self._began, 3),
        }

    def _await_first_row(self) -> None:
        deadline = time.monotonic() + _FIRST_ROW
        while not self._reader.seen.consumed:
            self._step()
            if time.monotonic() > deadline:
                raise LocalError(f"no record within {_FIRST_ROW:.0f} s: {self._deployment.last_words()}")

    def _step(self) -> None:
        self._deployment.require_alive()
        self._reader.read(0.05)
        # Before the first row can be seen: who sees it may end the demo in order.
        self._signals.showing = self._reader.seen.consumed > 0
        self._screen.show(self._reader.seen)

    def _finish(self) -> None:
        """The source falls silent, the connector publishes what it has, the reader reads to the end."""
        paused = self._deployment.pause()
        deadline = time.monotonic() + _SETTLE
        while (self._reader.seen.complete_through(PARTITIONS) or 0.0) <= paused and time.monotonic() < deadline:
            self._step()
        # What ends here on purpose is declared as a gap of each series too; only earlier ones are news.
        self._gaps = len(self._reader.seen.gaps)
        self._deployment.drain()
        self._reader.read_to_end()
        self._deployment.stop_emulator()

    def _compared(self) -> dict[str, Any]:
        from connector.demo.comparison import compare, frames_of

        seen = self._reader.seen
        return _counted(compare(frames_of(self._deployment.journal), seen.identities), seen)


def _counted(comparison: Comparison, seen: Seen) -> dict[str, Any]:
    return {
        "ok": comparison.faithful,
        "sent": comparison.sent,
        "consumed": seen.consumed,
        "series": len(seen.rows),
        "lost": len(comparison.lost),
        "duplicated": len(comparison.duplicated),
        "unknown": len(comparison.unknown),
        "suppressed": len(comparison.suppressed),
        "dead_letters": seen.dead_letters,
    }


def _screen(out: TextIO, head: list[tuple[str, str]]) -> Screen:
    from connector.demo.screen import Screen

    return Screen(out, head, PARTITIONS)


def _print(summary: dict[str, Any], *, as_json: bool) -> None:
    from connector.cli.console import print_json, print_line
    from connector.demo.screen import summary_lines

    if as_json:
        print_json(summary)
        return
    for line in summary_lines(summary):
        print_line(line)


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if match is None or not float(match[1]):
        raise ConfigError(f"--for {text}: is no time; write 15s, 2m or a number of seconds")
    return float(match[1]) * _UNITS[match[2]]


def _forget_settings(*, keep_client: bool) -> None:
    """Settings of another connector must not lead this one to its source; its Kafka client's may be wanted."""
    for name in [name for name in os.environ if name.startswith("ZCK_") and name != "ZCK_TRACEBACK"]:
        if not (keep_client and name.startswith("ZCK_KAFKA__PROPERT")):
            del os.environ[name]


def _delete_topics(connection: dict[str, Any], prefix: str) -> str | None:
    """Delete the demo's topics from a borrowed cluster; what is wrong if that fails."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({**connection, "log_level": 0})
    try:
        topics = [name for name in admin.list_topics(timeout=5).topics if name.startswith(f"{prefix}.")]
        for future in admin.delete_topics(topics, operation_timeout=10).values():
            future.result(timeout=15)
    except (KafkaException, TimeoutError) as error:
        return f"topics {prefix}.* could not be deleted: {error}; delete them"
    return None
