"""What the source answers over HTTP, understood: departments, values of the REST twin, refusals. No I/O."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

from connector.errors import SourceRejected, SourceUnavailable

if TYPE_CHECKING:
    from connector.domain.model import Series


class Department(NamedTuple):
    """One department of the account."""

    id: int
    name: str


class Reading(NamedTuple):
    """What the REST twin says of one series: a value (None: null), or that there is none yet."""

    computed: bool
    value: float | None = None


class NotFound(SourceRejected):
    """The source knows no such department, metric or window."""


def retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, in either of its forms; None if it says nothing usable."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time())
    except ValueError:
        return None


def content(status: int, body: bytes, url: str, forbidden: str | None) -> Any:
    """The decoded body of a usable answer; ``forbidden`` says what a 403 means there.

    Raises:
        NotFound, SourceRejected, SourceUnavailable
    """
    if status == 401:
        raise SourceRejected(f"source {url}: HTTP 401: token refused; check source.token_file, it must be a Chat token")
    if status == 403:
        reason = forbidden or "this token's role does not allow it; use another token"
        raise SourceRejected(f"source {url}: HTTP 403: {reason}")
    if status in (400, 404):
        raise NotFound(f"source {url}: HTTP {status}: the source knows no such thing; check name, id and window")
    if status != 200:
        raise SourceUnavailable(f"source {url}: HTTP {status}")
    try:
        return json.loads(body)
    except ValueError as error:
        raise SourceUnavailable(f"source {url}: the answer is no JSON; check the URL") from error
    except RecursionError as error:
        raise SourceUnavailable(f"source {url}: the answer is nested too deeply; check the URL") from error


def mapping(value: Any, url: str) -> dict[str, Any]:
    """The value, if it is an object.

    Raises:
        SourceUnavailable
    """
    if not isinstance(value, dict):
        raise SourceUnavailable(f"source {url}: the answer has another form than documented; check the URL")
    return value


def listed(value: Any) -> list[Any]:
    """A list of objects, or the only one as a list."""
    return value if isinstance(value, list) else [value]


def department(value: Any, url: str) -> Department:
    """One department.

    Raises:
        SourceUnavailable: it has no id or name.
    """
    known = mapping(value, url)
    department_id, name = known.get("id"), known.get("name")
    if isinstance(department_id, bool) or not isinstance(department_id, int) or not isinstance(name, str):
        raise SourceUnavailable(f"source {url}: a department without id and name; check source.departments_url")
    return Department(department_id, name)


def values(answer: Any, url: str) -> dict[str, Any]:
    """Values by metric; empty if nothing is computed yet.

    Raises:
        SourceRejected, SourceUnavailable
    """
    body = mapping(answer, url)
    inner, status = body.get("content"), body.get("status_code")
    if inner is not None:
        return mapping(mapping(inner, url).get("data"), url)
    if status != 200:
        raise SourceRejected(f"source {url}: status_code {status} in the answer; check metric, window, department")
    return {}


def reading(known: dict[str, Any], series: Series, url: str) -> Reading:
    """What the values by metric say of one series.

    Raises:
        SourceUnavailable: it is no number.
    """
    if series.metric not in known:
        return Reading(computed=False)
    value = known[series.metric]
    if series.window is not None and isinstance(value, dict):
        if str(series.window) not in value:
            return Reading(computed=False)
        value = value[str(series.window)]
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise SourceUnavailable(f"source {url}: the value is no number")
    return Reading(computed=True, value=value)
