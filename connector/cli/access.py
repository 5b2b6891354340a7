"""How a running connector reaches the source: its token and its departments, read anew each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from connector.config import read_secret

if TYPE_CHECKING:
    from connector.config import Config
    from connector.domain.model import Series
    from connector.runtime.budget import Budget


class Access:
    """Token and departments of one account, within the request budget."""

    def __init__(self, config: Config, budget: Budget) -> None:
        self._config = config
        self._budget = budget

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def token(self) -> str:
        return read_secret(self._config.source.token_file, "source.token_file")

    async def series(self) -> tuple[Series, ...]:
        return self._config.series({}, ())
