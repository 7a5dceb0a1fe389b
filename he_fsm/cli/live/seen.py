"""The live cluster as a command reads it, with the policy of this host's configuration."""

from __future__ import annotations

import click

from he_fsm.cli.broker import config_path
from he_fsm.live.seen import Seen, read_with
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.config import load_config
from he_fsm.words import printable


def read(broker: BrokerClient) -> Seen:
    """
    Read whiteboard, leases and policy.

    Raises:
        HeFsmError: something can't be read, or no host can be believed.
    """
    path = config_path()
    return read_with(broker, None if path is None else load_config(path).policy)


def say_assumptions(seen: Seen) -> None:
    """Report what was assumed, on standard error."""
    for note in seen.captured.notes:
        click.echo(f"note: {printable(note)}", err=True)
