"""What the help of each command ends with: command lines that show what it is for."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "run": ("-c connector.yaml",),
    "provision": ("-c connector.yaml --dry-run", "-c connector.yaml", "-c connector.yaml --schemas-only"),
    "check": ("-c connector.yaml", "-c connector.yaml --json"),
    "tail": (
        "-c connector.yaml",
        "-c connector.yaml --metric chats.active_chats --department all --from beginning --no-follow --limit 10",
        "-c connector.yaml --topic gaps --from beginning --json",
    ),
    "status": ("", "--watch", "--url http://127.0.0.1:8090 --token-file http-token --json"),
    "dead-letters": ("-c connector.yaml", "-c connector.yaml --reason invalid_json --payload --limit 3"),
    "verify": (
        "-c connector.yaml --since 1h",
        "-c connector.yaml --explain acme/chats.missed_chats|30|5/2/1042",
        "-c connector.yaml --watch --interval 30",
    ),
    "replay": ("--bootstrap-servers localhost:9092 --registry http://localhost:8081 --provision --now",),
    "asyncapi": ("-c connector.yaml",),
    "emulate": ("", "--departments 10 --rate 50 --journal sent.jsonl", "--switch ack=on --switch snapshot=off"),
    "demo": ("", "--for 15s --json", "--broker kafka --rate 100 --departments 20"),
}
"""Arguments by command."""


def epilog(command: str) -> str | None:
    """The examples of a command as its help shows them."""
    lines = [f"zendesk-chat-kafka {command} {_quoted(arguments)}".rstrip() for arguments in EXAMPLES.get(command, ())]
    return "\n\n".join(("[bold]Examples[/bold]", *lines)) if lines else None


def _quoted(arguments: str) -> str:
    """As a shell wants it."""
    return " ".join(f"'{one}'" if "|" in one else one for one in arguments.split())
