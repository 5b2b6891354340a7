"""``asyncapi``: the topics of the configuration as an AsyncAPI document."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from connector.cli.config import ConfigFile, config_path


def asyncapi(
    config_file: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON; else YAML.")] = False,
) -> None:
    """Print an AsyncAPI 3 document: the topics as configured, their keys, headers and Avro schemas."""
    import yaml

    from connector.adapters.asyncapi import document
    from connector.cli.console import print_json
    from connector.cli.provision import metrics_topics
    from connector.config import load

    config = load(config_path(config_file), os.environ)
    described = document(config, metrics_topics(config))
    if as_json:
        print_json(described, indent=2)
    else:
        dumper = yaml.SafeDumper
        # Every schema once, in full: anchors would be for nobody to read.
        dumper.ignore_aliases = lambda *_: True  # type: ignore[method-assign]
        typer.echo(yaml.dump(described, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120), nl=False)
