"""Names in Kafka, from templates: topics, the group, the transactional ids. Pure."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connector.domain.model import Series

_ACCOUNT_PLACES: Final = ("prefix", "account")
PLACES: Final = {
    "metrics": ("prefix", "account", "family", "department"),
    "latest": _ACCOUNT_PLACES,
    "gaps": _ACCOUNT_PLACES,
    "dead_letters": _ACCOUNT_PLACES,
    "heartbeats": _ACCOUNT_PLACES,
    "offsets": _ACCOUNT_PLACES,
    "control": _ACCOUNT_PLACES,
}
"""Which places each template may have."""

_NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def check_template(template: str, places: Iterable[str]) -> None:
    """Refuse a template that names an unknown place.

    Raises:
        ValueError: with the remedy.
    """
    allowed = " and ".join(f"{{{place}}}" for place in places)
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except ValueError:
        raise ValueError(f"has unbalanced braces; it may contain {allowed}") from None
    for field in fields:
        if field not in places:
            raise ValueError(f"contains {{{field}}}; it may contain {allowed}")


def check_name(name: str) -> None:
    """Refuse what Kafka refuses as a topic's name.

    Raises:
        ValueError: with the remedy.
    """
    if _NAME.fullmatch(name) is None or name in (".", ".."):
        raise ValueError(f'"{name}" is no topic name; use a-z, A-Z, 0-9, . _ and -, at most 249 of them')


class Topics:
    """The topics of one account. ``latest`` None: it is switched off."""

    def __init__(
        self,
        *,
        account: str,
        prefix: str = "zendesk.chat",
        metrics: str = "{prefix}.metrics",
        latest: str | None = "{prefix}.latest",
        gaps: str = "{prefix}.gaps",
        dead_letters: str = "{prefix}.dead-letters",
        heartbeats: str = "{prefix}.{account}.heartbeats",
        offsets: str = "{prefix}.{account}.offsets",
        control: str = "{prefix}.{account}.control",
    ) -> None:
        self._metrics = metrics
        self._values = {"prefix": prefix, "account": account}
        self.group = f"{prefix}.{account}"
        """Consumer group of the replicas."""
        self.latest = None if latest is None else self._fill(latest)
        self.gaps = self._fill(gaps)
        self.dead_letters = self._fill(dead_letters)
        self.heartbeats = self._fill(heartbeats)
        self.offsets = self._fill(offsets)
        self.control = self._fill(control)

    def metrics(self, series: Series) -> str:
        """The topic of one series' updates."""
        return self._metrics.format(**self._values, family=series.family, department=series.key)

    def metrics_all(self, series: Iterable[Series]) -> tuple[str, ...]:
        """Every metrics topic that these series need, sorted."""
        return tuple(sorted({self.metrics(one) for one in series}))

    def transactional_id(self, shard: int) -> str:
        """The id that fences the shard's producers."""
        return f"{self.group}.{shard}"

    def check(self) -> None:
        """Refuse names that Kafka refuses.

        Raises:
            ValueError: with the remedy.
        """
        metrics = self._metrics.format(**self._values, family="chats", department="all")
        fixed = (self.latest, self.gaps, self.dead_letters, self.heartbeats, self.offsets, self.control)
        for name in (metrics, *fixed):
            if name is not None:
                check_name(name)

    def _fill(self, template: str) -> str:
        return template.format(**self._values)
