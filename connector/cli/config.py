"""``config``: write a first configuration, show the effective one, print its JSON schema."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", envvar="ZCK_CONFIG", help="Configuration file.")]
"""The option that every command with a configuration has."""

DEFAULT_FILE: Final = "zendesk-chat-kafka.yaml"

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _group() -> None:
    """Write, show or describe the configuration."""


@app.command()
def init(
    file: Annotated[Path | None, typer.Argument(help="File to write; without one it is printed.")] = None,
    force: Annotated[bool, typer.Option(help="Replace a file that is there.")] = False,
) -> None:
    """Write a commented configuration with every key and its default."""
    from connector.cli.console import print_line
    from connector.config.template import template
    from connector.errors import ConfigError

    if file is None:
        typer.echo(template(), nl=False)
        return
    try:
        with file.open("w" if force else "x", encoding="utf-8") as opened:
            opened.write(template())
    except FileExistsError:
        raise ConfigError(f"{file}: is there already; choose another name, or --force") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from None
    print_line(f"{file} written; fill it in, then run zendesk-chat-kafka check -c {file}")


@app.command()
def show(
    config_file: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show the configuration with defaults and environment merged in; of secrets only their files."""
    import yaml

    from connector.cli.console import print_json
    from connector.config import load

    values = load(config_path(config_file), os.environ).model_dump(mode="json")
    if as_json:
        print_json(values, indent=2)
    else:
        typer.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), nl=False)


@app.command()
def schema() -> None:
    """Print the JSON schema of the configuration, for editors and validators."""
    from connector.cli.console import print_json
    from connector.config import Config

    described = Config.model_json_schema()
    print_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **described}, indent=2)


def config_path(given: Path | None) -> Path | None:
    """The file to load: the given one, else the default one if it is there or if nothing is set by environment."""
    from connector.config.load import OWN, PREFIX

    if given is not None:
        return given
    default = Path(DEFAULT_FILE)
    from_environment = any(name.startswith(PREFIX) and name not in OWN for name in os.environ)
    return None if from_environment and not default.exists() else default
