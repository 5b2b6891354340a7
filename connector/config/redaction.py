"""Hides the values of secrets in whatever is about to be shown, in every form they usually take."""

import base64
import json
import re
from typing import Final
from urllib.parse import quote, quote_plus

MARK: Final = "[redacted]"
SHORTEST: Final = 4
"""Characters; hiding shorter texts would make everything unreadable."""

REMEMBERED: Final = 256
"""Secrets; replaced ones are still hidden for a while."""

_known: dict[str, None] = {}
_pattern: re.Pattern[str] | None = None


def remember(secret: str) -> None:
    """From now on `redact` hides this text."""
    global _pattern  # noqa: PLW0603 - one process has one set of secrets
    parts = [line for line in secret.splitlines() if _is_secret(line)] or [secret]
    new = [part for part in parts if len(part) >= SHORTEST and part not in _known]
    if not new:
        return
    _known.update(dict.fromkeys(new))
    while len(_known) > REMEMBERED:
        del _known[next(iter(_known))]
    forms = {form for part in _known for form in forms_of(part)}
    _pattern = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))


def redact(text: str) -> str:
    """The text without any secret that was read so far."""
    return text if _pattern is None else _pattern.sub(MARK, text)


def forms_of(secret: str) -> set[str]:
    """The secret raw, escaped, URL-encoded and in base64, alone or inside something longer."""
    raw = secret.encode()
    encoded = quote(secret, safe="")
    lower = re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), encoded)
    forms = {secret, encoded, lower, quote(secret), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        forms |= {_inside(encode(bytes(shift) + raw).decode(), shift, len(raw)) for shift in range(3)}
    return {form for form in forms if len(form) >= SHORTEST}


def _inside(encoded: str, shift: int, length: int) -> str:
    """The characters of a base64 text that depend on the secret alone, whatever stands around it."""
    return encoded[-(-shift * 8 // 6) : (shift + length) * 8 // 6]


def _is_secret(line: str) -> bool:
    """In a PEM file the lines between the marks."""
    return bool(line.strip()) and not line.startswith("-----")
