"""Wires the connector by hand, in one place: which parts there are and who knows whom."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from connector import __version__
from connector.adapters.framing import Decoder, Encoder
from connector.adapters.group import FixedOwnership, Group
from connector.adapters.kafka import TransactionalSink
from connector.adapters.log import kafka_logger
from connector.adapters.producers import Producers
from connector.adapters.recovery import Recovery
from connector.adapters.rest import tls_context
from connector.adapters.schema_files import by_topic, subject_of
from connector.adapters.websocket import Endpoint, run_session
from connector.domain.batcher import Batcher
from connector.domain.records import METRIC_UPDATE, Recorder
from connector.domain.routes import VARYING
from connector.errors import SchemaError
from connector.protocol.session import Session
from connector.runtime.backoff import Backoff
from connector.runtime.follower import Follower
from connector.runtime.pipeline import Pipeline
from connector.runtime.publisher import Publisher
from connector.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterable

    from connector.adapters.journal import Journal
    from connector.adapters.lookup import Lookup
    from connector.config import Config, Source
    from connector.domain.events import Event
    from connector.domain.model import Series
    from connector.errors import ConnectorError
    from connector.runtime.budget import Budget


class Build:
    """The parts of one connector, made from its configuration.

    Args:
        token: reads the token anew, before each session.
        resolve: looks the departments up anew; the configured series.
    """

    def __init__(
        self,
        config: Config,
        *,
        budget: Budget,
        token: Callable[[], Awaitable[str]],
        resolve: Callable[[], Awaitable[tuple[Series, ...]]],
        observers: Iterable[Callable[[Event], None]],
    ) -> None:
        self._config = config
        self._budget = budget
        self._token = token
        self._resolve = resolve
        self._names = config.names
        self._kafka = {**config.kafka.connection(), "logger": kafka_logger()}
        self.metrics: tuple[str, ...] = ()
        """Metrics topics, known once `place` was called."""
        self._ids: dict[str, int] = {}
        self._decode: Callable[[bytes], dict[str, Any]] = _undecodable
        self.producers = Producers()
        self.journals: dict[int, Journal] = {}
        """By shard, as they were made last."""
        self.pipeline = Pipeline(partitions=config.kafka.partitions, shards=config.kafka.shards, observers=observers)

        source = config.source
        self.follower = Follower(
            self.pipeline,
            self._connect,
            budget=budget,
            backoff=Backoff(source.backoff.initial, source.backoff.maximum),
            auth_backoff=source.auth_backoff,
        )

    def place(self, series: tuple[Series, ...]) -> None:
        """Say which metrics topics the series that are configured at first need."""
        self.metrics = tuple(sorted({*self._config.metrics_topics(), *self._names.metrics_all(series)}))

    async def learn(self, lookup: Lookup) -> None:
        """Ask the registry for ids and for every version that recovery may meet; it is never asked again.

        Raises:
            SchemaError, RegistryUnavailable
        """
        topics = by_topic(self._names, self.metrics)
        ids = await lookup.verify_registered(topics)
        self._ids = {name: ids[subject_of(topic)] for topic, name in topics.items()}
        self._decode = Decoder(lookup.schema_of)

    def supervisor(self, series: tuple[Series, ...]) -> Supervisor:
        """The whole connector, ready to run, with the series configured at first; `place` and `learn` come before."""
        config = self._config
        discovers = config.every_department or bool(config.department_names)
        return Supervisor(
            series,
            pipeline=self.pipeline,
            ownership=self._ownership(),
            make_publisher=self._publisher,
            follower=self.follower,
            resolve=self._resolve,
            refresh=config.source.department_refresh if discovers else None,
            timeout=config.shutdown_timeout,
        )

    def _ownership(self) -> Group | FixedOwnership:
        config = self._config
        if config.ownership == "fixed":
            return FixedOwnership(config.kafka.shards)
        return Group(
            {**self._kafka, "client.id": config.instance},
            group=self._names.group,
            control=self._names.control,
            session_timeout=config.kafka.session_timeout,
            release=config.kafka.session_timeout,
        )

    def _publisher(self, shard: int) -> Publisher:
        config = self._config
        return Publisher(
            shard,
            sink=self._sink(shard),
            recorder=Recorder(
                self._names,
                account=config.account,
                owner=config.instance,
                version=__version__,
                shard=shard,
                shards=config.kafka.shards,
                partitions=config.kafka.partitions,
                latest_partitions=config.kafka.latest_partitions,
                heartbeat_ms=int(config.heartbeat.interval * 1000),
                headers=config.headers,
                payload_bytes=config.source.max_frame,
                form=Encoder(METRIC_UPDATE, self._ids[METRIC_UPDATE]).varying(VARYING),
            ),
            batcher=Batcher(
                min_interval=config.batch.min_interval,
                max_records=config.batch.max_records,
                max_bytes=config.batch.max_bytes,
                heartbeat=config.heartbeat.interval,
            ),
            source=self.pipeline,
            emit=self.pipeline.handle,
            backoff=Backoff(0.2, 10.0),
            owner=config.instance,
            collapse_repeats=config.collapse_repeats,
            **self._buffer(shard),
        )

    def _buffer(self, shard: int) -> dict[str, Any]:
        """How much may wait, and where."""
        buffer = self._config.buffer
        if buffer.disk is None:
            return {"room": buffer.max_updates}
        from connector.adapters.journal import Journal

        self.journals[shard] = Journal(buffer.disk.path / f"{self._config.account}-{shard}.journal")
        return {
            "room": max(buffer.disk.max_updates, buffer.max_updates),
            "memory": buffer.max_updates,
            "journal": self.journals[shard],
            "sync_interval": buffer.disk.sync_interval,
        }

    def _sink(self, shard: int) -> TransactionalSink:
        config = self._config
        recovery = Recovery(
            self._kafka,
            self._decode,
            account=config.account,
            topics=self._names,
            metrics=self.metrics,
            shard=shard,
            shards=config.kafka.shards,
            partitions=config.kafka.partitions,
            latest_partitions=config.kafka.latest_partitions,
            underway=config.source.ping_interval + config.source.ping_timeout,
            timeout=config.kafka.transaction_timeout + 15.0,
        )
        return TransactionalSink(
            {**self._kafka, "transactional.id": self._names.transactional_id(shard)},
            {name: Encoder(name, schema_id) for name, schema_id in self._ids.items()},
            recovery,
            transaction_timeout=config.kafka.transaction_timeout,
            slow_commit=config.kafka.slow_commit,
            producers=self.producers,
        )

    async def _connect(
        self,
        session_id: str,
        emit: Callable[[Event], None],
        opened: Callable[[Session, asyncio.Event], None],
        take_over: Callable[[], Awaitable[None]],
    ) -> ConnectorError:
        source = self._config.source
        make_session = partial(
            _session,
            session_id,
            self.pipeline.followed,
            auth_timeout=source.auth_timeout,
            subscribe_rate=source.subscribe_rate,
            unsubscribe=source.unsubscribe,
        )
        token = await self._token()
        return await run_session(
            endpoint_of(source), token, session_id, make_session, emit, opened=opened, take_over=take_over
        )


def endpoint_of(source: Source) -> Endpoint:
    """Where the configured source is."""
    return Endpoint(
        source.url,
        open_timeout=source.open_timeout,
        ping_interval=source.ping_interval,
        ping_timeout=source.ping_timeout,
        probe_interval=source.probe_interval,
        max_frame=source.max_frame,
        compression=source.compression,
        tls=tls_context(source.url, source.ca_file),
        client=source.client,
    )


def _session(session_id: str, series: tuple[Series, ...], now: float, **settings: Any) -> Session:
    return Session(session_id, series, now=now, **settings)


def _undecodable(_: bytes) -> dict[str, Any]:
    raise SchemaError("the registry was not asked yet")
