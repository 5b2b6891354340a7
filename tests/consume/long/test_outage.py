"""Kafka goes away under a connector that goes on receiving, and comes back: for Flink the backlog is not late.

Four times the same query: that of the page, the same with a slow reader of metrics, and two controls of that, whose
heartbeats have a watermark as it must not be. Slow: Kafka answers a fetch up to 2 s after there is something to read,
so that 3 s of the 5 s which the page allows are left for readers that connect anew; for the controls up to 4 s. A fetch
may happen to be answered at once; then there is another outage.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter

import pytest
from acceptance.stage import Stage
from consume import engines
from consume.golden import Golden
from consume.readme import EXAMPLES
from consume.tables import milliseconds
from figures import tell

from connector.local.kafka import Kafka

MINUTE = 60
FROM = 25
"""Second of a minute at which Kafka goes, so that a window ends while it is away."""
OUTAGE = 50
OUTAGES = 3
SETTLED = "WATERMARK FOR complete_through AS Settled(complete_through)"
EMITTED = "WATERMARK FOR emitted_at AS emitted_at - INTERVAL '5' SECOND"
AT_ONCE = "WATERMARK FOR complete_through AS complete_through"
SLOW = "  'properties.fetch.min.bytes' = '50000000',\n  'properties.fetch.max.wait.ms' = '{wait_ms}',\n"
CONTROLS = {"emitted_at": EMITTED, "at_once": AT_ONCE}


def query(name, watermark):
    """The page's tables and averages under other names, metrics read slowly, heartbeats with this watermark."""
    tables = (EXAMPLES / "flink" / "tables.sql").read_text()
    metrics, beats = (
        re.search(rf"CREATE TABLE {table} \(.*?\n\);\n", tables, re.DOTALL).group()
        for table in ("metrics", "heartbeats")
    )
    averages = (EXAMPLES / "flink" / "averages.sql").read_text()
    if watermark == EMITTED:
        averages = averages.replace("SELECT complete_through", "SELECT emitted_at")
    slow = SLOW.format(wait_ms=2000 if watermark == SETTLED else 4000)
    text = metrics.replace("  'scan.startup.mode'", f"{slow}  'scan.startup.mode'") + beats + averages
    for old, new in {
        SETTLED: watermark,
        "TABLE metrics": f"TABLE metrics_{name}",
        "FROM metrics": f"FROM metrics_{name}",
        "TABLE heartbeats": f"TABLE heartbeats_{name}",
        "FROM heartbeats": f"FROM heartbeats_{name}",
        "VIEW updates": f"VIEW updates_{name}",
        "TABLE updates": f"TABLE updates_{name}",
        "'averages'": f"'{name}'",
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    assert slow in text
    return text


def windows(printed, view):
    """Updates by the end of their window, ms."""
    found = Counter()
    for _, row in engines.views(list(printed))[view]:
        found[milliseconds(row["window_end"])] += row["updates"]
    return found


def outage(kafka):
    """When Kafka went and when it was there again, ms."""
    time.sleep((FROM - time.time()) % MINUTE)
    went = time.time() * 1000
    kafka.brokers[0].kill()
    time.sleep(OUTAGE)
    kafka.brokers[0].start()
    kafka.wait_until_ready()
    return went, time.time() * 1000


def late(printed, until):
    """Of each control: how many updates of the page's windows up to an instant are in none of its own."""
    rows = {view: windows(printed, view) for view in ("averages", *CONTROLS)}
    many = {view: sum(updates for end, updates in found.items() if end <= until) for view, found in rows.items()}
    return {view: many["averages"] - many[view] for view in CONTROLS}


@pytest.fixture
def kafka():
    with Kafka() as own:
        yield own


def test_no_update_of_a_backlog_is_late(kafka, registry_url, tmp_path):
    queries = {"slow": SETTLED, **CONTROLS}
    (tmp_path / "more.sql").write_text("\n".join(query(name, watermark) for name, watermark in queries.items()))
    stage = Stage(tmp_path, kafka.bootstrap, registry_url, rate=50.0)
    with contextlib.closing(stage):
        stage.start_emulator().write_config().provision()
        stage.start_connector()
        golden = Golden(stage.prefix, kafka.bootstrap, registry_url, {}, {})
        env = engines.java_environment(golden, tmp_path, IDLE="5 s")
        command = f"{engines.FLINK_TIMED} {tmp_path / 'more.sql'}"
        with engines.running(command, env, engines.place("flink", tmp_path)) as printed:
            engines.wait_until(lambda: all(windows(printed, view) for view in ("averages", *queries)), "windows close")
            times, lost = [], Counter()
            while len(times) < OUTAGES and not all(lost[view] for view in CONTROLS):
                times.append(outage(kafka))
                over = times[-1][1]
                engines.wait_until(
                    lambda over=over: max(windows(printed, "averages")) > over, "windows after the outage"
                )
                lost = Counter(late(printed, over))
            stage.settle()
            rows = [row.timestamp for row in stage.read("metrics")]
            for view in ("averages", "slow"):
                engines.wait_until(
                    lambda view=view: windows(printed, view).total() >= len(rows),
                    f"{view}: {len(rows)} updates in windows",
                )
        stage.command("verify", "--config", str(stage.config_file))
        assert {windows(printed, view).total() for view in ("averages", "slow")} == {len(rows)}
    backlog = sum(went < at < back for at in rows for went, back in times)
    tell(f"outages of Kafka under the connector: {len(times)}, updates received meanwhile: {backlog:,}, late: 0")
    tell(f"late with other watermarks of the heartbeats: {dict(lost)}")
    assert backlog > 1000
    assert all(lost[view] > 0 for view in CONTROLS)
