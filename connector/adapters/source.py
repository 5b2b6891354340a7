"""What the connector needs of the source besides the stream: a token, and which series are configured now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Self

from connector.adapters.answers import NotFound
from connector.adapters.rest import RestClient
from connector.errors import ConfigError, SourceRejected, SourceUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.adapters.answers import Department
    from connector.adapters.rest import Budget
    from connector.config import Config
    from connector.domain.model import Series

FEW: Final = 3
"""Up to so many names are looked up one by one; more cost less in one listing."""


class Departments(NamedTuple):
    """Ids of the departments configured by name, and of every department where ``*`` asks for them."""

    names: dict[str, int]
    every: tuple[int, ...] = ()
    missing: tuple[str, ...] = ()
    """Configured names that the account does not have."""
    known: dict[int, str] = {}  # noqa: RUF012 - a default of a tuple, never changed
    """Names by id, as far as they were looked up."""


async def resolve_departments(config: Config, client: RestClient) -> Departments:
    """Look up what the configuration names; asks nothing if it names ids only.

    Raises:
        ConfigError: a name stands for several departments.
        SourceRejected: the token may not read departments.
        SourceUnavailable
    """
    wanted = config.department_names
    if config.every_department or len(wanted) > FEW:
        known = await client.departments()
        found = {name: _named(name, known) for name in wanted}
    else:
        known = []
        found = {name: await _look_up(name, client) for name in wanted}
    return Departments(
        {name: one for name, one in found.items() if one is not None},
        tuple(sorted(one.id for one in known)) if config.every_department else (),
        tuple(name for name, one in found.items() if one is None),
        {one.id: one.name for one in known} | {one: name for name, one in found.items() if one is not None},
    )


async def _look_up(name: str, client: RestClient) -> int | None:
    try:
        return (await client.department_named(name)).id
    except NotFound:
        return None


def _named(name: str, known: Sequence[Department]) -> int | None:
    ids = [one.id for one in known if one.name == name]
    if len(ids) > 1:
        raise ConfigError(f"subscriptions: {len(ids)} departments are named {name!r}; configure them by id: {ids}")
    return ids[0] if ids else None


class Access:
    """Token and series of one configuration: ``async with Access(config, budget) as access``."""

    def __init__(self, config: Config, budget: Budget) -> None:
        self._config = config
        self._client = RestClient(config.source, budget)
        self._started = False
        self.departments: dict[int, str] = {}
        """Names by id, as far as they are known."""

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._client.__aexit__(*exception)

    async def token(self) -> str:
        """The access token, read or asked for anew.

        Raises:
            ConfigError, SourceRejected, SourceUnavailable
        """
        return await self._client.token()

    async def reconfigure(self, config: Config) -> tuple[Series, ...]:
        """The series of another configuration, which from now on is looked up; strict, as the first time.

        Raises:
            ConfigError, SourceRejected, SourceUnavailable: the old configuration stays.
        """
        old, self._config, self._started = self._config, config, False
        try:
            return await self.series()
        except Exception:
            self._config = old
            raise
        finally:
            self._started = True

    async def series(self) -> tuple[Series, ...]:
        """Every configured series, departments looked up anew.

        The first time a mistake ends the process. Later a department that is gone is left out, and a refusal is an
        outage: what runs goes on.

        Raises:
            ConfigError: a configured name is unknown (the first time only).
            SourceRejected: the token may not read departments (the first time only).
            SourceUnavailable
        """
        try:
            departments = await resolve_departments(self._config, self._client)
        except (ConfigError, SourceRejected) as error:
            if self._started:
                raise SourceUnavailable(str(error), reason="auth") from error
            raise
        if departments.missing and not self._started:
            name = departments.missing[0]
            remedy = "check its spelling; an id is written without quotes"
            raise ConfigError(f"subscriptions: the account has no department named {name!r}; {remedy}")
        self._started = True
        self.departments = departments.known
        return self._config.series(departments.names, departments.every)
