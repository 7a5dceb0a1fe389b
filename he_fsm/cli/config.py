"""`he-fsm config`: a host's configuration, and where each value comes from."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from he_fsm.cli.options.config import config_option
from he_fsm.cli.running import Commands
from he_fsm.document.nodes import refused_as
from he_fsm.errors import ConfigError
from he_fsm.runtime.config import annotated_yaml, json_schema, load_config
from he_fsm.runtime.config.ovirt.notes import ovirt_notes
from he_fsm.runtime.deep import deep_findings, named_once
from he_fsm.runtime.notify import hook
from he_fsm.runtime.parts import findings


@click.group(cls=Commands)
def config() -> None:
    """Show and check the configuration of the daemons."""


@config.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: values and origins.")
@click.option("--schema", is_flag=True, help="Print a JSON Schema of the file, for editors.")
@click.option(
    "--hook-schema", is_flag=True, help="Print a JSON Schema of what a hook (notify.hook) reads."
)
def show(path: Path, as_json: bool, schema: bool, hook_schema: bool) -> None:
    """
    Print all values, defaults too, and where each came from.

    What is printed is itself a configuration. Exit status 2: the file can't be used.
    """
    if schema or hook_schema:
        made = json_schema() if schema else hook.json_schema()
        click.echo(json.dumps(made, indent=2))
        return
    found = load_config(path)
    if as_json:
        click.echo(json.dumps({"values": found.to_plain(), "origins": found.origins}, indent=2))
    else:
        click.echo(annotated_yaml(found), nl=False)


@config.command()
@config_option
@click.option(
    "--deep",
    is_flag=True,
    help="Look at what the file only names too: paths, interfaces, names, other hosts.",
)
def check(path: Path, deep: bool) -> None:
    """
    Say whether the configuration can be used, and what this machine lacks for it.

    Exit status 1, with --deep alone: something that is missing has to be mended. 2: the
    configuration can't be used; the first thing that is wrong.
    """
    found = load_config(path)
    click.echo(f"{path}: host {found.host.id}, policy {found.policy.name}: OK")
    with refused_as(ConfigError):
        notes = ovirt_notes(found.ovirt)
    known = (*notes, *findings(found))
    further = deep_findings(found) if deep else ()
    is_missing = False
    for finding in named_once(known, further):
        is_missing = is_missing or finding.is_fatal
        click.echo(f"{'missing here' if finding.is_fatal else 'note'}: {finding}")
    if deep and is_missing:
        sys.exit(1)
