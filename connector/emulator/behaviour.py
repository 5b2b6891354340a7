"""One switch for everything about the source that is not documented. The defaults are the likeliest answers."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_type_hints

from connector.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Setting = bool | int | float | str


def switch(default: Setting, doc: str, *choices: str) -> Any:
    """A field of `Behaviour`: its default, what it means and, for texts, what it may be."""
    return field(default=default, metadata={"doc": doc, "choices": choices})


@dataclass(kw_only=True)
class Behaviour:
    """How the emulator decides what the documentation leaves open. May be changed while it runs."""

    auth_frame: bool = switch(True, "send the authentication frame first")
    unauthorised: str = switch("frame", "a bad token gets a 401 frame, or HTTP 401 before the upgrade", "frame", "http")
    snapshot: bool = switch(True, "push the current value on subscribing")
    ack: bool = switch(False, "acknowledge subscribe and unsubscribe with a frame")
    unknown_topic: str = switch("500", "reply to an unknown metric or action", "500", "ignore")
    unknown_window: str = switch("500", "reply to a window other than 30 and 60", "500", "ignore")
    unknown_department: str = switch("500", "reply to a department that does not exist", "500", "ignore")
    missing_window: str = switch("500", "reply to a windowed metric without a window", "500", "both")
    extra_window: str = switch("ignore", "reply to a window on a metric without windows", "ignore", "500")
    close_on_500: bool = switch(False, "close the session after a 500 frame")
    unsubscribe: str = switch(
        "exact", "what an unsubscribe drops: that variant, every variant of the metric, only the account-wide ones",
        "exact", "all", "global",
    )  # fmt: skip
    duplicates: bool = switch(False, "deliver twice what was subscribed twice")
    several_keys: bool = switch(False, "put what one event changed into one frame")
    both_windows: bool = switch(False, "an update of a windowed metric carries both windows")
    ageing: bool = switch(False, "push windowed counts when events leave the window")
    durations: str = switch("event", "snapshots and REST show durations as last pushed, or as of now", "event", "live")
    float_averages: bool = switch(False, "averages with two decimals instead of integers")
    negatives: float = switch(0.0, "probability that active_chats is -1 when it changes")
    cold: str = switch("message", 'while nothing is computed: a "Not Computed!" frame, or nulls', "message", "null")
    ping_interval: float = switch(0.0, "seconds between the server's pings; 0 for none")
    idle_timeout: float = switch(0.0, "seconds without a message or ping of the client until it is closed; 0 for none")
    max_age: float = switch(0.0, "seconds until a session is closed; 0 for none")
    close_code: int = switch(1000, "close code of idle_timeout, max_age and revocation; 1005 is an empty frame")
    revocation: str = switch("close", "what a revoked token does to open sessions", "close", "keep")
    rate_limit_body: str = switch("json", "body of a 429", "json", "text")
    retry_after: bool = switch(True, "a 429 carries Retry-After")
    enabled: str = switch("int", "how the Departments API shows enabled", "int", "bool")
    deflate: bool = switch(False, "accept permessage-deflate")
    send_buffer: int = switch(
        64, "MiB that may wait for a client that does not read; then it is cut off; 0 for no limit"
    )


def describe() -> list[tuple[str, str, str]]:
    """Every switch: its name, its default and what it means (with the choices)."""
    return [(one.name, _text(one.default), _meaning(one.metadata)) for one in fields(Behaviour)]


def change(behaviour: Behaviour, settings: Mapping[str, Any]) -> None:
    """Set switches by name, from JSON values or from text (``on``, ``off``, numbers).

    Raises:
        ConfigError: no such switch, or not a value of it; nothing is changed then.
    """
    parsed = {name: _parse(name, value) for name, value in settings.items()}
    for name, value in parsed.items():
        setattr(behaviour, name, value)


def parse_switches(pairs: Iterable[str]) -> Behaviour:
    """The behaviour that ``name=value`` pairs describe.

    Raises:
        ConfigError: a pair is not of that form, or names no switch or no value of it.
    """
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"switch {pair!r}: write name=value, for instance snapshot=off")
        settings[name] = value
    behaviour = Behaviour()
    change(behaviour, settings)
    return behaviour


def _parse(name: str, value: Any) -> Setting:
    types = get_type_hints(Behaviour)
    if name not in types:
        near = get_close_matches(name, types, 1)
        raise ConfigError(f"switch {name!r} does not exist" + (f"; did you mean {near[0]!r}?" if near else ""))
    choices = Behaviour.__dataclass_fields__[name].metadata["choices"]
    try:
        return _convert(types[name], value, choices)
    except (KeyError, ValueError, TypeError):
        raise ConfigError(f"switch {name}={_text(value)}: expected {_expected(types[name], choices)}") from None


def _convert(kind: type, value: Any, choices: tuple[str, ...]) -> Setting:
    if kind is bool:
        return {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}[_text(value)]
    if kind is str:
        return choices[choices.index(_text(value))]
    number = int(value) if kind is int else float(value)
    if number < 0:
        raise ValueError(number)
    return number


def _expected(kind: type, choices: tuple[str, ...]) -> str:
    numbers = {int: "a whole number", float: "a number"}
    return numbers.get(kind) or " or ".join(choices or ("on", "off"))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value).lower()


def _meaning(metadata: Mapping[str, Any]) -> str:
    choices = metadata["choices"]
    return f"{metadata['doc']} ({' | '.join(choices)})" if choices else str(metadata["doc"])
