"""A stage for each test, torn down whatever happens; the tests of a folder run a few at a time.

Most of such a test is waiting: for processes to start, for frames, for heartbeats. So the bodies of the tests that
need nothing but stages run on a few threads, in order, ahead of their turn; each still reports for itself.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from stage import Stage

AT_ONCE = 4


class Stages:
    """Makes stages: an emulator and a connector around the real broker and registry."""

    def __init__(self, folder, kafka, registry):
        self._folder = folder
        self._servers = kafka, registry
        self._made = []

    def __call__(self, **options):
        folder = self._folder / str(len(self._made))
        folder.mkdir(parents=True)
        stage = Stage(folder, *self._servers, **options)
        self._made.append(stage)
        stage.start_emulator()
        return stage.write_config().provision()

    def close(self):
        for stage in self._made:
            stage.close()


class Rehearsal:
    """The bodies of tests, on threads; `performed` waits for one and raises what it raised."""

    def __init__(self, items, make_stages):
        self._make_stages = make_stages
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="acceptance")
        self._running = set()
        self._results = {item: self._threads.submit(self._perform, item) for item in items}

    def __contains__(self, item):
        return item in self._results

    def performed(self, item):
        return self._results[item].result()

    def close(self):
        """Nothing new begins; what still runs loses its servers."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for stages in tuple(self._running):
            stages.close()
        self._threads.shutdown()

    def _perform(self, item):
        with contextlib.closing(self._make_stages(item)) as stages:
            self._running.add(stages)
            try:
                item.obj(make_stage=stages, **parameters(item))
            finally:
                self._running.discard(stages)


def parameters(item):
    call = getattr(item, "callspec", None)
    return dict(call.params) if call else {}


def needs_stages_only(item, folder):
    if item.path.parent != folder or item.get_closest_marker("skip"):
        return False
    arguments = set(item._fixtureinfo.argnames)
    return "make_stage" in arguments and arguments <= {"make_stage", *parameters(item)}


def fixtures(folder):
    """The fixtures ``rehearsal`` and ``make_stage`` for the tests of one folder."""

    @pytest.fixture(scope="session")
    def rehearsal(request, kafka_bootstrap, registry_url, tmp_path_factory):
        items = [item for item in request.session.items if needs_stages_only(item, folder)]
        base = tmp_path_factory.mktemp("rehearsal")
        running = Rehearsal(items, lambda item: Stages(base / str(items.index(item)), kafka_bootstrap, registry_url))
        yield running
        running.close()

    @pytest.fixture
    def make_stage(tmp_path, kafka_bootstrap, registry_url, rehearsal):
        stages = Stages(tmp_path, kafka_bootstrap, registry_url)
        yield stages
        stages.close()

    return rehearsal, make_stage


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    rehearsal = pyfuncitem.funcargs.get("rehearsal")
    if rehearsal is None or pyfuncitem not in rehearsal:
        return None
    rehearsal.performed(pyfuncitem)
    return True
