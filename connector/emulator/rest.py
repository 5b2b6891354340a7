"""The REST answers, without I/O: the twin of the stream and the Departments API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from connector.domain.metrics import METRICS, WINDOWS, Metric
from connector.domain.model import Series
from connector.emulator.frames import content

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.emulator.behaviour import Behaviour
    from connector.emulator.hub import Hub
    from connector.emulator.limits import Excess
    from connector.emulator.people import Department
    from connector.emulator.world import World


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    body: str
    content_type: str = "application/json"
    retry_after: int | None = None


def json_answer(status: int, body: Any) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, json.dumps(body))


def stream_error(status: int, message: str) -> Answer:
    """An error in the envelope of the stream."""
    return json_answer(status, {"status_code": status, "message": message})


def api_error(status: int, error: str, description: str) -> Answer:
    """An error in the envelope of the Chat API."""
    return json_answer(status, {"error": error, "description": description})


def too_many(excess: Excess, behaviour: Behaviour) -> Answer:
    """The 429 of a limit, with the reason in its body."""
    retry_after = max(1, round(excess.retry_after)) if behaviour.retry_after else None
    if behaviour.rate_limit_body == "text":
        return Answer(429, excess.reason, "text/plain", retry_after)
    body = json.dumps({"error": "APIRateLimitExceeded", "description": excess.reason})
    return Answer(429, body, retry_after=retry_after)


class RestTwin:
    """``GET /stream/chats[/{key}]`` and ``GET /stream/agents[/{key}]``, from the state of the stream."""

    def __init__(self, world: World, hub: Hub, behaviour: Behaviour) -> None:
        self._world = world
        self._hub = hub
        self._behaviour = behaviour

    def answer(self, family: str, key: str | None, query: Mapping[str, str]) -> Answer:
        """The values of a family, or of one of its metrics."""
        metrics = [one for one in METRICS if one.family == family and key in (None, one.key)]
        department = query.get("department_id") or None
        if not metrics:
            return stream_error(404, "Not Found")
        if department is not None and not self._exists(department):
            return stream_error(400, "Invalid department_id")
        if query.get("window", "30") not in map(str, WINDOWS):
            return stream_error(400, "Invalid window")
        if self._hub.cold and self._behaviour.cold == "message":
            return json_answer(200, {"status_code": 200, "message": "Not Computed!"})
        windows = (int(query["window"]),) if "window" in query else WINDOWS
        return self._values(family, metrics, None if department is None else int(department), windows)

    def _exists(self, department: str) -> bool:
        return department.isdecimal() and int(department) in self._world.departments

    def _values(self, family: str, metrics: list[Metric], department: int | None, windows: tuple[int, ...]) -> Answer:
        wanted = [
            Series(family, metric.key, window, department)
            for metric in metrics
            for window in (windows if metric.windowed else (None,))
        ]
        return Answer(200, content(family, department, {series: self._hub.literal(series) for series in wanted}))


class DepartmentsApi:
    """``GET …/departments[/{id}|/name/{name}]``: a bare array, or one object."""

    def __init__(self, world: World, behaviour: Behaviour) -> None:
        self._world = world
        self._behaviour = behaviour

    def all(self) -> Answer:
        """Every department."""
        return json_answer(200, [self._shown(one) for one in self._world.departments.values()])

    def by_id(self, department_id: str) -> Answer:
        """One department."""
        known = self._world.departments
        found = known.get(int(department_id)) if department_id.isdecimal() else None
        return self._one(found)

    def by_name(self, name: str) -> Answer:
        """One department, by its exact name."""
        return self._one(next((one for one in self._world.departments.values() if one.name == name), None))

    def _one(self, department: Department | None) -> Answer:
        if department is None:
            return api_error(404, "NotFound", "The department does not exist")
        return json_answer(200, self._shown(department))

    def _shown(self, department: Department) -> dict[str, Any]:
        enabled = department.enabled
        return {
            "id": department.id,
            "name": department.name,
            "description": f"Emulated department {department.name}",
            "enabled": enabled if self._behaviour.enabled == "bool" else int(enabled),
            "members": sorted(agent.id for agent in department.agents),
            "settings": {},
        }
