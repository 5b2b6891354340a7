"""The image: its Dockerfile, and its content run as Kubernetes would run it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from chart import arm64, image
from chart.tools import CHART, ROOT, program

from connector import __version__

needs_root = pytest.mark.skipif(not image.can_build(), reason=f"needs root and {', '.join(image.NEEDED)}")


def test_hadolint_finds_nothing():
    done = subprocess.run([program("hadolint"), ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout == ""


def test_the_dockerfile_runs_no_shell():
    for step in image.steps():
        if step.word in ("RUN", "ENTRYPOINT", "CMD"):
            assert isinstance(json.loads(step.rest), list)


def test_both_stages_begin_from_the_base_and_the_last_one_says_what_it_is():
    found = image.steps()
    assert [step.rest.split()[0] for step in found if step.word == "FROM"] == ["${BASE}", "${BASE}"]
    assert "@sha256" not in image.DOCKERFILE.read_text()
    last = found[max(at for at, step in enumerate(found) if step.word == "FROM") :]
    assert [step.rest for step in last if step.word == "USER"] == ["10001:10001"]
    labels = next(step.rest for step in last if step.word == "LABEL")
    named = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", labels))
    assert named == {"title", "description", "licenses", "version", "revision"}
    versions = {step.rest.partition("=")[2] for step in last if step.word == "ARG" and step.rest.startswith("VERSION=")}
    assert versions == {__version__} == {yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]}


def test_wheels_are_locked_by_hash_and_nothing_is_compiled():
    (install,) = [json.loads(step.rest) for step in image.steps() if step.word == "RUN" and '"install"' in step.rest]
    assert {"--require-hashes", "--only-binary=:all:"} <= set(install)


def test_the_context_is_what_is_copied():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        word
        for step in image.steps()
        if step.word == "COPY" and not step.rest.startswith("--from")
        for word in step.rest.split()[:-1]
    }
    assert kept == copied


def in_image(*arguments):
    """Run the entry point in the image's root: read-only, uid 10001, nothing but /tmp to write to."""
    root = image.image()
    setup = [
        f"mount --bind {root} {root}",
        f"mount -t tmpfs tmpfs {root / 'tmp'}",
        f"mount -o remount,bind,ro {root}",
        f'cd {root} && exec chroot {root} setpriv --reuid=10001 --regid=10001 --clear-groups --no-new-privs "$@"',
    ]
    settings = {**image.settings(), "HOME": "/opt"}
    command = ["unshare", "--mount", "sh", "-ec", "\n".join(setup), "sh", "env", "-C", "/opt/zendesk-chat-kafka"]
    pairs = [f"{name}={value}" for name, value in settings.items()]
    return subprocess.run([*command, *pairs, *arguments], capture_output=True, text=True, check=False, timeout=60)


@needs_root
def test_it_runs_as_nobody_special_on_a_read_only_root():
    done = in_image(*image.entrypoint(), "--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("zendesk-chat-kafka ")
    probe = (
        "import os; print(os.getuid(), os.getgid(), os.access('/', os.W_OK)); open('/opt/zendesk-chat-kafka/x', 'w')"
    )
    done = in_image("python", "-c", probe)
    assert done.stdout.split() == ["10001", "10001", "False"]
    assert "Read-only file system" in done.stderr


@needs_root
def test_it_holds_schemas_and_every_module_and_no_tools():
    root = image.image()
    own = root / "opt" / "zendesk-chat-kafka"
    assert len(list((own / "schemas").glob("*.avsc"))) >= 5
    assert (own / "LICENSE").is_file()
    names = {path.name for path in (own / "venv/lib").glob("python3*/site-packages/*")}
    assert {"confluent_kafka", "fastavro", "aiohttp"} <= names
    assert not {"pip", "pytest", "noida_db", "mypy"} & names
    commands = "import connector.cli.app as a, importlib; [importlib.import_module(m.split(':')[0]) for m in a.COMMANDS.values()]"
    done = in_image("python", "-c", commands)
    assert done.returncode == 0, done.stderr


@needs_root
def test_a_mistake_ends_with_its_exit_code():
    done = in_image(*image.entrypoint(), "run", "--config", "/nowhere.yaml")
    assert done.returncode == 2
    assert "no such file" in done.stderr
    assert not Path(image.image(), "tmp", "anything").exists()


def test_every_locked_wheel_exists_for_arm64():
    found = arm64.wheels()
    assert arm64.without(found) == []
    assert any(name.startswith("confluent_kafka-") and "aarch64" in name for name in found)


def test_a_wheel_of_another_machine_is_noticed():
    found = [name.replace("aarch64", "x86_64") if name.startswith("fastavro-") else name for name in arm64.wheels()]
    assert arm64.without(found) == ["fastavro"]
    assert arm64.without([name for name in found if not name.startswith(("rich-", "fastavro-"))]) == [
        "fastavro",
        "rich",
    ]
