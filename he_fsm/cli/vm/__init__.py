"""`he-fsm vm`: the engine VM by hand, and the definition that all hosts start it from."""

from __future__ import annotations

import click

from he_fsm.cli.running import Commands
from he_fsm.cli.vm.by_hand import console, poweroff, shutdown, start
from he_fsm.cli.vm.definition import define, edit, show


@click.group(cls=Commands)
def vm() -> None:
    """Start and stop the engine VM on this host; show and change what all hosts start it from."""


for _command in (start, shutdown, poweroff, console, define, show, edit):
    vm.add_command(_command)
