"""Completion of commands and options, as the shells ask for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).parent / "zendesk-chat-kafka"
VARIABLE = "_ZENDESK_CHAT_KAFKA_COMPLETE"


def said(*command, **environment):
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **environment}
    )
    return done.stdout


@pytest.mark.parametrize(
    ("words", "found"),
    [("zendesk-chat-kafka ve", "verify"), ("zendesk-chat-kafka verify --w", "--watch"), ("zendesk-chat-kafka xy", "")],
)
def test_bash_is_told_what_fits(words, found):
    asked = {VARIABLE: "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    assert said(PROGRAM, **asked).split() == found.split()


def test_zsh_and_fish_are_told_with_the_meaning():
    asked = {"_TYPER_COMPLETE_ARGS": "zendesk-chat-kafka ve", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    for shell in ("zsh", "fish"):
        answer = said(PROGRAM, **asked, **{VARIABLE: f"complete_{shell}"})
        assert "verify" in answer, shell
        assert "Audit the topics" in answer, shell


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_a_real_bash_takes_the_script():
    script = f'eval "$({PROGRAM} --show-completion bash)"; complete -p zendesk-chat-kafka'
    assert "-F _zendesk_chat_kafka_completion zendesk-chat-kafka" in said("bash", "-c", script)
