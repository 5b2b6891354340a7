-- Averages per department and minute, printed when the window closes.
-- The heartbeats add no row (their numbers begin at 1), but their watermark: windows close while no update comes, and
-- never before the updates of the window are there.
CREATE TEMPORARY VIEW updates AS
SELECT received_at AS `at`, account, department_id, metric, window_minutes, `value`
FROM metrics
UNION ALL
SELECT complete_through, account, CAST(NULL AS BIGINT), '', CAST(NULL AS INT), CAST(NULL AS DOUBLE)
FROM heartbeats
WHERE heartbeat_seq < 1;

SELECT 'averages' AS `view`, window_start, window_end, account, department_id, metric, window_minutes,
  AVG(`value`) AS average, COUNT(*) AS updates
FROM TABLE(TUMBLE(TABLE updates, DESCRIPTOR(`at`), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, account, department_id, metric, window_minutes;
