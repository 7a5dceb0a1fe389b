"""`he-fsm vm start`, `shutdown`, `poweroff`, `console`: what people do with the VM of this host."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import click

from he_fsm.cli.broker import TIMEOUT_S
from he_fsm.cli.options.asking import Consent, destroys
from he_fsm.cli.options.config import config_option
from he_fsm.errors import BrokerError, HypervisorError
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.config import load_config
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.parts import make_access
from he_fsm.runtime.ports import HasSerialConsole
from he_fsm.runtime.vm_orders.asking import by_hand_of, what_follows
from he_fsm.runtime.vm_orders.order import Wanted

_NOT_HERE: Final = "Virtual machine does not exist: it is not on this host"


@click.command()
@click.option("--paused", is_flag=True, help="Let it execute nothing yet.")
@config_option
def start(path: Path, paused: bool) -> None:
    """
    Start the VM on this host, with the engine's lease.

    The agent of this host does it. Exit status 2: the VM is here already, another host holds its
    lease, or it did not come up.
    """
    config = load_config(path)
    vm = by_hand_of(config)
    status = vm.status()
    if status is not None:
        msg = f"the VM is on this host already: {status}"
        raise HypervisorError(msg)
    vm.start(paused=paused)
    click.echo(f"the VM is on this host: {vm.status() or 'gone again'}")
    _tell(Wanted.START_PAUSED if paused else Wanted.START, config)


@click.command()
@destroys
@config_option
def shutdown(path: Path, consent: Consent) -> None:
    """
    Ask the guest of the VM on this host to shut down.

    Exit status 2: the VM is not here, or the agent of this host does not run.
    """
    config = load_config(path)
    vm = by_hand_of(config)
    if not consent.is_yes and vm.status() is None:
        raise HypervisorError(_NOT_HERE)
    deed = f"shut down the guest of the VM on host {config.host.id}: whoever uses it loses it"
    if not consent.given(deed):
        return
    vm.shut_down()
    click.echo("the guest was asked to shut down")
    _tell(Wanted.SHUT_DOWN, config)


@click.command()
@destroys
@config_option
def poweroff(path: Path, consent: Consent) -> None:
    """
    End the VM on this host at once, without its guest's help.

    Also where the agent of this host does not run. Exit status 2: the VM is not here.
    """
    config = load_config(path)
    if not consent.is_yes and not _is_here(config):
        raise HypervisorError(_NOT_HERE)
    deed = (
        f"power off the VM on host {config.host.id} at once: what its guest has not written to its"
        " disk is lost"
    )
    if not consent.given(deed):
        return
    by_hand_of(config).power_off()
    click.echo("the VM is powered off")
    _tell(Wanted.POWER_OFF, config)


@click.command()
@config_option
def console(path: Path) -> None:
    """
    Connect the terminal with the VM's serial console; Ctrl-] ends it.

    Exit status 2: the VM is not here, or has no serial console.
    """
    command = serial_console(load_config(path))
    sys.stdout.flush()
    os.execvp(command[0], command)  # noqa: S606 - a list of words, and no shell


def serial_console(config: Config) -> list[str]:
    """
    Return the command that connects the terminal with the VM's serial console.

    Raises:
        HypervisorError: the VM has none, is not here, or a program is missing.
    """
    for each in (by_hand_of(config), make_access(config)):
        if isinstance(each, HasSerialConsole):
            return list(each.serial_console())
    msg = f"a VM of kind {config.hypervisor.kind} has no serial console"
    raise HypervisorError(msg)


def _is_here(config: Config) -> bool:
    """Whether the VM is here, also where the agent does not run."""
    try:
        return by_hand_of(config).status() is not None
    except (BrokerError, HypervisorError):
        return make_access(config).identity() is not None


def _tell(wanted: Wanted, config: Config) -> None:
    """Say what the agents do about it."""
    said = what_follows(wanted, BrokerClient(str(config.broker_socket), TIMEOUT_S))
    if said:
        click.echo(said, err=True)
