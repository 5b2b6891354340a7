"""A stage for each test, torn down whatever happens."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from stage import Stage


@pytest.fixture
def make_stage(tmp_path, kafka_bootstrap, registry_url):
    """Makes stages: an emulator and a connector around the real broker and registry."""
    stages = []

    def make(**options):
        folder = tmp_path / str(len(stages))
        folder.mkdir()
        stage = Stage(folder, kafka_bootstrap, registry_url, **options)
        stages.append(stage)
        stage.start_emulator()
        return stage.write_config().provision()

    yield make
    for stage in stages:
        stage.close()
