"""The control API: everything that can go wrong, on command.

``POST /_control/{command}`` with the arguments as a JSON object; ``GET /_control/stats``. The commands
are the public methods of `Control`, with ``-`` for ``_``.
"""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
from typing import TYPE_CHECKING, Any

from connector.domain.model import Series
from connector.emulator import frames
from connector.emulator.behaviour import change
from connector.emulator.connection import Connection
from connector.emulator.gate import PLACES, Refusal
from connector.errors import ConfigError

if TYPE_CHECKING:
    from connector.emulator.server import Emulator

Result = dict[str, Any]


class Control:
    """Commands to a running emulator. Each returns a JSON object; `session` names one, else all are meant.

    Raises:
        ConfigError: the arguments make no sense.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def obey(self, command: str, arguments: dict[str, Any]) -> Result:
        """Carry out a command by its name."""
        name = command.replace("-", "_")
        method = getattr(self, name, None)
        if method is None or name.startswith("_") or name == "obey":
            raise ConfigError(f"command {command!r} does not exist: use {', '.join(commands())}")
        try:
            inspect.signature(method).bind(**arguments)
            result: Result = method(**arguments)
        except KeyError as error:
            raise ConfigError(f"{command}: {error} does not exist") from None
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{command}: {error}") from None
        return result

    # Sessions

    def drop(self, session: str | None = None, mode: str = "close", code: int = 1000, reason: str = "") -> Result:
        """End sessions: mode close (frame with `code`), fin, reset (RST) or half-open."""
        ways = {
            "close": lambda one: one.close(code, reason),
            "fin": Connection.cut,
            "reset": Connection.reset,
            "half-open": Connection.freeze,
        }
        if mode not in ways:
            raise ConfigError(f"drop: mode {mode!r} does not exist: use {', '.join(ways)}")
        chosen = self._sessions(session)
        for connection in chosen:
            ways[mode](connection)
        return {"sessions": len(chosen)}

    def delay(self, ms: float, session: str | None = None) -> Result:
        """Hold the frames of open sessions back for `ms` milliseconds from now on; 0 ends it."""
        seconds = float(ms) / 1000
        chosen = self._sessions(session)
        for connection in chosen:
            connection.delay = seconds
        return {"sessions": len(chosen)}

    def raw(
        self,
        text: str | None = None,
        base64: str | None = None,
        *,
        binary: bool = False,
        session: str | None = None,
        kind: str = "malformed",
    ) -> Result:
        """Send a frame with exactly these bytes."""
        payload = _decoded(base64) if text is None else text.encode()
        frame = frames.data_frame(kind, payload, frames.BINARY if binary else frames.TEXT)
        chosen = self._sessions(session)
        for connection in chosen:
            connection.session.outbox.append(frame)
            connection.flush()
        return {"sessions": len(chosen)}

    # Values

    def value(self, series: str, value: Any = None, raw: str | None = None) -> Result:
        """Push one value of one series: a JSON value, or the literal itself as `raw`."""
        literal = json.dumps(value) if raw is None else raw
        return self._pushed([self._emulator.world.set_value(Series.parse(series), literal)])

    def cold(self, *, on: bool = True) -> Result:
        """Nothing is computed, until switched off; then every series is pushed."""
        hub = self._emulator.hub
        if on:
            hub.cold = True
            return {"frames": 0}
        sent = hub.thaw()
        self._emulator.flush()
        return {"frames": sent}

    def flood(self, seconds: float, rate: float | None = None, size: int = 1000, session: str | None = None) -> Result:
        """Push `size` pre-made updates over and over for a while, at `rate` or flat out."""
        self._emulator.blast(size=int(size), rate=rate, seconds=float(seconds), only=session)
        return {"seconds": seconds}

    def _pushed(self, changes: list[tuple[Series, str]]) -> Result:
        sent = self._emulator.push(changes)
        self._emulator.flush()
        return {"frames": sent, "changes": len(changes)}

    # Time

    def pause(self) -> Result:
        """Let the world stand still."""
        self._emulator.pump.paused = True
        return {"paused": True}

    def resume(self) -> Result:
        """Let the world go on."""
        self._emulator.pump.paused = False
        return {"paused": False}

    def advance(self, seconds: float) -> Result:
        """Let that much simulated time pass at once, paused or not."""
        world = self._emulator.world
        until = world.now + int(seconds * 1000)
        sent = count = 0
        while world.next_at() <= until:
            changes = world.step()
            count += len(changes)
            sent += self._emulator.push(changes)
        world.run_until(until)
        self._emulator.flush()
        return {"frames": sent, "changes": count, "now": world.now / 1000}

    def pace(self, rate: float | None = None, speed: float = 1.0) -> Result:
        """Change the rate of frames a second; without one, simulated seconds per second."""
        if (rate is not None and rate <= 0) or speed <= 0:
            raise ConfigError("pace: rate and speed must be above 0; use pause to stop")
        self._emulator.pump.rate, self._emulator.pump.speed = rate, float(speed)
        return {"rate": rate, "speed": speed}

    # The door

    def refuse(
        self,
        status: int,
        seconds: float = float("inf"),
        count: int | None = None,
        where: str = "stream",
        retry_after: int | None = None,
        body: str | None = None,
    ) -> Result:
        """Answer requests with that HTTP status: for a while, a number of times, or until `accept`."""
        if where not in PLACES:
            raise ConfigError(f"refuse: where {where!r} does not exist: use {', '.join(PLACES)}")
        until = asyncio.get_running_loop().time() + seconds
        self._emulator.gate.refusals.append(Refusal(int(status), until, where, count, retry_after, body))
        return {"status": status}

    def accept(self) -> Result:
        """End every refusal."""
        self._emulator.gate.refusals.clear()
        return {}

    def limits(self, **limits: int) -> Result:
        """Change per_minute, per_account, per_agent; 0 switches one off."""
        unknown = limits.keys() - {"per_minute", "per_account", "per_agent"}
        if unknown:
            raise ConfigError(
                f"limits: {', '.join(sorted(unknown))} does not exist: per_minute, per_account, per_agent"
            )
        for name, limit in limits.items():
            setattr(self._emulator.gate.limits, name, int(limit))
        return dict(limits)

    def token(self, token: str, role: str) -> Result:
        """Make a token valid."""
        self._emulator.gate.accounts.add(token, role)
        return {"role": role}

    def revoke(self, token: str) -> Result:
        """Make a token invalid; its open sessions are closed or kept, as the switch says."""
        known = self._emulator.gate.accounts.revoke(token)
        hit = [one for one in self._sessions(None) if one.token == token]
        if self._emulator.behaviour.revocation == "close":
            for connection in hit:
                connection.close(self._emulator.behaviour.close_code, "token revoked")
        return {"revoked": known, "sessions": len(hit)}

    # The account

    def add_department(self, department_id: int, name: str) -> Result:
        """Open a department, with agents of its own."""
        if department_id in self._emulator.world.departments:
            raise ConfigError(f"add-department: department {department_id} exists")
        return self._pushed(self._emulator.world.add_department(int(department_id), name))

    def remove_department(self, department_id: int) -> Result:
        """Close a department; its series fall silent."""
        return self._pushed(self._emulator.world.remove_department(department_id))

    def rename_department(self, department_id: int, name: str) -> Result:
        """Give a department another name."""
        self._emulator.world.departments[department_id].name = name
        return {"name": name}

    def enable_department(self, department_id: int, *, enabled: bool = True) -> Result:
        """Show a department as enabled or not."""
        self._emulator.world.departments[department_id].enabled = enabled
        return {"enabled": enabled}

    # The emulator itself

    def behaviour(self, **switches: Any) -> Result:
        """Change switches; returns all of them."""
        change(self._emulator.behaviour, switches)
        self._emulator.apply_behaviour()
        return dict(vars(self._emulator.behaviour))

    def stats(self) -> Result:
        """What happened so far; everything journaled so far is in the file afterwards."""
        emulator = self._emulator
        if emulator.journal is not None:
            emulator.journal.flush()
        sessions = [self._shown(one) for one in emulator.connections.values()]
        limits = emulator.gate.limits
        return {
            "frames": emulator.frames_of_closed + sum(one.frames for one in emulator.connections.values()),
            "updates": emulator.pushed,
            "connects": emulator.opened,
            "sessions": sessions,
            "requests_last_minute": limits.requests(asyncio.get_running_loop().time()),
            "refused_by_limits": limits.refused,
            "departments": list(emulator.world.departments),
            "now": emulator.world.now / 1000,
            "paused": emulator.pump.paused,
            "cold": emulator.hub.cold,
        }

    def shutdown(self) -> Result:
        """End the emulator."""
        self._emulator.finished.set()
        return {}

    def _sessions(self, session: str | None) -> list[Connection]:
        return [one for one in self._emulator.connections.values() if session in (None, one.session.id)]

    @staticmethod
    def _shown(connection: Connection) -> Result:
        return {
            "session": connection.session.id,
            "connection": connection.number,
            "frames": connection.frames,
            "subscriptions": len(connection.session.subscriptions),
            "half_open": connection.half_open,
            "unsent": connection.unsent,
        }


def commands() -> list[str]:
    """The names of all commands."""
    names = (name for name, _ in inspect.getmembers(Control, inspect.isfunction))
    return [name.replace("_", "-") for name in names if not name.startswith("_") and name != "obey"]


def _decoded(text: str | None) -> bytes:
    if text is None:
        raise ConfigError("raw: give text or base64")
    return base64.b64decode(text, validate=True)
