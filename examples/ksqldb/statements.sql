-- ksqlDB statements. UNTESTED: ksqlDB is on no registry that the tests can reach. Prefix zendesk.chat, account acme.
-- ksqlDB reads uncommitted records unless the server says ksql.streams.consumer.isolation.level=read_committed.

SET 'auto.offset.reset' = 'earliest';

-- A stream of all updates; the columns come from the registry. Never make a TABLE of this topic: its key is the
-- department, so metrics would overwrite each other.
CREATE STREAM metrics (department VARCHAR KEY)
  WITH (KAFKA_TOPIC = 'zendesk.chat.metrics', KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'AVRO', TIMESTAMP = 'received_at');

-- The newest value of every series. A tombstone removes a row.
CREATE SOURCE TABLE latest (account_series VARCHAR PRIMARY KEY)
  WITH (KAFKA_TOPIC = 'zendesk.chat.latest', KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'AVRO');

CREATE STREAM gaps (department VARCHAR KEY)
  WITH (KAFKA_TOPIC = 'zendesk.chat.gaps', KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'AVRO', TIMESTAMP = 'started_at');

-- Highest number of waiting visitors by department and five minutes.
CREATE TABLE waiting AS
  SELECT department, MAX(value) AS most_waiting
  FROM metrics WINDOW TUMBLING (SIZE 5 MINUTES, GRACE PERIOD 5 SECONDS)
  WHERE metric = 'incoming_chats'
  GROUP BY department EMIT CHANGES;

-- Updates with the gap that their epoch began with, by series.
CREATE STREAM metrics_by_series AS SELECT * FROM metrics PARTITION BY series;
CREATE STREAM gaps_by_series AS SELECT * FROM gaps PARTITION BY series;
CREATE STREAM after_gaps AS
  SELECT m.series AS series, m.value AS value, g.reason AS reason, g.started_at AS started_at, g.ended_at AS ended_at
  FROM metrics_by_series m INNER JOIN gaps_by_series g WITHIN 1 DAY ON m.series = g.series
  WHERE m.epoch = g.epoch_after AND g.ended_at IS NOT NULL;
