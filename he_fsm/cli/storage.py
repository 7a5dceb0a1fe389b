"""`he-fsm storage`: whiteboard and leases on the shared storage."""

from __future__ import annotations

from pathlib import Path

import click

from he_fsm.cli.options.config import config_option
from he_fsm.cli.running import Commands
from he_fsm.metadata.layout import HOST_ID_MAX
from he_fsm.runtime.config import load_config
from he_fsm.runtime.storage.set_up import set_up

# The number of hosts for which oVirt's own agents have room.
_HOSTS = 64


@click.group(cls=Commands)
def storage() -> None:
    """Set up what the hosts share: whiteboard and leases."""


@storage.command()
@config_option
@click.option(
    "--hosts",
    type=click.IntRange(1, HOST_ID_MAX),
    default=_HOSTS,
    show_default=True,
    metavar="N",
    help="Make room on the whiteboard for the host ids 1 to N.",
)
def init(path: Path, hosts: int) -> None:
    """
    Make the whiteboard and the leases where there are none; what is there stays as it is.

    Once, on one host. With `leases: sanlock` its daemon has to run here. Exit status 2: something
    can't be made, or something else is there; nothing was written over.
    """
    for line in set_up(load_config(path), hosts):
        click.echo(line)
