-- Every update as JSON lines in a folder; with BOUNDED=latest-offset it ends at today's end of the topic.
CREATE TABLE rows_out (
  event_id STRING,
  account STRING,
  family STRING,
  metric STRING,
  department_id BIGINT,
  window_minutes INT,
  `value` DOUBLE,
  value_raw STRING,
  unit STRING,
  origin STRING,
  received_at TIMESTAMP(3),
  received_at_us BIGINT,
  series STRING,
  sequence BIGINT,
  epoch BIGINT,
  session_id STRING,
  frame BIGINT,
  batch_id BIGINT
) WITH (
  'connector' = 'filesystem',
  'path' = 'file://${OUT:-/tmp/zendesk-chat}/rows',
  'format' = 'json'
);

INSERT INTO rows_out
SELECT event_id, account, family, metric, department_id, window_minutes, `value`, value_raw, unit, origin, received_at,
  received_at_us, series, sequence, epoch, session_id, frame, batch_id
FROM metrics;
