"""Where the records of a series go, and what they share. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from connector.domain.partition import partition_for

if TYPE_CHECKING:
    from connector.domain.model import Series
    from connector.domain.topics import Topics

VARYING: Final = (
    "event_id",
    "value",
    "value_raw",
    "origin",
    "received_at",
    "received_at_us",
    "sequence",
    "epoch",
    "session_id",
    "frame",
    "batch_id",
)
"""Fields of an update that differ within a series; the others are the same in all of its records."""

Form = Callable[[Mapping[str, Any]], Callable[..., Any]]
"""From the values that a series shares to a function of the `VARYING` ones, which makes a record's value."""


def plain(shared: Mapping[str, Any]) -> Callable[..., Any]:
    """The form that leaves the encoding to others: every value is a mapping."""
    return lambda *values: {**shared, **dict(zip(VARYING, values, strict=True))}


class Route(NamedTuple):
    """What is constant for one series: its name, key, metrics topic, partition and unit."""

    name: str
    key: bytes
    topic: str
    partition: int
    unit: str
    latest_key: bytes
    latest_partition: int
    update: Callable[..., Any]
    """Makes the value of a record of metrics from its `VARYING` fields."""
    identity: str
    """What every event id of the series begins with."""


class Routes:
    """The routes of one account's series, each made once.

    Args:
        partitions: of metrics.
        latest_partitions: of latest.
        form: how the values of updates are made.
    """

    def __init__(self, topics: Topics, account: str, partitions: int, latest_partitions: int, form: Form) -> None:
        self._topics = topics
        self._account = account
        self._partitions = partitions
        self._latest_partitions = latest_partitions
        self._form = form
        self.known: dict[Series, Route] = {}

    def __call__(self, series: Series) -> Route:
        """The route of a series."""
        return self.known.get(series) or self._make(series)

    def _make(self, series: Series) -> Route:
        name, key = series.name, series.key.encode()
        latest_key = f"{self._account}/{name}".encode()
        unit = series.definition.unit
        shared = {
            "account": self._account,
            "family": series.family,
            "metric": series.metric,
            "department_id": series.department_id,
            "window_minutes": series.window,
            "unit": unit,
            "series": name,
        }
        found = self.known[series] = Route(
            name,
            key,
            self._topics.metrics(series),
            partition_for(key, self._partitions),
            unit,
            latest_key,
            partition_for(latest_key, self._latest_partitions),
            self._form(shared),
            f"{self._account}/{name}/",
        )
        return found
