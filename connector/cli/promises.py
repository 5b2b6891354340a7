"""Which promise holds while the connector runs: topics may be altered under it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from connector.cli.finding import promise
from connector.cli.preflight_kafka import kafka_findings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from connector.cli.finding import Finding
    from connector.config import Config

UNASKED: Final = "kafka"
"""Subject of the failure to reach the cluster at all."""


class Promises:
    """Looks at the cluster again every ``kafka.check_interval``, and tells when the answer has changed.

    Nothing is refused any more: an owner that stopped would lose more than the weakness may ever cost.

    Args:
        metrics: the metrics topics.
        told: called with the promise (strict | best-effort | demo) and why it is no better.
        find: the checks; blocks.
    """

    def __init__(
        self,
        config: Config,
        metrics: tuple[str, ...],
        told: Iterable[Callable[[str, list[str]], None]],
        find: Callable[[Config, tuple[str, ...]], list[Finding]] | None = None,
    ) -> None:
        self._config = config
        self._metrics = metrics
        self._told = tuple(told)
        self._find = find or _find
        self._known: tuple[str, list[str]] | None = None

    def tell(self, holds: str, why: list[str]) -> None:
        """Pass it on, unless it is known."""
        if (holds, why) != self._known:
            self._known = holds, why
            for tell in self._told:
                tell(holds, why)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._config.kafka.check_interval)
            findings = await asyncio.to_thread(self._find, self._config, self._metrics)
            # While the cluster cannot be asked, what it last said stands; that it is away is told elsewhere.
            if not any(one.state == "fail" and one.subject == UNASKED for one in findings):
                # What would refuse a start, an offsets topic that is not compacted any more say, weakens it as well.
                self.tell(*promise(self._config, [one._replace(weakens=_weakens(one)) for one in findings]))


def _weakens(finding: Finding) -> bool:
    return finding.weakens or finding.state == "fail"


def _find(config: Config, metrics: tuple[str, ...]) -> list[Finding]:
    return kafka_findings(config, metrics, probe=False)
