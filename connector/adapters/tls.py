"""The one way in which every connection of ours is encrypted."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def verified(ca_file: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or newer with a certificate that an authority of ``ca_file`` (None: of the system) gave to the host.

    Raises:
        OSError: the file cannot be read or holds no certificate (ssl.SSLError).
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
