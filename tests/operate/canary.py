"""Secrets that are easy to find again, and where to look for them.

A canary is searched for in every form that a secret may take on its way out: plain, escaped, URL-encoded, in base64
at any alignment, and in hexadecimal.
"""

from __future__ import annotations

import base64
import json
import uuid
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


class Hit(NamedTuple):
    """A canary that got out."""

    canary: str
    place: str
    text: str


def hatch(name: str) -> str:
    """A secret with characters that every encoding changes; alphanumerical for SASL's sake at both ends."""
    return f"canary-{name}-{uuid.uuid4().hex[:12]}+/=?&\"'é%end"


def plain(name: str) -> str:
    """The same for what must be a token: printable ASCII without blanks."""
    return f"canary-{name}-{uuid.uuid4().hex[:12]}+/=end"


def forms(secret: str) -> dict[str, str]:
    """How the secret may look, by name of the form. Written independently of the product's own list."""
    raw = secret.encode()
    found = {
        "plain": secret,
        "json": json.dumps(secret)[1:-1],
        "repr": repr(secret)[1:-1],
        "url": quote(secret, safe=""),
        "url path": quote(secret),
        "form": quote_plus(secret),
        "hex": raw.hex(),
    }
    for before in range(3):
        # Only the characters that do not depend on what stands around the secret.
        text = base64.b64encode(b"\0" * before + raw + b"\0" * (-(before + len(raw)) % 3)).decode()
        inner = text[(before * 8 + 5) // 6 : (before + len(raw)) * 8 // 6]
        found[f"base64 at {before}"] = inner
        found[f"base64url at {before}"] = inner.replace("+", "-").replace("/", "_")
    return found


def hits(canaries: Mapping[str, str], places: Mapping[str, str | bytes]) -> list[Hit]:
    """Every canary in every place: ``canaries`` by name, ``places`` are texts or bytes by name."""
    found = []
    for place, content in places.items():
        data = content if isinstance(content, bytes) else content.encode()
        for name, secret in canaries.items():
            for form, text in forms(secret).items():
                at = data.find(text.encode())
                if at >= 0:
                    around = data[max(0, at - 60) : at + 20].decode(errors="replace")
                    found.append(Hit(f"{name} ({form})", place, around))
                    break
    return found


def files(folder: Path, *, without: Iterable[Path] = ()) -> dict[str, bytes]:
    """The content of every file of a folder, but the files that hold the secrets by design."""
    left_out = {path.resolve() for path in without}
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.resolve() not in left_out]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
