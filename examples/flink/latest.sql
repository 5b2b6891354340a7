-- The newest value of each series, as it changes: +I and +U set the row of the key k, -D is a tombstone.
SELECT 'latest' AS `view`, k, event_id, account, family, metric, department_id, window_minutes, `value`, value_raw,
  unit, origin, received_at, received_at_us, series, sequence, epoch, session_id, frame, batch_id
FROM latest;
