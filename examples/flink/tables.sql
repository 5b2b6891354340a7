-- Every topic of the connector as a table. Run before any other file of this folder.
-- ${NAME:-default} is an environment variable; RunSql.java fills it in.
-- A DDL may leave columns out: Avro resolves them by name. Times are TIMESTAMP(3), in UTC.

-- One row per update. A row may come 5 s late: one transaction becomes visible partition by partition.
-- While no update comes (30 s) the table does not hold a watermark back; the heartbeats then move it.
CREATE TABLE metrics (
  k STRING,
  event_id STRING NOT NULL,
  account STRING NOT NULL,
  family STRING NOT NULL,
  metric STRING NOT NULL,
  department_id BIGINT,
  window_minutes INT,
  `value` DOUBLE,
  value_raw STRING,
  unit STRING NOT NULL,
  origin STRING NOT NULL,
  received_at TIMESTAMP(3) NOT NULL,
  received_at_us BIGINT,
  series STRING NOT NULL,
  sequence BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  session_id STRING NOT NULL,
  frame BIGINT NOT NULL,
  batch_id BIGINT NOT NULL,
  WATERMARK FOR received_at AS received_at - INTERVAL '5' SECOND
) WITH (
  'connector' = 'kafka',
  'topic' = '${PREFIX:-zendesk.chat}.metrics',
  'properties.bootstrap.servers' = '${KAFKA_BOOTSTRAP_SERVERS:-localhost:9092}',
  'properties.isolation.level' = '${ISOLATION:-read_committed}',
  'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = '${BOUNDED:-unbounded}',
  'scan.watermark.idle-timeout' = '${IDLE:-30 s}',
  'key.format' = 'raw',
  'key.fields' = 'k',
  'value.fields-include' = 'EXCEPT_KEY',
  'value.format' = 'avro-confluent',
  'value.avro-confluent.url' = '${SCHEMA_REGISTRY_URL:-http://localhost:8081}'
);

-- The newest value of each series; a tombstone deletes its row.
CREATE TABLE latest (
  k STRING NOT NULL,
  event_id STRING NOT NULL,
  account STRING NOT NULL,
  family STRING NOT NULL,
  metric STRING NOT NULL,
  department_id BIGINT,
  window_minutes INT,
  `value` DOUBLE,
  value_raw STRING,
  unit STRING NOT NULL,
  origin STRING NOT NULL,
  received_at TIMESTAMP(3) NOT NULL,
  received_at_us BIGINT,
  series STRING NOT NULL,
  sequence BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  session_id STRING NOT NULL,
  frame BIGINT NOT NULL,
  batch_id BIGINT NOT NULL,
  PRIMARY KEY (k) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = '${PREFIX:-zendesk.chat}.latest',
  'properties.bootstrap.servers' = '${KAFKA_BOOTSTRAP_SERVERS:-localhost:9092}',
  'properties.isolation.level' = '${ISOLATION:-read_committed}',
  'scan.bounded.mode' = '${BOUNDED:-unbounded}',
  'key.format' = 'raw',
  'value.fields-include' = 'EXCEPT_KEY',
  'value.format' = 'avro-confluent',
  'value.avro-confluent.url' = '${SCHEMA_REGISTRY_URL:-http://localhost:8081}'
);

-- Spans in which updates of a series may be missing; ended_at is null in a gap that is still open.
CREATE TABLE gaps (
  k STRING,
  gap_id STRING NOT NULL,
  account STRING NOT NULL,
  series STRING NOT NULL,
  department_id BIGINT,
  epoch_before BIGINT NOT NULL,
  epoch_after BIGINT NOT NULL,
  last_sequence_before BIGINT NOT NULL,
  first_sequence_after BIGINT,
  started_at TIMESTAMP(3) NOT NULL,
  ended_at TIMESTAMP(3),
  reason STRING NOT NULL,
  detail STRING,
  resynced BOOLEAN NOT NULL,
  updates_dropped BIGINT
) WITH (
  'connector' = 'kafka',
  'topic' = '${PREFIX:-zendesk.chat}.gaps',
  'properties.bootstrap.servers' = '${KAFKA_BOOTSTRAP_SERVERS:-localhost:9092}',
  'properties.isolation.level' = '${ISOLATION:-read_committed}',
  'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = '${BOUNDED:-unbounded}',
  'key.format' = 'raw',
  'key.fields' = 'k',
  'value.fields-include' = 'EXCEPT_KEY',
  'value.format' = 'avro-confluent',
  'value.avro-confluent.url' = '${SCHEMA_REGISTRY_URL:-http://localhost:8081}'
);

