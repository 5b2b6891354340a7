"""Which series the benchmark uses, and their frames."""

from __future__ import annotations

from connector.domain.metrics import METRICS, WINDOWS
from connector.domain.model import Series

VARIANTS = [(metric, window) for metric in METRICS for window in (WINDOWS if metric.windowed else (None,))]
FIRST_DEPARTMENT = 13388700431505


def departments(count: int) -> list[int | None]:
    """So many, the account as a whole being the first."""
    return [None, *range(FIRST_DEPARTMENT, FIRST_DEPARTMENT + count - 1)]


def series(count: int, among: int | None = None) -> list[Series]:
    """The first ``count`` series: every metric and window of the account, then of one department after the other.

    With ``among``, the first metrics and windows of so many departments each.

    Raises:
        ValueError: so few departments have fewer series.
    """
    if among is not None:
        most = -(-count // among)
        if most > len(VARIANTS):
            raise ValueError(f"{among} departments have {among * len(VARIANTS)} series, fewer than {count}")
        return [Series(m.family, m.key, window, one) for m, window in VARIANTS[:most] for one in departments(among)][
            :count
        ]
    needed = -(-count // len(VARIANTS))
    every = [Series(m.family, m.key, window, one) for one in departments(needed) for m, window in VARIANTS]
    return every[:count]


def frame_parts(one: Series) -> tuple[bytes, bytes]:
    """What stands before and after the value in a frame."""
    window = "" if one.window is None else f'{{"{one.window}":'
    department = "null" if one.department_id is None else one.department_id
    head = f'{{"content":{{"topic":"{one.family}","data":{{"{one.metric}":{window}'
    tail = f'{"" if one.window is None else "}"}}},"type":"update","department_id":{department}}},"status_code":200}}'
    return head.encode(), tail.encode()


def subscriptions(count: int, among: int | None = None) -> list[dict[str, object]]:
    """The first ``count`` series as a configuration asks for them."""
    found: dict[tuple[int | None, int | None], list[str]] = {}
    for one in series(count, among):
        found.setdefault((one.department_id, one.window), []).append(f"{one.family}.{one.metric}")
    return [
        {
            "metrics": metrics,
            "departments": ["all" if department is None else department],
            **({"windows": [window]} if window else {}),
        }
        for (department, window), metrics in found.items()
    ]
