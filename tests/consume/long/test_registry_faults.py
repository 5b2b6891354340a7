"""Registry faults as the engines meet them: refused credentials, what is not there, and an outage after the start."""

from __future__ import annotations

import contextlib

import pytest
from consume import engines, streams
from consume.arrivals import Again, recorded
from consume.registry import front

COMMANDS = {
    "flink": engines.FLINK_BOUNDED,
    "spark": engines.SPARK,
    "streams": engines.STREAMS,
    "lakehouse": engines.LAKEHOUSE,
}


def started(engine, golden, folder):
    there = engines.place(engine, folder)
    if engine in ("flink", "streams"):
        return engines.java_environment(golden, folder), there
    return engines.python_environment(engine, golden, folder), there


@pytest.mark.parametrize("status", [401, 404])
@pytest.mark.parametrize("engine", COMMANDS)
def test_an_engine_ends_and_says_why(engine, status, golden, registry_url, tmp_path):
    with front(registry_url, schemas=status, subjects=status) as url:
        picky = golden._replace(registry=url)
        env, there = started(engine, picky, tmp_path)
        if engine == "streams":
            with contextlib.suppress(Exception):
                streams.make_topics(golden)
        with pytest.raises(AssertionError, match=str(status)):
            engines.finish(COMMANDS[engine], env, there)


def test_streams_goes_on_without_a_registry_once_it_knows_the_schemas(written, registry_url, tmp_path):
    prefix = written._replace(prefix=f"{written.prefix}")
    with contextlib.suppress(Exception):
        streams.make_topics(prefix)
    output = streams.Output(prefix)
    many = len(recorded("metrics"))
    with contextlib.ExitStack() as ending:
        ending.enter_context(contextlib.closing(output))
        away = ending.enter_context(contextlib.ExitStack())
        url = away.enter_context(front(registry_url))
        env, there = started("streams", prefix._replace(registry=url), tmp_path)
        ending.enter_context(engines.running(engines.STREAMS, env, there))
        output.wait("acme", many, "the recorded hour")
        away.close()
        again = Again(prefix)
        again.write("gaps", "later")
        again.write("metrics", "later")
        output.wait("later", many, "updates while the registry is away")
