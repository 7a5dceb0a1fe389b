"""`he-fsm config`: what a host is told, and where that stands."""

from __future__ import annotations

import json
from pathlib import Path

import click

from he_fsm.cli.config_option import config_option
from he_fsm.runtime.config import annotated_yaml, json_schema, load_config


@click.group()
def config() -> None:
    """Show and check the configuration of the daemons."""


@config.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: values and origins.")
@click.option("--schema", is_flag=True, help="Print a JSON Schema of the file, for editors.")
def show(path: Path, as_json: bool, schema: bool) -> None:
    """
    Print all values, defaults too, and where each came from.

    What is printed is itself a configuration. Exit status 2: the file can't be used.
    """
    if schema:
        click.echo(json.dumps(json_schema(), indent=2))
        return
    found = load_config(path)
    if as_json:
        click.echo(json.dumps({"values": found.to_plain(), "origins": found.origins}, indent=2))
    else:
        click.echo(annotated_yaml(found), nl=False)


@config.command()
@config_option
def check(path: Path) -> None:
    """
    Say whether the configuration can be used.

    Exit status 2: it can't, and the first thing that is wrong.
    """
    found = load_config(path)
    click.echo(f"{path}: host {found.host.id}, policy {found.policy.name}: can be used")
