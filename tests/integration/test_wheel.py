"""The wheel: built, installed in an empty environment outside the checkout, and used there."""

import json
import os
import re
import subprocess
import sys
import uuid
import venv
import zipfile
from email import message_from_string
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml
from confluent_kafka.admin import AdminClient

ROOT = Path(__file__).resolve().parents[2]
LOCKED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==", re.MULTILINE)
DATA = ("connector/schemas/", "connector/samples/")
NOT_PACKAGED = {"tests", "helm", "docs", ".ci"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, cwd=folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The environment's folder: exactly the packages of requirements.lock, linked, and the wheel."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in LOCKED.findall((ROOT / "requirements.lock").read_text()):
        link(name, site)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-index", "--no-deps", "--quiet", str(wheel)], check=True, capture_output=True)
    # What the wheel says it needs is there, in versions that it accepts.
    subprocess.run([*pip, "check"], check=True, capture_output=True)
    return folder


def link(name, site):
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return  # locked for another platform, or for the demo only
    for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
        if not (site / top).exists():
            (site / top).symlink_to(found.locate_file(top))


def run(installed, *arguments):
    """The installed command, outside the checkout and without its environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ZCK_"))}
    program, *rest = arguments
    return subprocess.run(
        [installed / "bin" / program, *map(str, rest)],
        capture_output=True,
        text=True,
        check=False,
        cwd=installed,
        env=environment,
        timeout=60,
    )


def test_the_wheel_holds_the_schemas_the_page_and_nothing_of_the_tests(wheel):
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        data = {name.removeprefix("connector/"): opened.read(name) for name in names if name.startswith(DATA)}
        (metadata,) = (opened.read(name) for name in names if name.endswith(".dist-info/METADATA"))
    kept = [file for folder in ("schemas", "samples") for file in (ROOT / folder).rglob("*") if file.is_file()]
    assert data == {str(file.relative_to(ROOT)): file.read_bytes() for file in kept}
    sources = {str(file.relative_to(ROOT)) for file in ROOT.glob("connector/**/*") if file.is_file()}
    assert {name for name in sources if "__pycache__" not in name} <= set(names)
    assert {name.split("/")[0] for name in names} & NOT_PACKAGED == set()
    described = message_from_string(metadata.decode())
    assert described["Name"] == "zendesk-chat-kafka"
    assert described["License-Expression"] == "Apache-2.0"
    assert described.get_payload().strip() == (ROOT / "README.md").read_text().strip()


def test_what_is_installed_is_what_runs(installed):
    where = run(installed, "python", "-c", "import connector; print(connector.__file__)")
    assert Path(where.stdout.strip()).is_relative_to(installed)
    version = run(installed, "zendesk-chat-kafka", "--version")
    assert version.stdout.startswith("zendesk-chat-kafka "), version.stderr
    assert run(installed, "zendesk-chat-kafka", "emulate", "--list-switches").returncode == 0


def test_provision_dry_run_there_finds_the_schemas_and_changes_nothing(installed, kafka_bootstrap, registry_url):
    prefix = f"w{uuid.uuid4().hex[:8]}"
    file = installed / "connector.yaml"
    configuration = {
        "account": "acme",
        "guarantee": "best-effort",
        "source": {"token_file": "/nowhere"},
        "subscriptions": [{"metrics": ["agents.*"]}],
        "kafka": {"bootstrap_servers": kafka_bootstrap, "replication_factor": 1, "min_insync_replicas": 1},
        "registry": {"urls": [registry_url]},
        "topics": {"prefix": prefix},
    }
    file.write_text(yaml.safe_dump(configuration))
    done = run(installed, "zendesk-chat-kafka", "provision", "--dry-run", "--json", "--config", file)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert {topic["action"] for topic in found["topics"]} == {"to create"}
    assert len(found["topics"]) == 7
    assert {subject["schema"] for subject in found["subjects"]} == {
        file.stem for file in (ROOT / "schemas").glob("*.avsc")
    }
    there = AdminClient({"bootstrap.servers": kafka_bootstrap}).list_topics(timeout=15).topics
    assert [topic for topic in there if topic.startswith(prefix)] == []
