"""What the documents say exists: commands, options, files, switches; and the configuration that they show loads."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from connector.cli.app import COMMANDS, app
from connector.config import load
from connector.domain.metrics import METRICS
from connector.emulator.behaviour import describe
from connector.emulator.control import commands

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "schemas" / "README.md",
    ROOT / "samples" / "README.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "examples").glob("*/README.md")),
]
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(#[^)]*)?\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def named(page):
    return str(page.relative_to(ROOT))


def blocks(page, language):
    return [text for kind, text in FENCE.findall(page.read_text()) if kind == language]


def headings(page):
    text = FENCE.sub("", page.read_text())
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page):
    for target, anchor in LINK.findall(FENCE.sub("", page.read_text())):
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in headings(there), f"{target}{anchor}"


def shown_commands():
    for page in PAGES:
        for block in blocks(page, "bash"):
            for line in block.splitlines():
                words = shlex.split(line, comments=True)
                if words and words[0].endswith("zendesk-chat-kafka"):
                    yield named(page), words[1:]


def options_of(command):
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


def test_every_command_and_option_that_is_shown_exists():
    shown = list(shown_commands())
    assert len(shown) > 10
    group = typer.main.get_command(app)
    for page, words in shown:
        command, at = group, 0
        while at < len(words) and not words[at].startswith("-") and hasattr(command, "get_command"):
            command = command.get_command(None, words[at])
            assert command is not None, (page, words)
            at += 1
        unknown = {word for word in words[at:] if word.startswith("-")} - options_of(command)
        assert not unknown, (page, command.name, unknown)


def test_the_program_that_the_emulators_page_shows_runs(capsys):
    for program in blocks(ROOT / "docs" / "emulator.md", "python"):
        exec(compile(program, "docs/emulator.md", "exec"), {})  # noqa: S102 - our own page
    assert "/stream ['owner-token'" in capsys.readouterr().out


def test_the_readme_names_every_command():
    text = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if not re.search(rf"`{name}\b|kafka {name}\b|make {name}\b", text)] == []


def test_the_configuration_that_is_shown_loads(tmp_path):
    for at, text in enumerate(blocks(ROOT / "README.md", "yaml")):
        file = tmp_path / f"{at}.yaml"
        file.write_text(text)
        assert load(file, {}).account == "acme"


def test_the_emulators_page_names_every_switch_with_its_default_and_every_command():
    text = (ROOT / "docs" / "emulator.md").read_text()
    for name, default, _ in describe():
        assert f"| `{name}` | {default} |" in text
    for name in commands():
        assert f"| `{name}` |" in text


def test_the_topics_page_names_every_metric():
    text = (ROOT / "docs" / "topics.md").read_text()
    for metric in METRICS:
        windows = "30, 60" if metric.windowed else ""
        row = f"| `{metric.family}.{metric.key}` | {metric.unit} | {windows} | {metric.meaning} |".replace(
            "|  |", "| |"
        )
        assert row in text


def test_the_exit_codes_of_the_errors_are_in_the_readme():
    from connector import errors

    text = (ROOT / "README.md").read_text()
    codes = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")}
    assert [code for code in codes if f"\n| {code} |" not in text] == []
