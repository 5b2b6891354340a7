"""The support floor: what can happen to chats and agents, and what it does to the metrics.

Definitions (the API's pages "Chat Metrics", "Agent Metrics" and the Real-Time Monitor's articles):

incoming_chats      requests not yet assigned to an agent
assigned_chats      assigned, not yet served
active_chats        being served
waiting_time        of each visitor not yet served, since the request (or the transfer)
chat_duration       of each chat being served, since it was served
response_time       of each served visitor without a reply, since the first unanswered message
missed_chats        visitors who left unserved, within the window
satisfaction_*      chats rated, within the window
agents_*            agents who are logged in with that status; one in two departments counts in both,
                    and once in the account

Everything is counted in the department and in the account. No randomness here: `World` decides what
happens, the floor says what it means.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from connector.domain.metrics import WINDOWS
from connector.emulator.people import OFFLINE, Agent, Chat, Stage
from connector.emulator.tally import Tally, Value

if TYPE_CHECKING:
    from connector.domain.model import Series

MINUTE = 60_000
"""Milliseconds."""


class Floor:
    """Chats and agents of one account; `now` is simulated milliseconds and never runs backwards."""

    def __init__(self) -> None:
        self.account = Tally(None)
        self.tallies: dict[int | None, Tally] = {None: self.account}
        self.chats: dict[int, dict[int, Chat]] = {}
        self._touched: dict[Tally, None] = {}
        self._ageing: dict[int, deque[tuple[int, int, str]]] = {window: deque() for window in WINDOWS}

    # Departments

    def open_department(self, department_id: int) -> None:
        """Add a department without agents and chats."""
        self.tallies[department_id] = Tally(department_id)
        self.chats[department_id] = {}

    def close_department(self, department_id: int) -> None:
        """Remove a department; its chats end, its windowed counts stay in the account's."""
        for chat in list(self.chats[department_id].values()):
            self._leave(chat)
        del self.chats[department_id]
        self._touched.pop(self.tallies.pop(department_id), None)

    # Chats

    def arrive(self, chat: Chat, now: int) -> None:
        """A visitor asks for a chat."""
        chat.stage = Stage.INCOMING
        self.chats[chat.department_id][chat.id] = chat
        for tally in self._scopes(chat.department_id):
            tally.add("incoming_chats", 1)
            tally.start("waiting_time", chat.id, now)

    def assign(self, chat: Chat, agent: Agent) -> None:
        """Routing gives the chat to an agent."""
        chat.stage, chat.agent = Stage.ASSIGNED, agent
        agent.chats += 1
        for tally in self._scopes(chat.department_id):
            tally.add("incoming_chats", -1)
            tally.add("assigned_chats", 1)

    def serve(self, chat: Chat, now: int) -> None:
        """The agent sends the first message."""
        chat.stage = Stage.ACTIVE
        for tally in self._scopes(chat.department_id):
            tally.add("assigned_chats", -1)
            tally.add("active_chats", 1)
            tally.stop("waiting_time", chat.id)
            tally.start("chat_duration", chat.id, now)

    def visitor_message(self, chat: Chat, now: int) -> None:
        """A served visitor writes and waits for a reply."""
        for tally in self._scopes(chat.department_id):
            tally.start("response_time", chat.id, now)

    def agent_message(self, chat: Chat) -> None:
        """The agent replies to all that was written."""
        for tally in self._scopes(chat.department_id):
            tally.stop("response_time", chat.id)

    def transfer(self, chat: Chat, department_id: int, now: int) -> None:
        """A served chat moves to another department, where it waits again."""
        self._leave(chat)
        chat.department_id = department_id
        chat.leg += 1
        self.arrive(chat, now)

    def end(self, chat: Chat) -> None:
        """A served chat ends."""
        self._leave(chat)

    def miss(self, chat: Chat, now: int) -> None:
        """A visitor who was not served leaves."""
        self._leave(chat)
        self._record("missed_chats", chat.department_id, now)

    def rate(self, department_id: int, *, good: bool, now: int) -> None:
        """A visitor rates a chat of that department."""
        self._record("satisfaction_good" if good else "satisfaction_bad", department_id, now)

    def _leave(self, chat: Chat) -> None:
        self.chats[chat.department_id].pop(chat.id)
        for tally in self._scopes(chat.department_id):
            tally.add(f"{chat.stage.value}_chats", -1)
            if chat.stage is not Stage.ACTIVE:
                tally.stop("waiting_time", chat.id)
                continue
            tally.stop("chat_duration", chat.id)
            tally.stop("response_time", chat.id)
        chat.stage = Stage.OVER
        if chat.agent is not None:
            chat.agent.chats -= 1
            chat.agent = None

    # Agents

    def set_status(self, agent: Agent, status: str) -> None:
        """An agent logs in, out or changes status."""
        for department_id in (None, *agent.departments):
            self._count_agent(department_id, agent.status, -1)
            self._count_agent(department_id, status, 1)
        agent.status = status

    def join_department(self, agent: Agent, department_id: int) -> None:
        """An agent starts to work in one more department."""
        agent.departments = (*agent.departments, department_id)
        self._count_agent(department_id, agent.status, 1)

    def _count_agent(self, department_id: int | None, status: str, amount: int) -> None:
        if status != OFFLINE and department_id in self.tallies:
            tally = self.tallies[department_id]
            tally.add(f"agents_{status}", amount)
            self._touched[tally] = None

    # Windows

    def _record(self, key: str, department_id: int, now: int) -> None:
        for tally in self._scopes(department_id):
            for window in WINDOWS:
                tally.add_recent(key, window, 1)
        for window in WINDOWS:
            self._ageing[window].append((now + window * MINUTE, department_id, key))

    def next_ageing(self) -> int | None:
        """When the next counted event leaves its window."""
        return min((queue[0][0] for queue in self._ageing.values() if queue), default=None)

    def age(self, now: int) -> None:
        """Let the events older than their window go."""
        for window, queue in self._ageing.items():
            while queue and queue[0][0] <= now:
                _, department_id, key = queue.popleft()
                for tally in self._scopes(department_id):
                    tally.add_recent(key, window, -1)

    # Values

    def value(self, series: Series, now: int) -> Value:
        """The value of a series by its definition; seconds, None when no chat applies.

        Raises:
            KeyError: there is no such department.
        """
        return self.tallies[series.department_id].readers[series](now)

    def take_touched(self) -> list[Series]:
        """The series that events affected since the last call."""
        series = [one for tally in self._touched for one in tally.take_touched()]
        self._touched.clear()
        return series

    def _scopes(self, department_id: int) -> list[Tally]:
        department = self.tallies.get(department_id)
        scopes = [self.account] if department is None else [department, self.account]
        self._touched.update(dict.fromkeys(scopes))
        return scopes
