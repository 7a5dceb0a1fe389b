"""`he-fsm console`: access to the engine VM's screen."""

from __future__ import annotations

import json
from pathlib import Path

import click

from he_fsm.cli.options.common import json_option
from he_fsm.cli.options.config import config_option
from he_fsm.runtime.config import load_config
from he_fsm.runtime.parts import make_access

_VALID_S = 120
_VALID_MAX_S = 3600


@click.command()
@config_option
@click.option(
    "--valid",
    type=click.IntRange(1, _VALID_MAX_S),
    default=_VALID_S,
    show_default=True,
    metavar="S",
    help="Seconds within which to connect.",
)
@json_option
def console(path: Path, valid: int, as_json: bool) -> None:
    """
    Print where the VM's screen is, and a password that is good for one connection.

    On the host that runs the VM. Exit status 2: the VM is not here, or has no screen.
    """
    screen = make_access(load_config(path)).console(valid)
    if as_json:
        shown = {"protocol": screen.protocol, "address": screen.address, "port": screen.port}
        shown |= {"password": screen.password, "valid_s": screen.valid_s}
        click.echo(json.dumps(shown, indent=2))
        return
    click.echo(f"Screen:   {screen.protocol}://{screen.address}:{screen.port}")
    click.echo(f"Password: {screen.password} (for one connection, within {screen.valid_s} s)")
