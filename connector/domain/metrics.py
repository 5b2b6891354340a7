"""The 15 metrics of the Streaming API: family, unit and window rule, in one table.

Source: the API's own pages "Chat Metrics" and "Agent Metrics".
"""

from __future__ import annotations

from typing import Final, NamedTuple

CHATS: Final = "chats"
AGENTS: Final = "agents"

WINDOWS: Final = (30, 60)
"""Window sizes in minutes that a windowed metric can be subscribed with."""


class Metric(NamedTuple):
    """One metric key of the API.

    ``unit`` is the unit of its values: chats, agents, ratings or seconds.
    ``windowed`` metrics must be subscribed with one of `WINDOWS`, the others without.
    """

    family: str
    key: str
    unit: str
    windowed: bool
    meaning: str


METRICS: Final = (
    Metric(CHATS, "incoming_chats", "chats", False, "requests not yet assigned to an agent"),
    Metric(CHATS, "assigned_chats", "chats", False, "chats assigned to an agent, not yet served"),
    Metric(CHATS, "active_chats", "chats", False, "chats being served now"),
    Metric(CHATS, "missed_chats", "chats", True, "visitors who left unserved within the window"),
    Metric(CHATS, "satisfaction_good", "ratings", True, "chats rated good within the window"),
    Metric(CHATS, "satisfaction_bad", "ratings", True, "chats rated bad within the window"),
    Metric(CHATS, "waiting_time_avg", "seconds", False, "mean wait of the visitors now queued"),
    Metric(CHATS, "waiting_time_max", "seconds", False, "longest wait of the visitors now queued"),
    Metric(CHATS, "chat_duration_avg", "seconds", False, "mean duration of the chats now served"),
    Metric(CHATS, "chat_duration_max", "seconds", False, "longest duration of the chats now served"),
    Metric(CHATS, "response_time_avg", "seconds", False, "mean wait of visitors for a reply now"),
    Metric(CHATS, "response_time_max", "seconds", False, "longest wait of a visitor for a reply now"),
    Metric(AGENTS, "agents_online", "agents", False, "agents logged in with status online"),
    Metric(AGENTS, "agents_away", "agents", False, "agents logged in with status away"),
    Metric(AGENTS, "agents_invisible", "agents", False, "agents logged in with status invisible"),
)

BY_NAME: Final = {f"{metric.family}.{metric.key}": metric for metric in METRICS}
"""Metrics by the name that a subscribe message carries, e.g. ``chats.missed_chats``."""
