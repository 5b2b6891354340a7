"""What to ask the source for: metrics, windows and departments."""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, Self

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from connector.config.section import Section, problem
from connector.config.units import Count
from connector.domain.metrics import AGENTS, BY_NAME, CHATS, METRICS, WINDOWS, Metric
from connector.domain.model import ALL_DEPARTMENTS, Series

EVERY: Final = "*"
"""Every department of the account, one subscription each."""

WILDCARDS: Final = {f"{family}.{EVERY}": family for family in (CHATS, AGENTS)}
_LARGEST_ID: Final = 2**63 - 1


def _metric(value: Any) -> str:
    name = str(value)
    if name in BY_NAME or name in WILDCARDS:
        return name
    known = [*BY_NAME, *WILDCARDS]
    bare = [full for full in BY_NAME if full.endswith(f".{name}")]
    close = bare or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        raise ValueError(f'unknown metric "{name}"; did you mean {close[0]}?')
    raise ValueError(f'unknown metric "{name}"; the metrics are {", ".join(known)}')


def _department(value: Any) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("must be a department's id, its name in quotes, all or '*'")  # noqa: TRY004 - see units
    if isinstance(value, int):
        if not 0 < value <= _LARGEST_ID:
            raise ValueError("must be a positive 64-bit department id")
        return value
    if not value.strip():
        raise ValueError("must not be empty; write a department's id, its name, all or '*'")
    return value


def _window(value: Any) -> int:
    if isinstance(value, bool) or str(value) not in map(str, WINDOWS):
        raise ValueError("must be 30 or 60, in minutes")
    return int(value)


MetricName = Annotated[str, PlainValidator(_metric), WithJsonSchema({"type": "string", "enum": [*BY_NAME, *WILDCARDS]})]
Department = Annotated[
    int | str, PlainValidator(_department), WithJsonSchema({"type": ["integer", "string"], "minimum": 1})
]
Window = Annotated[Count, PlainValidator(_window), WithJsonSchema({"type": "integer", "enum": list(WINDOWS)})]


class Subscription(Section):
    """A set of series: each metric, with each window if it has windows, for each department."""

    metrics: list[MetricName] = Field(
        min_length=1,
        description="Metrics by name (chats.missed_chats, agents.agents_online) or all of a family: chats.*, agents.*",
    )
    windows: list[Window] = Field(
        default=[],
        description="Windows in minutes, 30 and/or 60, for missed_chats, satisfaction_good and satisfaction_bad",
    )
    departments: list[Department] = Field(
        default=[ALL_DEPARTMENTS],
        min_length=1,
        description="all (account-wide), ids, names, or '*' (each department of the account, new ones too)",
    )

    def selected(self) -> list[Metric]:
        """Rows of the metric table that the names stand for."""
        names = set(self.metrics)
        return [
            metric
            for metric in METRICS
            if f"{metric.family}.{metric.key}" in names or f"{metric.family}.{EVERY}" in names
        ]

    @model_validator(mode="after")
    def _check_windows(self) -> Self:
        windowed = [f"{metric.family}.{metric.key}" for metric in self.selected() if metric.windowed]
        if windowed and not self.windows:
            raise problem(f"missing, {windowed[0]} is counted per window; add windows: [30], [60] or both", "windows")
        if not self.windows:
            return self
        for name in self.metrics:
            if name in BY_NAME and not BY_NAME[name].windowed:
                kind = "agent metrics have" if name.startswith(AGENTS) else f"{name} has"
                text = f"{kind} no window; move {name} into an entry without windows"
                raise problem(text, "windows")
        if not windowed:
            raise problem("agent metrics have no window; remove windows", "windows")
        return self

    def series(self, names: Mapping[str, int], every: Collection[int]) -> Iterator[Series]:
        """Each series of this entry; ``names`` gives the ids of named departments, ``every`` the ids for ``*``."""
        for metric in self.selected():
            for window in self.windows if metric.windowed else [None]:
                for department_id in self._department_ids(names, every):
                    yield Series(metric.family, metric.key, window, department_id)

    def _department_ids(self, names: Mapping[str, int], every: Collection[int]) -> Iterable[int | None]:
        for department in self.departments:
            if department == ALL_DEPARTMENTS:
                yield None
            elif department == EVERY:
                yield from every
            elif isinstance(department, int):
                yield department
            elif department in names:
                yield names[department]


def expand(
    subscriptions: Iterable[Subscription], names: Mapping[str, int], every: Collection[int]
) -> tuple[Series, ...]:
    """Every series once, in a stable order: what several entries ask for is asked for once."""
    wanted = {series for entry in subscriptions for series in entry.series(names, every)}
    return tuple(sorted(wanted, key=_order))


def _order(series: Series) -> tuple[str, str, int, int]:
    return series.family, series.metric, series.window or 0, series.department_id or 0
