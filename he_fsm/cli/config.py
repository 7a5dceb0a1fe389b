"""`he-fsm config`: a host's configuration, and where each value comes from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Optional

import click

from he_fsm.cli.options.asking import Consent, destroys
from he_fsm.cli.options.config import config_option
from he_fsm.cli.running import Commands
from he_fsm.document.nodes import refused_as
from he_fsm.errors import ConfigError
from he_fsm.runtime.config import annotated_yaml, json_schema, load_config
from he_fsm.runtime.config.ovirt.notes import ovirt_notes
from he_fsm.runtime.config.ovirt.shared import ALL_TYPES, SharedConfig
from he_fsm.runtime.deep import deep_findings, named_once
from he_fsm.runtime.notify import hook
from he_fsm.runtime.parts import findings

_type_option = click.option(
    "--type",
    "wanted",
    type=click.Choice(ALL_TYPES),
    help="The file: of this host (he_local, ha), or of the volume that all hosts share.",
)
_shared_option = click.option(
    "--shared",
    is_flag=True,
    required=True,
    expose_value=False,
    help="Of oVirt's files, which hosts share; he-fsm.yaml is changed in an editor.",
)


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
@click.option("--shared", is_flag=True, help="Print oVirt's files and their keys instead.")
def show(path: Path, as_json: bool, schema: bool, hook_schema: bool, shared: bool) -> None:
    """
    Print all values, defaults too, and where each came from.

    What is printed is itself a configuration. Exit status 2: the file can't be used.
    """
    if shared:
        _show_shared(_shared(path), as_json=as_json)
        return
    if schema or hook_schema:
        made = json_schema() if schema else hook.json_schema()
        click.echo(json.dumps(made, indent=2))
        return
    found = load_config(path)
    if as_json:
        click.echo(json.dumps({"values": found.to_plain(), "origins": found.origins}, indent=2))
    else:
        click.echo(annotated_yaml(found), nl=False)


def _show_shared(files: SharedConfig, *, as_json: bool) -> None:
    values = files.all()
    if as_json:
        click.echo(json.dumps(values, indent=2))
        return
    for name, found in values.items():
        click.echo(f"# {name}")
        for key, value in found.items():
            click.echo(f"{key} : {value}")


@config.command()
@click.argument("key", metavar="KEY")
@_type_option
@_shared_option
@config_option
def get(path: Path, key: str, wanted: Optional[str]) -> None:
    """
    Print a value of oVirt's files.

    Exit status 2: no file has the key, or several have it.
    """
    click.echo(_shared(path).get(key, wanted).value)


@config.command(name="set")
@click.argument("key", metavar="KEY")
@click.argument("value", metavar="VALUE")
@_type_option
@_shared_option
@destroys
@config_option
def set_value(path: Path, key: str, value: str, wanted: Optional[str], consent: Consent) -> None:
    """
    Change a value of oVirt's files, and nothing else of its file.

    Exit status 2: no file has the key, or it can't have this value; nothing is changed.
    """
    files = _shared(path)
    name = wanted or files.get(key).type
    before = files.check(key, value, name)
    if before != value and not consent.given(_change(key, before, value, name)):
        return
    files.set(key, value, name)
    click.echo(f"{key} : {value}, type : {name}")


def _change(key: str, before: Optional[str], value: str, name: str) -> str:
    where = f"{key} of type {name}"
    if before is None:
        return f"add {where} with the value {value!r}"
    return f"change {where} from {before!r} to {value!r}"


def _shared(path: Path) -> SharedConfig:
    found = load_config(path)
    if found.ovirt is None:
        msg = f"{path}: this host has no files of oVirt's: its configuration says 'ovirt: none'"
        raise ConfigError(msg)
    return SharedConfig(found.ovirt)


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
