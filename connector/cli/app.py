"""The command ``zendesk-chat-kafka``: which commands there are, and how they end."""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from pathlib import PurePath
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

from connector import __version__
from connector.cli.examples import epilog
from connector.errors import ConnectorError

COMMANDS: Final = {
    "run": "connector.cli.run:run",
    "provision": "connector.cli.provision:provision",
    "check": "connector.cli.check:check",
    "tail": "connector.cli.tail:tail",
    "status": "connector.cli.status:status",
    "dead-letters": "connector.cli.dead_letters:dead_letters",
    "verify": "connector.cli.verify:verify",
    "replay": "connector.cli.replay:replay",
    "asyncapi": "connector.cli.asyncapi:asyncapi",
    "config": "connector.cli.config:app",
    "emulate": "connector.cli.emulate:emulate",
    "demo": "connector.cli.demo:demo",
}
"""Where each command is; only the one that runs is imported."""

EPILOG: Final = (
    "Exit codes: 0 done; 1 Kafka, registry or source out of reach, or an unexpected error; 2 configuration or"
    " command line; 3 the source refuses token or permission; 4 Kafka refuses, or a topic differs; 5 schema or"
    " registry; 6 a program, file or port of this machine; 10 verify found something; 130 interrupted."
)


class _Commands(TyperGroup):
    """Imports a command when it is needed."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - click's signature
        """The command, or None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found = getattr(import_module(module), name)
        if not isinstance(found, typer.Typer):
            one = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            one.command(cmd_name, epilog=epilog(cmd_name))(found)
            found = one
        command = get_command(found)
        command.name = cmd_name
        return command


app = typer.Typer(
    name="zendesk-chat-kafka",
    cls=_Commands,
    no_args_is_help=True,
    # Its tracebacks show local variables, which may be secrets.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"zendesk-chat-kafka {__version__}")
        raise typer.Exit


@app.callback(epilog=EPILOG)
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """Zendesk Chat real-time metrics into Kafka, exactly as received."""


def main() -> None:
    """Run one command; whatever goes wrong is one line and an exit code."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe has seen enough; nothing may be flushed into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - the last place to make one line of it
        sys.exit(_report(error))


def _report(error: BaseException) -> int:
    """Print the error as one line; its exit code."""
    from connector.cli.console import print_error
    from connector.config.redaction import redact

    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ConnectorError):
        print_error(str(error))
        return error.exit_code
    if os.environ.get("ZCK_TRACEBACK") == "1":
        sys.stderr.write(redact("".join(traceback.format_exception(error))))
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{PurePath(frame.filename).name}:{frame.lineno}"
    print_error(f"unexpected {type(error).__name__} at {place}: {error}; ZCK_TRACEBACK=1 shows more")
    return 1
