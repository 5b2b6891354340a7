"""The emulated account, alive: visitors and agents act at random, the board shows the metrics.

Same seed, same world. No clock: simulated time goes on only in `run_until` and `step`.
"""

from __future__ import annotations

import random
from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from connector.domain.model import Series
from connector.emulator.floor import Floor
from connector.emulator.people import Agent, Chat, Department, Stage, department_name
from connector.emulator.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from connector.emulator.tally import Value

Change = tuple[Series, str]
"""A series and its new value, as a JSON literal."""

FAR = 2**62
"""A time that never comes."""


class World:
    """Visitors, agents and departments of one account, and the board of published values.

    The board holds, per series, the JSON literal that was published last: the stream pushes its
    changes, snapshots and the REST twin read it.
    """

    def __init__(
        self,
        *,
        departments: int = 3,
        seed: int = 1,
        scenario: Scenario | None = None,
        first_department_id: int = 1,
    ) -> None:
        self.scenario = scenario or Scenario()
        self.now = 0
        """Simulated milliseconds since the start."""
        self.floor = Floor()
        self.departments: dict[int, Department] = {}
        self.agents: list[Agent] = []
        self.board: dict[Series, str] = {}
        self.float_averages = False
        self.negatives = 0.0
        """Probability that -1 is published instead of a new value of active_chats."""
        self.push_ageing = False
        """Whether a count that falls because events leave its window is a change of its own."""
        self._random = random.Random(seed)  # noqa: S311 - reproducible on purpose
        self._glitches = random.Random(seed)  # noqa: S311 - same; switches must not change the world
        self._agenda: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._plans = 0
        self._last_chat = 0
        self._queues: dict[int, deque[Chat]] = {}
        for number in range(departments):
            self.add_department(first_department_id + number, department_name(number))
        self._live(int(self.scenario.warm_up * 1000))
        self.publish(one for tally in self.floor.tallies.values() for one in tally.readers)

    # Time

    def next_at(self) -> int:
        """Simulated time of the next event."""
        planned = self._agenda[0][0] if self._agenda else FAR
        return min(planned, self.floor.next_ageing() or FAR)

    def step(self) -> list[Change]:
        """Let the next event happen; returns what it changed."""
        at = self.next_at()
        if at == FAR:
            return []
        self.now = at
        if (self.floor.next_ageing() or FAR) <= at:
            return self._age()
        _, _, act, what = heappop(self._agenda)
        act(*what)
        return self.publish(self.floor.take_touched())

    def run_until(self, until: int) -> list[Change]:
        """Let everything happen until that simulated time; returns the changes in order."""
        changes: list[Change] = []
        while self.next_at() <= until:
            changes += self.step()
        self.now = max(self.now, until)
        return changes

    def _live(self, until: int) -> None:
        while self._agenda and self._agenda[0][0] <= until:
            self.now, _, act, what = heappop(self._agenda)
            act(*what)
        self.now = until
        self.floor.age(until)
        self.floor.take_touched()

    def _age(self) -> list[Change]:
        self.floor.age(self.now)
        changes = self.publish(self.floor.take_touched())
        return changes if self.push_ageing else []

    # Values

    def publish(self, touched: Iterable[Series]) -> list[Change]:
        """Bring the touched series up to date on the board; returns those whose value is new."""
        board = self.board
        changes = []
        for series in touched:
            literal = self._literal(series, self.floor.value(series, self.now))
            if board.get(series) != literal:
                board[series] = literal
                changes.append((series, literal))
        return changes

    def current(self, series: Series) -> str:
        """The literal of a series computed at this moment: durations go on between events.

        Raises:
            KeyError: there is no such series.
        """
        return self._plain(self.floor.value(series, self.now))

    def set_value(self, series: Series, literal: str) -> Change:
        """Put a JSON literal on the board, until an event changes the series.

        Raises:
            KeyError: there is no such series.
        """
        if series not in self.board:
            raise KeyError(series.name)
        self.board[series] = literal
        return series, literal

    def _literal(self, series: Series, value: Value) -> str:
        literal = self._plain(value)
        if self.negatives and series.metric == "active_chats" and self.board.get(series) != literal:
            return "-1" if self._glitches.random() < self.negatives else literal
        return literal

    def _plain(self, value: Value) -> str:
        if value is None:
            return "null"
        if isinstance(value, float):
            return str(round(value, 2)) if self.float_averages else str(int(value))
        return str(value)

    # Departments

    def add_department(self, department_id: int, name: str) -> list[Change]:
        """Open a department with its own agents; returns its first values."""
        department = Department(department_id, name)
        self.departments[department_id] = department
        self._queues[department_id] = deque()
        self.floor.open_department(department_id)
        for _ in range(self.scenario.agents_per_department):
            self._hire(department)
        size = 0.4 + 1.2 * self._random.random()
        self._plan(self.scenario.arrival_every / size, self._arrival, department_id, size)
        fresh = self.floor.tallies[department_id].readers
        return self.publish([*self.floor.take_touched(), *fresh])

    def remove_department(self, department_id: int) -> list[Change]:
        """Close a department; returns what that changes in the account.

        Raises:
            KeyError: there is no such department.
        """
        del self.departments[department_id]
        del self._queues[department_id]
        self.floor.close_department(department_id)
        for agent in self.agents:
            agent.departments = tuple(one for one in agent.departments if one != department_id)
        self.board = {key: literal for key, literal in self.board.items() if key.department_id != department_id}
        return self.publish(self.floor.take_touched())

    def _hire(self, department: Department) -> None:
        agent = Agent(len(self.agents) + 1, (department.id,))
        self.agents.append(agent)
        department.agents.append(agent)
        others = [one for one in self.departments.values() if one is not department]
        if others and self._random.random() < self.scenario.second_department:
            second = self._random.choice(others)
            self.floor.join_department(agent, second.id)
            second.agents.append(agent)
        self._change_status(agent)

    # What happens

    def _plan(self, mean: float, act: Callable[..., None], *what: Any) -> None:
        self._plans += 1
        delay = int(self._random.expovariate(1 / mean) * 1000) + 1
        heappush(self._agenda, (self.now + delay, self._plans, act, what))

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _change_status(self, agent: Agent) -> None:
        names = [name for name, _ in self.scenario.statuses]
        shares = [share for _, share in self.scenario.statuses]
        self.floor.set_status(agent, self._random.choices(names, shares)[0])
        self._plan(self.scenario.status_change, self._change_status, agent)
        self._offer_work(agent)

    def _offer_work(self, agent: Agent | None) -> None:
        if agent is not None and agent.free:
            for department_id in agent.departments:
                self._plan(self.scenario.routing, self._route, department_id)

    def _arrival(self, department_id: int, size: float) -> None:
        if department_id not in self.departments:
            return
        self._last_chat += 1
        chat = Chat(self._last_chat, department_id)
        self.floor.arrive(chat, self.now)
        self._wait(chat)
        self._plan(self.scenario.arrival_every / size, self._arrival, department_id, size)

    def _wait(self, chat: Chat) -> None:
        self._queues[chat.department_id].append(chat)
        self._plan(self.scenario.patience, self._lose_patience, chat, chat.leg)
        self._plan(self.scenario.routing, self._route, chat.department_id)

    def _route(self, department_id: int) -> None:
        department = self.departments.get(department_id)
        queue = self._queues.get(department_id)
        while queue and queue[0].stage is not Stage.INCOMING:
            queue.popleft()
        free = [agent for agent in department.agents if agent.free] if department else []
        if not queue or not free:
            return
        chat = queue.popleft()
        self.floor.assign(chat, min(free, key=lambda agent: (agent.chats, agent.id)))
        self._plan(self.scenario.accepting, self._serve, chat, chat.leg)

    def _stands(self, chat: Chat, leg: int, *stages: Stage) -> bool:
        return chat.leg == leg and chat.stage in stages

    def _lose_patience(self, chat: Chat, leg: int) -> None:
        if self._stands(chat, leg, Stage.INCOMING, Stage.ASSIGNED):
            agent = chat.agent
            self.floor.miss(chat, self.now)
            self._offer_work(agent)

    def _serve(self, chat: Chat, leg: int) -> None:
        if self._stands(chat, leg, Stage.ASSIGNED):
            self.floor.serve(chat, self.now)
            self._plan(self.scenario.reaction, self._visitor_writes, chat, chat.leg)

    def _visitor_writes(self, chat: Chat, leg: int) -> None:
        if not self._stands(chat, leg, Stage.ACTIVE):
            return
        self.floor.visitor_message(chat, self.now)
        if self._chance(self.scenario.impatient):
            self._plan(self.scenario.reaction, self._visitor_writes, chat, leg)
        else:
            self._plan(self.scenario.reply, self._agent_writes, chat, leg)

    def _agent_writes(self, chat: Chat, leg: int) -> None:
        if not self._stands(chat, leg, Stage.ACTIVE):
            return
        self.floor.agent_message(chat)
        if self._chance(self.scenario.ending):
            self._end(chat)
        elif self._chance(self.scenario.transferred) and len(self.departments) > 1:
            self._transfer(chat)
        else:
            self._plan(self.scenario.reaction, self._visitor_writes, chat, leg)

    def _transfer(self, chat: Chat) -> None:
        agent = chat.agent
        others = [one for one in self.departments if one != chat.department_id]
        self.floor.transfer(chat, self._random.choice(others), self.now)
        self._wait(chat)
        self._offer_work(agent)

    def _end(self, chat: Chat) -> None:
        agent = chat.agent
        self.floor.end(chat)
        rated = self._random.random()
        if rated < self.scenario.rated_good + self.scenario.rated_bad:
            good = rated < self.scenario.rated_good
            self._plan(self.scenario.rating_after, self._rating, chat.department_id, "good" if good else "bad")
        self._offer_work(agent)

    def _rating(self, department_id: int, rating: str) -> None:
        self.floor.rate(department_id, good=rating == "good", now=self.now)