-- What could not become a record, byte for byte.
CREATE TABLE dead_letters (
  k STRING,
  error_id STRING NOT NULL,
  account STRING NOT NULL,
  stage STRING NOT NULL,
  error_class STRING NOT NULL,
  error_message STRING NOT NULL,
  failed_at TIMESTAMP(3) NOT NULL,
  series STRING,
  payload BYTES NOT NULL,
  payload_size INT NOT NULL,
  payload_sha256 STRING NOT NULL,
  truncated BOOLEAN NOT NULL
) WITH (
  'connector' = 'kafka',
  'topic' = '${PREFIX:-zendesk.chat}.dead-letters',
  'properties.bootstrap.servers' = '${KAFKA_BOOTSTRAP_SERVERS:-localhost:9092}',
  'properties.isolation.level' = '${ISOLATION:-read_committed}',
  'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = '${BOUNDED:-unbounded}',
  'key.format' = 'raw',
  'key.fields' = 'k',
  'value.fields-include' = 'EXCEPT_KEY',
  'value.format' = 'avro-confluent',
  'value.avro-confluent.url' = '${SCHEMA_REGISTRY_URL:-http://localhost:8081}'
);

-- What the connector remembers of each series, and of each shard (series '#shard').
CREATE TABLE source_offsets (
  k STRING NOT NULL,
  account STRING NOT NULL,
  series STRING NOT NULL,
  state STRING NOT NULL,
  epoch BIGINT NOT NULL,
  last_sequence BIGINT NOT NULL,
  last_value_raw STRING,
  batch_id BIGINT NOT NULL,
  owner STRING NOT NULL,
  owner_epoch BIGINT NOT NULL,
  committed_at TIMESTAMP(3) NOT NULL,
  PRIMARY KEY (k) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = '${PREFIX:-zendesk.chat}.${ACCOUNT:-acme}.offsets',
  'properties.bootstrap.servers' = '${KAFKA_BOOTSTRAP_SERVERS:-localhost:9092}',
  'properties.isolation.level' = '${ISOLATION:-read_committed}',
  'scan.bounded.mode' = '${BOUNDED:-unbounded}',
  'key.format' = 'raw',
  'value.fields-include' = 'EXCEPT_KEY',
  'value.format' = 'avro-confluent',
  'value.avro-confluent.url' = '${SCHEMA_REGISTRY_URL:-http://localhost:8081}'
);

-- The watermark follows complete_through, never emitted_at: after an outage the backlog is old and must not be late.
-- A heartbeat may be read before the updates of its own transaction, which lie in other partitions. Settled() therefore
-- answers the complete_through of the newest heartbeat that was read at least 5 s ago.
CREATE TEMPORARY FUNCTION Settled AS 'Settled';
CREATE TABLE heartbeats (
  k STRING,
  account STRING NOT NULL,
  shard INT NOT NULL,
  `partition` INT NOT NULL,
  owner STRING NOT NULL,
  owner_epoch BIGINT NOT NULL,
  heartbeat_seq BIGINT NOT NULL,
  emitted_at TIMESTAMP(3) NOT NULL,
  complete_through TIMESTAMP(3) NOT NULL,
  state STRING NOT NULL,
  series_expected INT NOT NULL,
  series_active INT NOT NULL,
  waiting BIGINT NOT NULL,
  WATERMARK FOR complete_through AS Settled(complete_through)
) WITH (
  'connector' = 'kafka',
  'topic' = '${PREFIX:-zendesk.chat}.${ACCOUNT:-acme}.heartbeats',
  'properties.bootstrap.servers' = '${KAFKA_BOOTSTRAP_SERVERS:-localhost:9092}',
  'properties.isolation.level' = '${ISOLATION:-read_committed}',
  'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = '${BOUNDED:-unbounded}',
  'key.format' = 'raw',
  'key.fields' = 'k',
  'value.fields-include' = 'EXCEPT_KEY',
  'value.format' = 'avro-confluent',
  'value.avro-confluent.url' = '${SCHEMA_REGISTRY_URL:-http://localhost:8081}'
);
