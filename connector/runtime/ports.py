"""What the runtime needs of the world outside; the adapters provide it, the tests bring their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from connector.domain.queue import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from connector.domain.model import Progress, Record, Series
    from connector.domain.rows import Hints


class Sink(Protocol):
    """What a publisher needs of Kafka; `adapters.kafka.TransactionalSink` is the real one."""

    @property
    def suspect(self) -> str | None:
        """Why the producer has to be replaced before the next transaction."""

    async def acquire(self) -> Progress:
        """Fence earlier owners, then read the shard's progress."""

    async def commit(self, make: Callable[[Hints], Iterable[Record]]) -> float:
        """One transaction; seconds it took."""

    async def close(self) -> None:
        """Let the producer go."""


class Source(Protocol):
    """What a heartbeat says of the session; `runtime.pipeline.Pipeline` knows it."""

    def proof_us(self) -> int | None:
        """Up to when the open session is known to be whole; None without a session."""

    def beat(self, series: Iterable[Series]) -> dict[str, Any]:
        """The fields of `Beat` that describe the session."""


class Journal(Store, Protocol):
    """What a publisher needs of the disk; `adapters.journal.Journal` is the real one."""

    recording: bool

    def begin(self, *owners: tuple[str, int]) -> None:
        """Record what continues the work of these owners."""

    def end(self) -> None:
        """Everything is committed."""

    def sync(self) -> None:
        """Wait for the disk."""

    def owners(self) -> set[tuple[str, int]]:
        """Whom the entries continue."""

    def items(self) -> Iterator[tuple[int, Any]]:
        """Every entry by number."""

    def discard(self, numbers: Iterable[int]) -> None:
        """Forget these."""

    def clear(self) -> None:
        """Forget everything."""

    def close(self) -> None:
        """Write what is left."""
